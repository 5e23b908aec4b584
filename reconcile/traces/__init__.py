"""Traces: what happened to single materials, in a bounded store of files and, where wanted, sent to a collector."""
