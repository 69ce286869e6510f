"""What a run leaves: its folder, manifest, checkpoints, policies and code, and how two folders differ."""
