"""Learning from pairs: what the losses are, and where they lead when every pair of answers is there."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from listed import listed, log_probs, quick_jit, token_log_probs, whole_texts

from algos.rlhf import dpo, ipo, optimum, preference
from algos.rlhf.experience import reader
from algos.rlhf.preference import PairBatch, Pairs
from algos.rlhf.types import Sequence

TASK = listed(3, 2)
TEXT = TASK.env.text
APPLY = reader(TEXT.reference, 2, 1.0)
BETA = 0.5


def every_pair():
    """Returns (pairs of all different answers in both orders, the indices of chosen and of rejected)."""
    better, worse = np.array(list(itertools.permutations(range(len(TASK.tokens)), 2))).T
    whole, mask = whole_texts(TASK)
    sides = [(Sequence(whole[side], mask[side]), TASK.mask[side]) for side in (better, worse)]
    return Pairs(*sides[0], *sides[1]), better, worse


PAIRS, BETTER, WORSE = every_pair()


def preferred():
    """Returns the probability [pairs] that the first of each pair is chosen, as Bradley and Terry have it."""
    return 1.0 / (1.0 + np.exp(TASK.reward[WORSE] - TASK.reward[BETTER]))


def expectation():
    """Returns the batch whose weighted sum is the expected loss where pairs are drawn uniformly from all."""
    batch = preference.batch_of(TEXT, PAIRS, 1.0)
    return batch.replace(weight=jnp.asarray(2.0 * preferred() / len(BETTER), jnp.float32))


def descended(loss, hparams, steps=2000):
    """Returns the parameters after gradient descent on the expected loss from the reference, preconditioned by Adam."""
    optimizer = optax.adam(optax.cosine_decay_schedule(0.05, steps))
    batch = expectation()

    def step(carry, _):
        params, state = carry
        gradient = jax.grad(lambda params: loss(params, APPLY, batch, hparams)[0])(params)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(params, updates), state), None

    def run(params):
        return jax.lax.scan(step, (params, optimizer.init(params)), None, steps)[0][0]

    return quick_jit(run)(TEXT.reference_params)


def test_dpo_leads_to_the_optimum_of_the_reward_that_preferences_come_from():
    found = log_probs(TASK, descended(dpo.loss, dpo.HParams(beta=BETA)))
    star = optimum.optimal(TASK.log_reference.sum(1), TASK.reward, BETA)
    assert optimum.divergence(found, star) < 1e-4
    assert optimum.divergence(TASK.log_reference.sum(1), star) > 0.1


def test_ipo_leads_to_the_optimum_of_the_probability_of_being_preferred():
    found = log_probs(TASK, descended(ipo.loss, ipo.HParams(beta=BETA)))
    share = np.bincount(BETTER, weights=preferred()) / (len(TASK.tokens) - 1)  # against any other, all alike
    # pairs are of two different answers: against a drawn one, y itself with it, what moves is (n - 1) / n of that
    number = len(TASK.tokens)
    own = optimum.optimal(TASK.log_reference.sum(1), share * (number - 1) / number, BETA)
    assert optimum.divergence(found, own) < 1e-4
    assert optimum.divergence(found, optimum.optimal(TASK.log_reference.sum(1), TASK.reward, BETA)) > 0.05


def test_the_losses_are_their_formulas_and_prompts_are_not_in_the_sums():
    params = TEXT.reference.init(jax.random.key(5))
    batch = preference.batch_of(TEXT, PAIRS, 0.8)
    log_pi = token_log_probs(TASK, params, 0.8).sum(1)
    log_rho = token_log_probs(TASK, TEXT.reference_params, 0.8).sum(1)
    h = (log_pi - log_rho)[BETTER] - (log_pi - log_rho)[WORSE]
    np.testing.assert_allclose(batch.reference, np.concatenate([log_rho[BETTER], log_rho[WORSE]]), atol=1e-5)
    assert PAIRS.chosen_mask.shape == (42, 2) and PAIRS.chosen.mask.shape == (42, 4)
    apply = reader(TEXT.reference, 2, 0.8)
    value, told = dpo.loss(params, apply, batch, dpo.HParams(beta=0.3))
    assert value == pytest.approx(np.mean(np.log1p(np.exp(-0.3 * h))), rel=1e-5)
    assert told["margin"] == pytest.approx(0.3 * h.mean(), abs=1e-6)
    assert told["accuracy"] == pytest.approx((h > 0).mean())
    assert told["chosen_log_prob"] == pytest.approx(log_pi[BETTER].mean(), rel=1e-5)
    assert told["rejected_log_prob"] == pytest.approx(log_pi[WORSE].mean(), rel=1e-5)
    value, _ = ipo.loss(params, apply, batch, ipo.HParams(beta=0.3))
    assert value == pytest.approx(np.mean((h - 1 / 0.6) ** 2), rel=1e-5)


def test_at_the_start_the_margin_is_0_and_the_losses_are_known():
    batch = preference.batch_of(TEXT, PAIRS, 0.8)
    apply = reader(TEXT.reference, 2, 0.8)
    value, told = dpo.loss(TEXT.reference_params, apply, batch, dpo.HParams())
    assert value == pytest.approx(np.log(2.0)) and told["margin"] == 0.0
    value, _ = ipo.loss(TEXT.reference_params, apply, batch, ipo.HParams(beta=0.25))
    assert value == pytest.approx(4.0)


def test_an_epoch_meets_every_pair_once_and_the_next_in_another_order():
    met = []

    def loss(params, apply, batch: PairBatch, hparams):
        return jnp.sum(params["value"]) * 0.0, {"met": batch.action @ jnp.array([10.0, 1.0])}

    algorithm = dpo.make(TASK.env, dpo.Config(batch_size=10), pairs=PAIRS, loss=loss)  # 42 pairs: 4 batches, 2 are left
    state = algorithm.init(jax.random.key(0), dpo.HParams())
    step = quick_jit(algorithm.step)
    for _ in range(8):
        state, told = step(state, dpo.HParams())
        met.append(np.asarray(told["met"]).reshape(2, -1).T)
    code = TASK.tokens @ np.array([10.0, 1.0])
    pairs = {(a, b) for a, b in zip(code[BETTER], code[WORSE])}
    epochs = [[tuple(pair) for batch in met[first : first + 4] for pair in batch.tolist()] for first in (0, 4)]
    for epoch in epochs:
        assert len(epoch) == 40 == len(set(epoch)) and set(epoch) <= pairs
    assert epochs[0] != epochs[1]


def test_labels_are_drawn_as_bradley_and_terry_have_it():
    pairs = jax.device_get(quick_jit(lambda key: preference.labelled(TEXT, key, 4000))(jax.random.key(0)))
    index = {tuple(tokens): row for row, tokens in enumerate(TASK.tokens)}
    better, worse = ([index[tuple(row[2:])] for row in side.tokens] for side in (pairs.chosen, pairs.rejected))
    better, worse = np.array(better), np.array(worse)
    rho = np.exp(TASK.log_reference.sum(1))
    p = 1.0 / (1.0 + np.exp(TASK.reward[None] - TASK.reward[:, None]))
    expected = 2.0 * rho[:, None] * rho[None] * p
    found = np.zeros_like(expected)
    np.add.at(found, (better, worse), 1.0 / 4000)
    assert np.abs(found - expected).max() < 5 * np.sqrt(expected.max() / 4000)
    np.testing.assert_array_equal(pairs.chosen_mask, TASK.mask[better])
    assert (TASK.reward[better] > TASK.reward[worse]).sum() > 1.2 * (TASK.reward[better] < TASK.reward[worse]).sum()


@pytest.mark.parametrize(
    ("pairs", "config", "words"),
    [
        (PAIRS, {"batch_size": 43}, "batch_size=43 is more than there are pairs, 42"),
        (PAIRS, {"batch_size": 0}, "batch_size must be a positive integer, not 0"),
        (PAIRS.replace(chosen_mask=PAIRS.chosen.mask), {}, r"the masks of pairs are of their answers, \[42, 2\]"),
        (jax.tree.map(lambda x: x[:, 1:], PAIRS), {}, "pairs are texts of 4 tokens, prompt and answer, not 3"),
    ],
)
def test_pairs_that_do_not_fit_are_refused_in_one_line(pairs, config, words):
    with pytest.raises(ValueError, match=words):
        dpo.make(TASK.env, dpo.Config(**{"batch_size": 8, **config}), pairs=pairs)
