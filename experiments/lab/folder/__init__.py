"""The run folder as it lies on the disk: what is in it, written whole, read back, and compared with another's."""
