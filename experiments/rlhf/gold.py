"""The gold judge: a model of the mean human rating, fitted on sentences that training never sees.

What a policy gains from a reward model is held against it. It stands in for the people who rated: its score is in their
units, and how far it agrees with them is measured on sentences that it has not seen either.
"""

from typing import NamedTuple

import numpy as np

from experiments.rlhf.features import stems_and_parts
from experiments.rlhf.linear import Linear, fit_ratings
from experiments.rlhf.pairs import accuracy
from experiments.rlhf.reading import Rated

RIDGE = 0.5  # chosen on the validation part


class Agreement(NamedTuple):
    """How far a score agrees with people, on sentences that it has not seen."""

    correlation: float  # Pearson's, with the mean rating
    pair_accuracy: float  # over all pairs and all ratings


def fit(rated: Rated, part: np.ndarray) -> Linear:
    """Returns the judge fitted on the sentences of the part."""
    return fit_ratings([rated.texts[index] for index in part], rated.means[part], stems_and_parts, RIDGE)


def agreement(scores: np.ndarray, rated: Rated, part: np.ndarray) -> Agreement:
    """Returns how far the scores [len(part)] of the sentences of the part agree with their raters."""
    correlation = float(np.corrcoef(scores, rated.means[part])[0, 1])
    return Agreement(correlation, accuracy([rated.ratings[index] for index in part], scores))
