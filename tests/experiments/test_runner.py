"""What the runner reports."""

import dataclasses
import threading

import jax.numpy as jnp
import numpy as np
import pytest

import algos.a2c
from algos.core.types import Algorithm
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.definition.settings import contender
from experiments.lab.running import runner


def test_the_last_evaluation_is_after_the_last_update_and_the_first_before_any():
    assert runner.evaluation_points(10, 3) == [0, 3, 6, 10]
    assert runner.evaluation_points(2, 50) == [0, 1, 2]


def test_steps_before_the_first_update_are_of_the_budget_and_on_the_axis():
    algorithm = Algorithm(None, None, None, steps_per_update=10, steps_in_init=7)
    assert [runner.num_updates(steps, algorithm) for steps in (6, 16, 17, 106, 107)] == [-1, 0, 1, 9, 10]
    assert [runner.env_steps_after(updates, algorithm) for updates in (0, 1, 10)] == [7, 17, 107]


def test_training_return_is_the_mean_over_episodes_and_absent_when_none_ended():
    sums = {
        "episode_count": np.array([4.0, 0.0]),
        "episode_return_sum": np.array([10.0, 0.0]),
        "episode_length_sum": np.array([12.0, 0.0]),
        "loss": np.array([6.0, 8.0]),
        "kl_max": np.array([0.5, 0.25]),
    }
    judged = {"evaluation_return": np.array([1.0, 2.0])}
    rows = {row[:1] + row[2:3]: row[3] for row in runner.metric_rows((7, 8), 100, judged, sums, 4)}
    assert rows[7, "training_return"] == 2.5 and rows[7, "training_length"] == 3.0
    assert (8, "training_return") not in rows
    assert (rows[7, "loss"], rows[8, "loss"]) == (1.5, 2.0)
    assert (rows[7, "kl_max"], rows[8, "kl_max"]) == (0.5, 0.25)
    assert (rows[7, "evaluation_return"], rows[8, "evaluation_return"]) == (1.0, 2.0)


def test_a_trial_never_takes_more_steps_than_its_budget():
    a2c = contender("a2c", "CartPole-v1", 1500)
    per_update = a2c.config.num_envs * a2c.config.num_steps
    finished = list(runner.run(Experiment((Task("CartPole-v1", (a2c,)),), (0,), 1500, 2, 4)))[-1]
    assert finished.env_steps == 1500 // per_update * per_update


def test_a_seed_with_nan_parameters_is_named():
    a2c = contender("a2c", "CartPole-v1", 1024)

    def poisoned(params, apply, batch, hparams):
        return np.nan * jnp.sum(apply(params, batch.observation)[1]), {}

    experiment = Experiment((Task("CartPole-v1", (dataclasses.replace(a2c, loss=poisoned),)),), (4, 5), 1024, 1, 4)
    assert list(runner.run(experiment))[-1].diverged == [4, 5]


def test_metrics_are_of_the_updates_since_the_last_evaluation_alone():
    a2c = contender("a2c", "CartPole-v1", 640)
    per_update = a2c.config.num_envs * a2c.config.num_steps

    def constant(params, apply, batch, hparams):
        total, _ = algos.a2c.loss(params, apply, batch, hparams)
        return total, {"one": jnp.ones(()), "below_0_max": -jnp.ones(()), "gamma": hparams.gamma}

    first = dataclasses.replace(a2c, loss=constant)
    family = (first, dataclasses.replace(first, name="other", hparams=first.hparams.replace(gamma=0.5)))
    events = list(runner.run(Experiment((Task("CartPole-v1", family),), (0, 1), 5 * per_update, 2, 4)))
    evaluated = [event for event in events if isinstance(event, runner.Evaluated)]
    rows = [row for event in evaluated for row in event.rows]
    assert sorted(row[1] for row in rows if row[2] == "one") == [2 * per_update] * 4 + [5 * per_update] * 4
    assert {(row[2], row[3]) for row in rows if row[2] in ("one", "below_0_max")} == {
        ("one", 1.0),
        ("below_0_max", -1.0),
    }
    for event in evaluated:
        gamma = pytest.approx(event.contender.hparams.gamma)
        assert all(row[3] == gamma for row in event.rows if row[2] == "gamma")
        assert event.mean_value == np.mean([row[3] for row in event.rows if row[2] == "evaluation_return"])
    trained = [event.run_seconds for event in events if isinstance(event, runner.Progress)][-1]
    one, other = (event.run_seconds for event in events if isinstance(event, runner.Finished))
    assert one == other and trained <= one + other < trained + 10.0  # half of their family's time each


def two_families(steps):
    """Returns an experiment of two programs."""
    a2c = contender("a2c", "CartPole-v1", steps)
    other = dataclasses.replace(a2c, name="other", config=dataclasses.replace(a2c.config, hidden_sizes=(8,)))
    return Experiment((Task("CartPole-v1", (a2c, other)),), (0,), steps, 2, 4)


def test_the_next_program_is_compiled_while_this_one_runs(monkeypatch):
    real, compiling = runner.compile_programs, []
    first_ran, second_compiled = threading.Event(), threading.Event()

    def waiting_for_each_other(*arguments):
        compiling.append(arguments)
        if len(compiling) == 2:
            assert first_ran.wait(60.0)
        found = real(*arguments)
        if len(compiling) == 2:
            second_compiled.set()
        return found

    monkeypatch.setattr(runner, "compile_programs", waiting_for_each_other)
    told = []
    for event in runner.run(two_families(640)):
        told.append((type(event).__name__, event.family[0].name))
        if told[-1] == ("Progress", "a2c") and not first_ran.is_set():
            first_ran.set()
            assert second_compiled.wait(60.0)
    assert told[:2] == [("Compiling", "a2c"), ("Compiling", "other")]
    assert told.index(("Compiled", "other")) < told.index(("Finished", "a2c")) < told.index(("Progress", "other"))
    assert len(compiling) == 2 and told[-1] == ("Finished", "other")


def test_what_cannot_be_compiled_is_raised_when_its_turn_comes(monkeypatch):
    real, calls, told = runner.compile_programs, [], []

    def failing(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise ZeroDivisionError
        return real(*arguments)

    monkeypatch.setattr(runner, "compile_programs", failing)
    with pytest.raises(ZeroDivisionError):
        for event in runner.run(two_families(640)):
            told.append(type(event).__name__)
    assert told[-1] == "Finished" and "Compiled" not in told


@pytest.mark.parametrize("seeds", [(0,), tuple(range(9))])
def test_steps_are_counted_over_the_seeds_that_were_asked_for(seeds):
    a2c = contender("a2c", "CartPole-v1", 640)
    events = list(runner.run(Experiment((Task("CartPole-v1", (a2c,)),), seeds, 640, 2, 4)))
    last = [event for event in events if isinstance(event, runner.Progress)][-1]
    shares = [event.share for event in events if isinstance(event, runner.Progress)]
    assert last.share == 1.0 and shares == sorted(shares)
    assert last.env_steps == events[-1].env_steps * len(seeds)
