"""Rows that do not count, of who is gone or waits: whatever is in them, a loss is that of the others alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algos import a2c, dqn, pgql, ppo, reinforce, trpo
from algos.agents import mmd, neurd
from algos.core.distributions import Categorical
from algos.core.types import Batch, ReplayBatch

ROWS, SEEN, ACTIONS = 24, 3, 4
COUNTS = np.arange(ROWS) % 3 != 1
ON_POLICY = (a2c, ppo, reinforce, trpo, mmd, neurd)
REPLAYED = (dqn, pgql)


def linear(params, observation):
    return Categorical(observation @ params["policy"]), observation @ params["value"]


def action_values(params, observation):
    return observation @ params["policy"]


def params_of(seed):
    one, two = jax.random.split(jax.random.key(seed))
    return {"policy": jax.random.normal(one, (SEEN, ACTIONS)), "value": jax.random.normal(two, (SEEN,))}


def filled(kind, scale, seed):
    """Returns a batch [24] of arbitrary numbers, whose numbers are other ones, `scale` times as large, where a row does not count."""
    generator = np.random.default_rng(0)

    def numbers(*shape):
        here, there = generator.normal(size=(ROWS, *shape)), np.random.default_rng(seed).normal(size=(ROWS, *shape))
        counts = COUNTS.reshape(-1, *[1] * len(shape))
        return jnp.asarray(np.where(counts, here, scale * there), jnp.float32)

    action = jnp.asarray(np.where(COUNTS, generator.integers(ACTIONS, size=ROWS), seed % ACTIONS), jnp.int32)
    over, mask = (
        jnp.asarray(np.where(COUNTS, np.arange(ROWS) % 5 == 0, seed % 2 == 0)),
        jnp.asarray(COUNTS, jnp.float32),
    )
    if kind is ReplayBatch:
        return ReplayBatch(
            observation=numbers(SEEN), action=action, reward=numbers(), discount=numbers(), next_observation=numbers(SEEN),
            terminated=over, mask=mask, target_params=params_of(7),
        )  # fmt: skip
    policy = Categorical(numbers(ACTIONS))
    return Batch(
        observation=numbers(SEEN), action=action, policy=policy, log_prob=policy.log_prob(action), value=numbers(),
        reward=numbers(), next_observation=numbers(SEEN), next_value=numbers(), terminated=over, truncated=over,
        advantage=numbers(), value_target=numbers(), mask=mask,
    )  # fmt: skip


def found(module, batch):
    """Returns the loss of an algorithm of a batch, its metrics and its gradient, entropy being worth something."""
    fields = {"entropy_coef": 0.3, "temperature": 0.3, "value_coef": 0.5}
    hparams = module.HParams(**{name: x for name, x in fields.items() if hasattr(module.HParams(), name)})
    loss = pgql.q_learning if module is pgql else module.loss
    apply = action_values if module is dqn else linear
    return jax.tree.leaves(jax.value_and_grad(loss, has_aux=True)(params_of(1), apply, batch, hparams))


@pytest.mark.parametrize("module", [*ON_POLICY, *REPLAYED], ids=lambda module: module.__name__.rpartition(".")[2])
def test_whatever_is_in_rows_that_do_not_count_loss_entropy_and_gradient_are_those_of_the_others_alone(module):
    kind = ReplayBatch if module in REPLAYED else Batch
    batch = filled(kind, 1.0, seed=1)
    whole = found(module, batch)
    rows = {name: x for name, x in vars(batch).items() if name != "target_params"}
    alone = batch.replace(**jax.tree.map(lambda x: x[COUNTS], rows))
    for one, other in zip(whole, found(module, alone), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    for one, other in zip(whole, found(module, filled(kind, 20.0, seed=2)), strict=True):
        np.testing.assert_array_equal(one, other)
    assert any(np.abs(x).max() > 0.01 for x in whole)
