"""Flink at the edge: everything that imports pyflink stands here."""
