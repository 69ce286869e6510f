"""What is refused before anything compiles."""

import dataclasses
import errno
import math
import re
import tomllib
from pathlib import Path

import jax
import numpy as np
import pytest

from algos.core.config import RANGES
from experiments.lab.commands.cli import BadInput
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.definition.settings import ALGORITHMS, CONTROLS, PREDICTS, TUNED, contender
from experiments.lab.definition.sweeps.points import grid
from experiments.lab.machine import hardware
from experiments.lab.running import programs
from experiments.lab.running.checks import check, check_numbers
from experiments.lab.running.launch import held, launch


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
    with pytest.raises(ValueError, match="dqn needs discrete actions, Pendulum-v1 has .* npg, trpo and ppo"):
        check(experiment("Pendulum-v1", "dqn"))


def test_the_warm_up_counts_towards_the_steps_of_the_first_update():
    check(experiment("CartPole-v1", "dqn", steps=1_104))
    with pytest.raises(ValueError, match="steps must be 1104 or more"):
        check(experiment("CartPole-v1", "dqn", steps=1_103))


def test_more_updates_than_an_int32_can_count_are_refused():
    most = 1_072 + 32 * (2**31 - 1)
    check(experiment("CartPole-v1", "dqn", steps=most))
    with pytest.raises(ValueError, match=f"steps must be {most} or fewer: dqn counts its updates in 32 bits"):
        check(experiment("CartPole-v1", "dqn", steps=most + 1))


@pytest.mark.parametrize(("environment", "name"), [*TUNED, *(("Breakout-MinAtar", name) for name in ALGORITHMS)])
def test_every_setting_makes_an_algorithm(environment, name):
    check(experiment(environment, name))


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        ((0, -1), "from 0 to 4294967295, not -1"),
        ((2**32,), "not 4294967296"),
        ((True,), "not True"),
        ((1.5,), "not 1.5"),
        ((np.int64(3),), r"not np.int64\(3\)"),
        (("3",), "not '3'"),
        ((4, 0, 4), "seed 4 is there twice"),
        (10, r"a tuple, as in tuple\(range\(10\)\), not 10"),
    ],
)
def test_seeds_that_are_none_or_not_told_apart_are_refused_in_one_line_before_a_folder_is_made(seeds, said, tmp_path):
    with pytest.raises(BadInput, match=said) as error:
        launch(dataclasses.replace(experiment("CartPole-v1", "a2c"), seeds=seeds), tmp_path / "run")
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["steps", "evaluations", "eval_episodes", "width"])
@pytest.mark.parametrize("value", [0, -1, 1e5, True, "many"])
def test_amounts_that_are_none_are_refused_in_one_line(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be an int of 1 or more, not {value!r}$"):
        check_numbers(dataclasses.replace(experiment("CartPole-v1", "a2c"), **{name: value}))


def test_seeds_up_to_the_last_of_32_bits_are_told_apart():
    seeds = (0, 3_000_000_000, 2**32 - 1)
    check_numbers(dataclasses.replace(experiment("CartPole-v1", "a2c"), seeds=seeds))
    trials, _ = programs.trial_arrays(seeds, [contender("a2c", "CartPole-v1", 1000).hparams])
    keys = [jax.random.key_data(jax.random.fold_in(jax.random.key(0), seed)).tolist() for seed in trials]
    assert keys == [jax.random.key_data(jax.random.fold_in(jax.random.key(0), seed)).tolist() for seed in seeds]
    assert keys[0] != keys[1] != keys[2]


def test_a_sweep_leaves_room_for_the_seeds_that_report_it():
    points = grid(contender("a2c", "CartPole-v1", 1000), gamma=(0.9, 0.99))
    swept = Experiment((Task("CartPole-v1", points),), (2**32 - 3,), 1000)
    check_numbers(swept)
    with pytest.raises(ValueError, match="run again under the seeds after 4294967295, which is too late"):
        check_numbers(dataclasses.replace(swept, seeds=(2**32 - 2, 2**32 - 1)))


OUTSIDE = [("gamma", 1.5), ("gamma", -0.1), ("learning_rate", -1.0), ("learning_rate", math.inf)]
OUTSIDE += [("clip", -0.2), ("entropy_coef", math.nan), ("max_grad_norm", None), ("total_steps", "many")]


@pytest.mark.parametrize(("name", "value"), OUTSIDE)
def test_a_hyperparameter_that_cannot_be_is_told_with_its_range(name, value):
    one = experiment("CartPole-v1", "ppo")
    ppo = one.tasks[0].contenders[0]
    wrong = dataclasses.replace(ppo, hparams=ppo.hparams.replace(**{name: value}))
    with pytest.raises(ValueError, match=f"^ppo: {name} must be .*, not {value!r}$"):
        check(dataclasses.replace(one, tasks=(Task("CartPole-v1", (wrong,)),)))


def test_every_hyperparameter_has_a_range_or_may_be_any_number():
    made = [module.HParams for module, _ in (ALGORITHMS | CONTROLS | PREDICTS).values()]
    names = {name for hparams in made for name in vars(hparams())}
    any_number = {"entropy_coef", "initial_value", "best_reward", "kappa", "threshold", "beta"}
    assert names - RANGES.keys() == any_number
    assert RANGES.keys() <= names


def without_flock(descriptor, operation):
    raise OSError(errno.ENOSYS, "Function not implemented")


@pytest.mark.filterwarnings("ignore:flock not supported")
def test_one_process_at_a_time_has_a_folder_on_a_file_system_without_flock_too(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(fcntl, "flock", without_flock)
    for _ in range(2):
        with held(tmp_path):
            with pytest.raises(BadInput, match="another process is running"):
                held(tmp_path).__enter__()


def test_no_filelock_is_allowed_that_fails_there():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (bound,) = re.findall(r"^filelock>=([0-9.]+)$", "\n".join(project["dependencies"]), re.MULTILINE)
    assert tuple(map(int, bound.split("."))) >= (4, 2, 1)  # tried: 3.16 to 4.3.1, two processes, one of them killed
