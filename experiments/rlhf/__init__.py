"""Learning from human ratings, end to end: texts, pairs, judges and measures of what a language policy writes."""
