"""report.html of a pipeline: what policies wrote before and after, and what the gain is worth."""

from experiments.rlhf.report.page import render

__all__ = ["render"]
