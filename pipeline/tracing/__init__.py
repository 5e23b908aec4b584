"""Traces of single materials: recorded where a material is understood, told by `sosie trace`."""
