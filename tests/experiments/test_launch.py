"""What is refused before anything compiles."""

import dataclasses

import pytest

from experiments.lab.checks import check
from experiments.lab.experiment import Experiment, Task
from experiments.lab.machine import hardware
from experiments.lab.settings import ALGORITHMS, TUNED, contender


def experiment(environment, name, steps=100_000, seeds=10, **config):
    one = contender(name, environment, steps)
    one = dataclasses.replace(one, config=dataclasses.replace(one.config, **config))
    return Experiment((Task(environment, (one,)),), tuple(range(seeds)), steps)


def test_a_buffer_that_cannot_fit_is_told_what_it_needs_and_what_is_free(monkeypatch):
    monkeypatch.setattr(hardware, "free_memory", lambda: 2**30)
    check(experiment("CartPole-v1", "dqn", buffer_size=2_000_000, seeds=1))  # 45 bytes a transition
    with pytest.raises(ValueError, match=r"needs 1\.\d GiB for 20 trials.* 2,000,000 transitions; 1\.0 GiB are free"):
        check(experiment("CartPole-v1", "dqn", buffer_size=2_000_000, seeds=20))


def test_continuous_actions_are_refused_by_dqn_which_names_who_takes_them():
    with pytest.raises(ValueError, match="dqn needs discrete actions, Pendulum-v1 has .* ppo"):
        check(experiment("Pendulum-v1", "dqn"))


def test_the_warm_up_counts_towards_the_steps_of_the_first_update():
    check(experiment("CartPole-v1", "dqn", steps=1_010))
    with pytest.raises(ValueError, match="steps must be 1010 or more"):
        check(experiment("CartPole-v1", "dqn", steps=1_009))


@pytest.mark.parametrize(("environment", "name"), [*TUNED, *(("Breakout-MinAtar", name) for name in ALGORITHMS)])
def test_every_setting_makes_an_algorithm(environment, name):
    check(experiment(environment, name))
