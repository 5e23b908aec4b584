"""The model server: Triton in a Python environment of its own, and the model repository that it serves."""
