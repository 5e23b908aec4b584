"""Recall outside the process: one interface, declared capabilities, and a suite that checks them."""
