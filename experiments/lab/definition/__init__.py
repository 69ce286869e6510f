"""What an experiment is, as plain data: tasks, contenders, settings, sweeps, and what the command line changes of it."""
