"""What a policy writes, beside how it is rewarded: a gain counts only where these hold.

distinct-2: Li et al., "A diversity-promoting objective function for neural conversation models", 2016. It falls as texts
grow in number, whoever writes them: compare equal numbers.
"""

from collections.abc import Sequence

import numpy as np

from experiments.rlhf.features import neighbours, words
from experiments.rlhf.kneser_ney import KneserNey, log_prob


def distinct_2(texts: Sequence[str]) -> float:
    """Returns the share of pairs of neighbouring words, over all texts, that differ from every other; NaN for no pair."""
    pairs = [pair for text in texts for pair in neighbours(words(text))]
    return len(set(pairs)) / len(pairs) if pairs else np.nan


def lengths(texts: Sequence[str]) -> np.ndarray:
    """Returns the length of each text in characters, [N]."""
    return np.array([len(text) for text in texts])


def fluency(model: KneserNey, texts: Sequence[str], ended: bool | np.ndarray = True) -> float:
    """Returns the mean log-probability of a character, in nats: of all texts, and of the ends of those that are `ended`,
    over their characters without ends; NaN where there are none."""
    characters = lengths(texts).sum()
    return float(log_prob(model, texts, ended).sum() / characters) if characters else np.nan


def bits_per_character(model: KneserNey, texts: Sequence[str]) -> float:
    """Returns what the texts and their ends cost in bits, over their characters without ends: the measure of the
    supervised stage."""
    return -fluency(model, texts) / float(np.log(2.0))
