"""The machine a run computes on: its cores and memory, the flags in force, and the programs that are kept on it."""
