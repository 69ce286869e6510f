"""The reward model against choix on a table of scores, against scipy, and where it reads its texts."""

import functools

import choix
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from algos.rlhf import ngrams, reward_model
from algos.rlhf.language_model import LanguageModel, Output
from algos.rlhf.ngrams import Ngrams
from algos.rlhf.reward_model import (
    Comparisons,
    Config,
    HParams,
    Mixture,
    accuracy,
    bradley_terry,
    mixed,
    normalised,
    reward,
    score,
)

ITEMS = 6


def table() -> LanguageModel:
    """Returns a model whose score of a text is the number of its last token in a table [ITEMS]."""

    def apply(params, tokens, mask):
        return Output(jnp.zeros((*tokens.shape, ITEMS)), jnp.zeros(tokens.shape), params[tokens])

    return LanguageModel(lambda key: jnp.zeros(ITEMS), apply, None, None, ITEMS)


def judged(number=3000, ties=0.2):
    """Returns comparisons of one-token texts by judges with a Bradley-Terry preference, some of whom see no difference."""
    random = np.random.default_rng(0)
    true = np.linspace(-1.5, 1.5, ITEMS)
    first, second = random.integers(0, ITEMS, (2, number))
    prefers = random.random(number) < 1 / (1 + np.exp(true[second] - true[first]))
    label = np.where(random.random(number) < ties, 0.5, prefers)
    ones = jnp.ones((number, 1))
    return Comparisons(
        jnp.asarray(first)[:, None], ones, jnp.asarray(second)[:, None], ones, jnp.asarray(label, jnp.float32)
    )


def fitted(comparisons):
    """Returns the scores of least loss, mean 0, by scipy on our loss."""
    model = table()
    loss = jax.jit(jax.value_and_grad(lambda params: reward_model.loss(params, model, comparisons)[0]))

    def of(scores):
        value, gradient = loss(jnp.asarray(scores, jnp.float32))
        return float(value), np.asarray(gradient, np.float64)

    found = optimize.minimize(of, np.zeros(ITEMS), jac=True, method="BFGS", options={"gtol": 1e-7}).x
    return found - found.mean()


def test_the_least_loss_is_at_the_scores_that_choix_finds():
    comparisons = judged(ties=0.0)
    first, second = np.asarray(comparisons.first[:, 0]), np.asarray(comparisons.second[:, 0])
    preferred = np.asarray(comparisons.label) == 1.0
    pairs = list(zip(np.where(preferred, first, second), np.where(preferred, second, first)))
    pairs = [pair for pair in pairs if pair[0] != pair[1]]  # an item against itself tells nothing
    expected = choix.ilsr_pairwise(ITEMS, pairs, alpha=0.0)
    np.testing.assert_allclose(fitted(comparisons), expected - expected.mean(), atol=2e-3)


def test_a_tie_counts_as_half_of_each_preference():
    comparisons = judged()
    tied = np.asarray(comparisons.label) == 0.5
    both = [
        np.concatenate([np.where(tied, 1.0, comparisons.label), np.zeros(tied.sum())]),
        [1.0] * tied.size + [1.0] * tied.sum(),
    ]
    weight = np.where(np.concatenate([tied, tied[tied]]), 0.5, 1.0)
    first = np.concatenate([comparisons.first[:, 0], comparisons.first[tied, 0]])
    second = np.concatenate([comparisons.second[:, 0], comparisons.second[tied, 0]])

    def loss(scores):
        difference = scores[first] - scores[second]
        return (
            np.sum(weight * np.where(both[0] == 1.0, np.logaddexp(0, -difference), np.logaddexp(0, difference)))
            / tied.size
        )

    expected = optimize.minimize(loss, np.zeros(ITEMS), method="BFGS").x
    np.testing.assert_allclose(fitted(comparisons), expected - expected.mean(), atol=2e-3)


def test_the_gradient_of_a_pair_is_its_probability_less_its_label():
    difference, label = jnp.array([-30.0, -2.0, 0.0, 0.3, 5.0, 30.0] * 3), jnp.repeat(jnp.array([0.0, 0.5, 1.0]), 6)
    found = jax.grad(lambda d: jnp.sum(bradley_terry(d, label)))(difference)
    d = np.asarray(difference, np.float64)
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-d)) - label, atol=1e-6)
    # Where the first was preferred that is -sigmoid(-d).
    np.testing.assert_allclose(found[12:], -1 / (1 + np.exp(d[12:])), atol=1e-6)


def test_one_epoch_meets_every_pair_once_and_ends_at_rate_0():
    comparisons = judged(320)
    training = reward_model.make(table(), comparisons, Config(pairs=32))
    assert training.updates == 10
    hparams = HParams(learning_rate=0.1)
    step = jax.jit(training.step)
    state, moved = training.init(jax.random.key(0), hparams), []
    for _ in range(11):
        new, metrics = step(state, hparams)
        moved.append(float(jnp.max(jnp.abs(new.params - state.params))))
        state = new
    assert metrics["loss"].shape == () and metrics["loss"] < np.log(2.0)
    assert moved[0] == pytest.approx(0.1, rel=0.01) and 0.0 < moved[9] < 0.03 and moved[10] == 0.0
    assert np.corrcoef(state.params, np.arange(ITEMS))[0, 1] > 0.9


def test_a_score_is_read_at_the_last_real_token_wherever_the_padding_is():
    params = jnp.arange(10.0)
    tokens = jnp.array([[5, 3, 2, 9], [9, 5, 3, 2], [9, 9, 9, 4], [7, 1, 8, 6]])
    mask = jnp.array([[1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 0, 1], [1, 1, 1, 1.0]])
    found = score(table(), params, tokens, mask)
    assert found.shape == (4,) and found.tolist() == [2.0, 2.0, 4.0, 6.0]


def test_rewards_are_scores_less_the_mean_over_the_deviation_of_the_references_texts():
    model, params = table(), jnp.arange(float(ITEMS)) ** 2
    tokens = jax.random.randint(jax.random.key(1), (50, 6), 0, ITEMS)
    mask = (jnp.arange(6) < jax.random.randint(jax.random.key(2), (50, 1), 1, 7)).astype(jnp.float32)
    learned = jax.jit(lambda: normalised(params, score(model, params, tokens, mask)))()
    of_texts = jax.jit(reward(model, learned))
    found = of_texts(tokens, mask, mask[:, 3:])
    assert found.shape == (50,) and found.dtype == jnp.float32
    assert float(jnp.mean(found)) == pytest.approx(0.0, abs=1e-5) and float(jnp.std(found)) == pytest.approx(
        1.0, abs=1e-5
    )
    last = np.asarray(mask.sum(axis=1)).astype(int) - 1
    raw = np.asarray(tokens)[np.arange(50), last] ** 2.0
    np.testing.assert_allclose(of_texts(tokens[:7], mask[:7], None), (raw[:7] - raw.mean()) / raw.std(), atol=1e-4)


def test_accuracy_leaves_ties_out_and_counts_equal_scores_half():
    found = accuracy(jnp.array([2.0, -1.0, 0.0, 9.0, -3.0]), jnp.array([1.0, 1.0, 0.0, 0.5, 0.0]))
    assert found == pytest.approx((1 + 0 + 0.5 + 1) / 4)


def test_fewer_comparisons_than_a_batch_is_refused():
    with pytest.raises(ValueError, match="pairs=64 is more than the 20 comparisons"):
        reward_model.make(table(), judged(20), Config(pairs=64))


def test_an_averaged_score_is_the_mean_over_the_real_tokens_so_far_wherever_the_padding_is():
    params = jnp.array([0.5, -1.0, 2.0, 0.0, 3.0, 7.0])
    tokens, mask = jnp.array([[5, 1, 2, 4], [0, 1, 5, 5]]), jnp.array([[0.0, 1.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0]])
    averaged = reward_model.averaged(table())
    np.testing.assert_allclose(averaged.apply(params, tokens, mask).score[0, 1:], [-1.0, 0.5, 4.0 / 3.0], rtol=1e-6)
    np.testing.assert_allclose(score(averaged, params, tokens, mask), [4.0 / 3.0, -0.25], rtol=1e-6)


def test_a_mixed_score_is_the_weighted_sum_of_the_models_and_the_ngrams_and_may_be_the_ngrams_alone():
    random = np.random.default_rng(3)
    tokens, mask = jnp.asarray(random.integers(0, ITEMS, (8, 5))), jnp.asarray(np.arange(5) < [[3]] * 8, jnp.float32)
    hashed, counts = jax.jit(ngrams.found)(np.arange(ITEMS), tokens, mask)
    known = np.unique(np.asarray(hashed)[np.asarray(counts)])
    numbers = (jnp.asarray(random.uniform(-1.0, 1.0, len(known)), jnp.float32), jnp.ones(len(known)))
    counted = Ngrams(jnp.arange(ITEMS), known, *numbers)
    params, share = jnp.arange(float(ITEMS)), jnp.array([0.5, 2.0])
    alone = jax.jit(ngrams.score)(counted, tokens, mask)[:, 2]
    assert float(jnp.std(alone)) > 0.1
    of_texts = jax.jit(functools.partial(score, mixed(table())))
    found = of_texts(Mixture(params, counted, share), tokens, mask)
    np.testing.assert_allclose(found, 0.5 * tokens[:, 2] + 2.0 * alone, rtol=1e-5)
    found = of_texts(Mixture(None, counted, share), tokens, mask)
    np.testing.assert_allclose(found, 2.0 * alone, rtol=1e-5)


def test_where_the_config_drops_both_texts_are_read_with_the_rate_and_a_key_of_the_update():
    def apply(params, tokens, mask, dropout=None):
        key, rate = (None, 0.0) if dropout is None else dropout
        noise = 0.0 if key is None else 0.3 * jax.random.normal(key)
        return Output(None, None, (1.0 + rate + noise) * params[tokens])

    model = LanguageModel(lambda key: jnp.linspace(-1.0, 1.0, ITEMS), apply, None, None, ITEMS)
    comparisons, hparams = judged(64), HParams(learning_rate=0.0, dropout=0.5)
    for drops in (False, True):  # one batch is all pairs: without noise each update has the same loss
        training = reward_model.make(model, comparisons, Config(pairs=64, drops=drops))
        state, step = training.init(jax.random.key(0), hparams), jax.jit(training.step)
        losses = [float(step(state.replace(update=jnp.int32(k)), hparams)[1]["loss"]) for k in range(2)]
        plain = np.mean(
            bradley_terry(
                state.params[comparisons.first] - state.params[comparisons.second], comparisons.label[:, None]
            )
        )
        assert (abs(losses[0] - losses[1]) > 1e-5) == drops
        assert (abs(losses[0] - float(plain)) > 0.01) == drops
