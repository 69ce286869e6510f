"""A second judge that shares nothing with the gold one: a lexicon with rules.

Hutto and Gilbert, "VADER: A parsimonious rule-based model for sentiment analysis of social media text", 2014. Its package is
imported where it is asked for alone.
"""

from collections.abc import Sequence

import numpy as np

INSTALL = "the vader column needs a package more: pip install vaderSentiment"


def scores(texts: Sequence[str]) -> np.ndarray:
    """Returns the compound score of each text, -1 to 1, [N]. Raises ValueError, in one line, without the package."""
    try:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
    except ImportError:
        raise ValueError(INSTALL) from None
    analyzer = SentimentIntensityAnalyzer()
    return np.array([analyzer.polarity_scores(text)["compound"] for text in texts])
