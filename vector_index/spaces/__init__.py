"""Recall: approximate search over the stored features of one plug-in version."""
