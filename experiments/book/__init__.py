"""Figures of Sutton and Barto (2018) made again, with intervals over runs: python -m experiments.book 7.2

One file a family of figures: what is run, and what the book has. A new figure is a function () -> `figure.Figure` and a
line in `FIGURES` of `experiments.book.__main__`.
"""
