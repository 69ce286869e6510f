"""The linear part of the reward model: Bradley and Terry's model of comparisons, of which n-grams of tokens texts have.

    min_w  -sum_k [l_k log sigma(d_k) + (1 - l_k) log sigma(-d_k)] + RIDGE / 2 |w|^2,    d_k = w . (x_first - x_second)

x is of length 1, its entries c_g = idf_g (LEAST + |sum of what the texts with g won| / (n_g + PRIOR)), n_g of them: `linear.py`
says this of words, and of ratings where this has comparisons. What a text won is its wins less its defeats over its pairs,
halved. The three numbers were chosen by pairs of validation sentences.
"""

import jax
import numpy as np
from scipy import sparse

from algos.rlhf import ngrams
from algos.rlhf.ngrams import Ngrams
from algos.rlhf.tokeniser import Tokeniser
from experiments.rlhf import encoding, linear
from experiments.rlhf.pairs import Pairs

RIDGE, WEIGHING = 2.0, linear.Weighing(prior=3.0, least=0.2)
READ = 256  # texts at a time


def fit(rows: encoding.Rows, pairs: Pairs, pieces: Tokeniser) -> Ngrams:
    """Returns the model of pairs of texts, whose rows these are."""
    used, first, second = linear.compared(pairs)
    folded = np.array(pieces.folded, np.int32)
    found = ngrams_of(rows.of(used), folded)
    known, place, texts = np.unique(np.concatenate(found), return_inverse=True, return_counts=True)
    owner = np.repeat(np.arange(len(used)), list(map(len, found)))
    size = sizes(place, owner, texts, won(first, second, pairs.label, len(used)))
    length = np.sqrt(np.bincount(owner, size[place] ** 2, len(used)))
    entries = size[place] / length[owner], (owner, place)
    w = linear.bradley_terry(sparse.csr_array(entries, (len(used), len(known))), first, second, pairs.label, RIDGE)
    numbers = (np.asarray(x, np.float32) for x in (w * size, size**2))
    return Ngrams(folded, known, *numbers)


def ngrams_of(rows: encoding.Rows, folded: np.ndarray) -> list[np.ndarray]:
    """Returns the hashes of each text's n-grams, each once."""
    read, hashes = jax.jit(ngrams.found), []
    for at in range(0, len(rows.tokens), READ):
        hashed, counts = (
            np.moveaxis(np.asarray(x), 0, 1)
            for x in read(folded, *(x[at : at + READ] for x in (rows.tokens, rows.mask)))
        )
        hashes += [row[own] for row, own in zip(hashed, counts)]
    return hashes


def won(first: np.ndarray, second: np.ndarray, label: np.ndarray, number: int) -> np.ndarray:
    """Returns the mean of label - 1/2, as the text has it, over each text's pairs, [number]."""
    net = np.bincount(first, label - 0.5, number) + np.bincount(second, 0.5 - label, number)
    return net / (np.bincount(first, minlength=number) + np.bincount(second, minlength=number))


def sizes(place: np.ndarray, owner: np.ndarray, texts: np.ndarray, each: np.ndarray) -> np.ndarray:
    """Returns c_g [G]; place and owner: the n-gram and the text of each entry; texts [G]: how many have it."""
    inverse = np.log((1.0 + len(each)) / (1.0 + texts)) + 1.0
    said = np.bincount(place, each[owner], len(texts))
    return inverse * (WEIGHING.least + np.abs(said) / (texts + WEIGHING.prior))
