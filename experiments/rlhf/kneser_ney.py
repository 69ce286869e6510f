"""How likely a text is, by the characters before each of its characters: interpolated Kneser-Ney.

Kneser and Ney, "Improved backing-off for m-gram language modeling", 1995; in the interpolated form, and with the three
discounts, of Chen and Goodman, "An empirical study of smoothing techniques for language modeling", 1998:

    p_n(c | h) = max(k(hc) - D(k(hc)), 0) / k(h.) + sum_c' min(D(k(hc')), k(hc')) / k(h.) * p_{n-1}(c | h'),  p_0 = 1 / V

h are the n - 1 symbols before c, h' all but the farthest of them. In the longest n-grams k counts how often they occur,
in shorter ones how many different symbols come before them: "Francisco" is frequent, and follows little but "San". Where an
n-gram begins at a text's beginning nothing else comes before it, and k counts occurrences. The end of a text is a symbol
like a character; a character that the texts lack is one more symbol, "another character".
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

ORDER = 7
LEAST = 0.01  # of a discount


class Level(NamedTuple):
    """The n-grams of one length: their contexts, each the farthest symbol before a shorter context, and what follows."""

    contexts: np.ndarray  # int64 [C], increasing: shorter context * base + farthest symbol
    grams: np.ndarray  # int64 [G], increasing: context * base + symbol
    discounted: np.ndarray  # float64 [G]: the first term of the equation
    passed_on: np.ndarray  # float64 [C]: what the shorter context's probability is multiplied by


class KneserNey(NamedTuple):
    """Symbols: A characters by number, A for another character, A + 1 for the end, A + 2 for what lies before a text."""

    characters: np.ndarray  # uint32 [A], code points, increasing
    levels: tuple[Level, ...]  # n = 1, 2, ... order

    @property
    def order(self) -> int:
        return len(self.levels)

    @property
    def num_symbols(self) -> int:
        """V: what may come next."""
        return len(self.characters) + 2


def fit(texts: Sequence[str], order: int = ORDER) -> KneserNey:
    """Returns the model of the texts. Raises ValueError where there are none."""
    if not texts or order < 1:
        raise ValueError(
            f"a Kneser-Ney model has texts and an order of 1 or more, not {len(texts)} texts, order {order}"
        )
    characters = np.unique(np.concatenate([_code_points(text) for text in texts]))
    history, symbol = _windows(characters, texts, order)
    base, context = len(characters) + 3, np.zeros(len(symbol), np.int64)
    contexts, raw = [np.zeros(1, np.int64)], [np.unique(context * base + symbol, return_counts=True)]
    for n in range(2, order + 1):
        keys, context = np.unique(context * base + history[:, 1 - n], return_inverse=True)
        contexts.append(keys)
        raw.append(np.unique(context * base + symbol, return_counts=True))
    levels = []
    for n, (grams, occurrences) in enumerate(raw, 1):
        counts = occurrences
        if n < order:
            longer = raw[n][0]
            before = np.unique(contexts[n][longer // base] // base * base + longer % base, return_counts=True)[1]
            at_beginning = (n > 1) & (contexts[n - 1][grams // base] % base == base - 1)
            counts = np.where(at_beginning, occurrences, before)
        levels.append(_level(contexts[n - 1], grams, counts, base))
    return KneserNey(characters, tuple(levels))


def _level(contexts: np.ndarray, grams: np.ndarray, counts: np.ndarray, base: int) -> Level:
    context = grams // base
    off = np.minimum(discounts(counts)[np.minimum(counts, 3)], counts)
    total = np.bincount(context, counts, len(contexts))
    return Level(contexts, grams, (counts - off) / total[context], np.bincount(context, off, len(contexts)) / total)


def discounts(counts: np.ndarray) -> np.ndarray:
    """Returns D(0), D(1), D(2), D(3 and more) from how many n-grams are counted once, twice, ...:

    Y = n1 / (n1 + 2 n2); D(k) = k - (k + 1) Y n_{k+1} / n_k. Where texts are too few to have some of each it is Y for all,
    and 1/2 where none is counted once; LEAST, where the formula gives less: without a discount what is new had no probability.
    """
    n1, n2, n3, n4 = np.bincount(np.minimum(counts, 5), minlength=6)[1:5]
    one = n1 / (n1 + 2 * n2) if n1 else 0.5
    if not (n1 and n2 and n3):
        return np.array([0.0, one, one, one])
    return np.array([0.0, 1 - 2 * one * n2 / n1, *np.clip([2 - 3 * one * n3 / n2, 3 - 4 * one * n4 / n3], LEAST, None)])


def log_prob(model: KneserNey, texts: Sequence[str], ended: bool | np.ndarray = True) -> np.ndarray:
    """Returns log P of each text, [N] in nats. ended: whether the end is one of its symbols; of all, or of each [N]."""
    history, symbol = _windows(model.characters, texts, model.order)
    lengths = np.array([len(text) + 1 for text in texts])
    with np.errstate(divide="ignore"):  # few texts may leave no chance at all to what they lack
        found = np.log(probability(model, history, symbol))
    ends = np.cumsum(lengths) - 1
    found[ends] = np.where(np.broadcast_to(ended, len(texts)), found[ends], 0.0)
    return np.add.reduceat(found, np.cumsum(lengths) - lengths)


def probability(model: KneserNey, history: np.ndarray, symbol: np.ndarray) -> np.ndarray:
    """Returns p(symbol | history), [N], of symbols [N] after the order - 1 symbols before each, [N, order - 1]."""
    base, context = model.num_symbols + 1, np.zeros(len(symbol), np.int64)
    chance = np.full(len(symbol), 1.0 / model.num_symbols)
    for n, level in enumerate(model.levels, 1):
        if n > 1:
            context = np.where(context < 0, -1, _place(level.contexts, context * base + history[:, 1 - n]))
        known, gram = context >= 0, _place(level.grams, context * base + symbol)
        first = np.where(gram >= 0, level.discounted[gram], 0.0)
        chance = np.where(known, first + level.passed_on[context] * chance, chance)
    return chance


def _place(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Returns where each wanted key is among the increasing keys, -1 where it is not."""
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, place, -1)


def _windows(characters: np.ndarray, texts: Sequence[str], order: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns (the order - 1 symbols before each symbol, each symbol) of all texts and their ends."""
    num, rows = len(characters), []
    for text in texts:
        place = _place(characters, _code_points(text))
        symbols = np.concatenate([np.full(order - 1, num + 2), np.where(place < 0, num, place), [num + 1]])
        rows.append(np.lib.stride_tricks.sliding_window_view(symbols, order))
    windows = np.concatenate(rows)
    return windows[:, :-1], windows[:, -1]


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
