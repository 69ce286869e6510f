"""What ranks: the metric of a task, statistics over seeds, verdicts in words."""
