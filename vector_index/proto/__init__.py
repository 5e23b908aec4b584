"""The wire contract of the index service and the code that protoc made of it (`make proto`)."""
