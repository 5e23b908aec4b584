"""Runs other people's code in processes of its own: isolation against faults, not a security sandbox."""
