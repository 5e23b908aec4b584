"""The wire contract of the index service and the code that protoc made of it (`make proto`).

Nothing but `index.proto` is written by hand. What the generated servicer raises is gRPC's answer UNIMPLEMENTED of a
service that lacks a method; a test holds `IndexService` to all of them.
"""
