"""What runs an experiment: what is refused beforehand, programs, chunks, the launch and its end."""
