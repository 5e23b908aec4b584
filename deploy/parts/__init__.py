"""The parts of the local stack: how each is started, and when it is healthy."""
