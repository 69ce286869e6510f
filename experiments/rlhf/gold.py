"""The gold judge: a model of the mean human rating, fitted on sentences that training never sees.

What a policy gains from a reward model is held against it. It stands in for the people who rated: its score is in their
units, and how far it agrees with them is measured on sentences that it has not seen either.
"""

from typing import NamedTuple

import numpy as np

from experiments.rlhf.features import stems, word_parts
from experiments.rlhf.linear import Linear, Weighing, fit_ratings
from experiments.rlhf.pairs import accuracy
from experiments.rlhf.reading import Rated

# How these were chosen, and on which sentences, was not written down: the accuracy on held-out ones may be a little too high.
FEATURES = ((stems, 0.7), (word_parts, 0.3))
RIDGE, WEIGHING = 0.4, Weighing(prior=5.0, least=0.2)


class Agreement(NamedTuple):
    """How far a score agrees with people, on sentences that it has not seen."""

    correlation: float  # Pearson's, with the mean rating
    pair_accuracy: float  # over all pairs and all ratings


def fit(rated: Rated, part: np.ndarray) -> Linear:
    """Returns the judge fitted on the sentences of the part."""
    return fit_ratings([rated.texts[index] for index in part], rated.means[part], FEATURES, RIDGE, WEIGHING)


def agreement(scores: np.ndarray, rated: Rated, part: np.ndarray) -> Agreement:
    """Returns how far the scores [len(part)] of the sentences of the part agree with their raters."""
    correlation = float(np.corrcoef(scores, rated.means[part])[0, 1])
    return Agreement(correlation, accuracy([rated.ratings[index] for index in part], scores))
