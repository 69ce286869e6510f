"""Algorithms: one file each, as two pure functions; what they share is in `core`."""
