"""Reconciliation of a running system: gathers the sides, has Flink compare them, repairs what is missing."""
