"""The sweeps that rows of `lab/definition/settings.py` come from: one file an environment."""
