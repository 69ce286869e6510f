"""What holds for every learner of games and of teams, as test_algorithms.py has it for one agent's: bits do not depend on how a run
is cut nor on other seeds, and keys are used once. A new learner joins `LEARNERS`."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algos.core.loop import advance, no_metrics
from experiments import compare
from experiments.lab.definition.experiment import Contender, Experiment
from experiments.lab.definition.settings import AGENTS, TEAMS
from experiments.lab.running import runner

pytestmark = pytest.mark.slow

TURNS = {"num_envs": 8, "num_steps": 4, "hidden_sizes": ()}
EPOCHS = TURNS | {"num_epochs": 2, "num_minibatches": 2}
OWN = {"num_envs": 4, "hidden_sizes": (4,), "own_parameters": True}
REPLAYED = OWN | {"batch_size": 16, "buffer_size": 256, "warmup_steps": 32}
SPREAD = "Spread(agent_ids=True)"
LEARNERS = {
    **{name: ("Kuhn", EPOCHS) for name in ("mmd", "neurd", "entropy_annealed_ppo")},
    "fictitious_self_play": ("Kuhn", EPOCHS | {"num_opponents": 2, "store_size": 2, "store_interval": 2}),
    "nfsp": ("Kuhn", TURNS | {"num_updates": 2, "batch_size": 16, "buffer_size": 64, "reservoir_size": 64}),
    "ia2c": (SPREAD, OWN | {"num_steps": 4}),
    **{name: (SPREAD, OWN | {"num_steps": 4, "num_minibatches": 2}) for name in ("ippo", "mappo")},
    **{name: (SPREAD, REPLAYED) for name in ("iql", "vdn", "qmix")},
}


def contender(name):
    module, makes_it = (AGENTS | TEAMS)[name]
    return Contender(name, module, module.Config(**LEARNERS[name][1], **makes_it), module.HParams(total_steps=1000.0))


@functools.cache
def made(name):
    """Returns (algorithm, hyperparameters) of a small learner."""
    task = compare.task_of(LEARNERS[name][0], compare.Args(env=(LEARNERS[name][0],), algos=(name,)))
    one = contender(name)
    return one.algorithm.make(task.make(), one.config), one.hparams


def raw(tree):
    return [
        np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x)
        for x in jax.tree.leaves(tree)
    ]


def test_every_learner_is_asked():
    assert set(LEARNERS) == {
        name for name, (module, _) in (AGENTS | TEAMS).items() if hasattr(module.Config, "num_envs")
    }


@pytest.mark.parametrize("name", LEARNERS)
def test_a_run_cut_into_chunks_has_the_bits_of_the_straight_run_and_no_key_is_used_twice(name):
    algorithm, hparams = made(name)
    with jax.debug_key_reuse(True):
        jax.jit(lambda key: algorithm.step(algorithm.init(key, hparams), hparams)).lower(jax.random.key(0))
    begin = jax.jit(lambda key: algorithm.init(key, hparams))
    go_on = jax.jit(lambda state, n: advance(algorithm, state, hparams, no_metrics(algorithm, state, hparams), n)[0])
    first = begin(jax.random.key(0))
    straight, cut = go_on(first, 6), functools.reduce(go_on, (1, 3, 2), first)
    for one, other in zip(raw(straight), raw(cut), strict=True):
        np.testing.assert_array_equal(one, other)
    assert any(np.any(x != y) for x, y in zip(raw(straight.params), raw(first.params)))


@pytest.mark.parametrize("name", ["mmd", "fictitious_self_play", "nfsp", "ippo", "iql"])
def test_a_seed_alone_has_the_bits_that_it_has_among_others(name):
    environment = LEARNERS[name][0]
    task = compare.task_of(environment, compare.Args(env=(environment,), algos=(name,), eval_episodes=4))
    task = dataclasses.replace(task, contenders=(contender(name),))

    def found(seeds):
        experiment = Experiment((task,), seeds, 320, evaluations=2, eval_episodes=4, width=1)
        events = list(runner.run(experiment))
        rows = [row for event in events if isinstance(event, runner.Evaluated) for row in event.rows]
        return {row[:3]: row[3] for row in rows if row[0] == 2}, events[-1].acting["params"]

    (alone, params), (among, others) = found((2,)), found((0, 2, 5))
    assert alone == among and alone
    for one, other in zip(jax.tree.leaves(params), jax.tree.leaves(others)):
        np.testing.assert_array_equal(one[0], other[1])
