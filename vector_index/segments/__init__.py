"""Vectors on disk and in memory: one active segment that takes writes, sealed ones that never change."""
