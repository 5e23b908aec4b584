"""Runs one third-party plug-in in a child process that can be killed.

This is isolation against **faults**, not a security sandbox. A plug-in that raises, loops, eats memory, crashes the
interpreter or answers nonsense hurts only itself. But its code runs as the worker's own user: it can read that user's
files and open connections. What keeps hostile code out is the registry's allow list, and nothing here.
"""
