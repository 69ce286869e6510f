"""What is shown: the plan, the screen, plots, drawings of environments, the report."""
