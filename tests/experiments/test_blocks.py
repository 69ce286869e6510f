"""Where trials are computed together, a seed has the bits that it has alone: in its curve and in its parameters."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import block_run
import pytest

from algos import ppo
from algos.core.networks import actor_critic
from experiments.lab.definition import blocks
from experiments.lab.definition.blocks import SHOWN, fastest, with_width
from experiments.lab.definition.experiment import Experiment, Task, trials_held
from experiments.lab.definition.settings import contender
from experiments.lab.machine import devices, flags
from experiments.lab.recording import difference, manifest
from experiments.lab.showing import plan

FLAT, STEEP = dict.fromkeys((2, 3, 4, 5), 1.0), {2: 0.8, 3: 0.7, 4: 0.6, 5: 0.5}
PPO = contender("ppo", "CartPole-v1", 1000)
HERE = blocks.elsewhere


def named(shown):
    """Returns what a program is called: ppo, and with other settings than the environment's ppo-double=False."""
    fields = () if shown.fields is None else [f"{name}={x}" for name, x in shown.fields.items()] or ["defaults"]
    return "-".join([shown.environment, shown.name, *fields])


def run(number, width, steps, folder, other=False):
    """Runs the program as commands do, with XLA's flags of their own, and returns its folder. other: with other numbers."""
    variables = {name: value for name, value in os.environ.items() if name not in flags.FROM_US}
    arguments = [str(x) for x in (number, width, steps, int(other), folder / str(width))]
    command = [sys.executable, str(Path(block_run.__file__)), *arguments]
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / str(width)


def assert_same_bits(first, second):
    """All of both curves and all parameters are the same, and there are some."""
    (found,) = difference.bits(first, second)
    assert found.shared > 300 and found.only == (0, 0)
    assert found.same and found.parameters == "same", difference.in_words(found, ("alone", "together"))


@pytest.fixture
def shown_here(monkeypatch):
    """This process is as one of those where the programs were shown, with two cores."""
    monkeypatch.setattr(blocks, "elsewhere", lambda: "")
    monkeypatch.setattr(devices, "count", lambda: 2)


def test_seeds_of_ppo_have_the_bits_in_a_block_that_they_have_alone(tmp_path):
    number = next(number for number, one in enumerate(SHOWN) if one.name == "ppo")
    assert_same_bits(run(number, 1, 4096, tmp_path), run(number, max(SHOWN[number].costs), 4096, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("other", [False, True], ids=["settings", "other numbers"])
@pytest.mark.parametrize("number", range(len(SHOWN)), ids=map(named, SHOWN))
def test_after_100_000_steps_a_seed_has_the_bits_that_it_has_alone_in_blocks_of_every_size_that_is_taken(
    number, other, tmp_path
):
    alone = run(number, 1, 102_400, tmp_path, other)
    for size in SHOWN[number].costs:
        assert_same_bits(alone, run(number, size, 102_400, tmp_path, other))


@pytest.mark.parametrize(
    ("costs", "trials", "cores", "size"),
    [
        (STEEP, 1, 1, 1),
        (STEEP, 1, 2, 1),
        (STEEP, 2, 2, 1),  # a core each
        (STEEP, 2, 1, 2),
        (STEEP, 7, 2, 4),  # with 5, three of ten places would be empty
        (STEEP, 6, 1, 3),  # with 5, four of ten would be
        (STEEP, 10, 2, 5),
        (STEEP, 10, 16, 1),
        (STEEP, 100, 16, 5),
        (FLAT, 10, 2, 1),
        ({}, 10, 2, 1),
        ({5: 0.5}, 7, 2, 5),
        ({5: 0.9}, 7, 2, 1),
    ],
)
def test_blocks_are_as_large_as_is_fastest_and_empty_places_cost_what_others_do(costs, trials, cores, size):
    assert fastest(costs, trials, cores) == size


def experiment_of(*contenders, seeds=10, **fields):
    return Experiment((Task("CartPole-v1", contenders),), tuple(range(seeds)), fields.pop("steps", 10**6), **fields)


def test_ten_seeds_of_what_was_shown_share_blocks_and_those_of_others_do_not(shown_here, monkeypatch):
    monkeypatch.setattr(blocks, "SHOWN", (blocks.Shown("CartPole-v1", "ppo", STEEP),))
    trpo = contender("trpo", "CartPole-v1", 1000)
    chosen = with_width(experiment_of(PPO, trpo))
    first, second = chosen.tasks[0].contenders
    assert (chosen.width, first.block, second.block) == (1, 5, None)
    assert "\ncomputed together, each with the bits it has alone: ppo: 5 trials; trpo: 1 trial" in plan.announcement(
        chosen
    )
    assert [trials_held(with_width(experiment_of(PPO, seeds=seeds)), (first,)) for seeds in (5, 7)] == [5, 10]
    short = with_width(experiment_of(PPO, steps=blocks.PAYS_FROM // 10 - 1))
    assert short.tasks[0].contenders[0].block is None
    one_seed = with_width(experiment_of(PPO, seeds=1))
    assert one_seed.tasks[0].contenders[0].block is None and "computed together" not in plan.announcement(one_seed)


def test_whoever_asks_for_a_width_or_for_one_trial_after_another_has_it(shown_here, monkeypatch):
    monkeypatch.setattr(blocks, "SHOWN", (blocks.Shown("CartPole-v1", "ppo", STEEP),))
    for chosen in (with_width(experiment_of(PPO, width=1)), with_width(experiment_of(PPO), "map")):
        assert chosen.width == 1 and chosen.tasks[0].contenders[0].block is None
    assert with_width(experiment_of(PPO), "vmap").tasks[0].contenders[0].block is None


def mine(params, apply, batch, hparams):
    return ppo.loss(params, apply, batch, hparams)


def network(env, config):
    return actor_critic(env, config.hidden_sizes)


@pytest.mark.parametrize(
    ("changes", "of_task", "of_experiment", "reason"),
    [
        ({"loss": mine}, {}, {}, "a loss of its own"),
        ({"network": network}, {}, {}, "a network of its own"),
        ({"config": dataclasses.replace(PPO.config, hidden_sizes=(32,))}, {}, {}, "not shown, with these settings"),
        ({}, {"fields": {"max_steps_in_episode": 20}}, {}, "an environment, or fields of it, of its own"),
        ({}, {"factory": lambda: None}, {}, "an environment, or fields of it, of its own"),
        ({}, {"environment": "Pendulum-v1"}, {}, "not shown, with these settings"),
        ({}, {}, {"eval_episodes": 1}, "judged in another way, or by another number of episodes"),
    ],
)
def test_a_program_that_is_not_the_one_that_was_shown_has_blocks_of_one(
    changes, of_task, of_experiment, reason, shown_here
):
    one = dataclasses.replace(PPO, **changes)
    task = Task(**{"environment": "CartPole-v1", "contenders": (one,), **of_task})
    experiment = with_width(Experiment((task,), tuple(range(100)), 1000, **of_experiment))
    assert experiment.tasks[0].contenders[0].block is None
    assert blocks.why(experiment, task, one).startswith(reason)
    assert blocks.shown(experiment_of(PPO), experiment_of(PPO).tasks[0], PPO) is not None
    other_numbers = dataclasses.replace(PPO, hparams=PPO.hparams.replace(learning_rate=1.0))
    assert blocks.shown(experiment_of(other_numbers), experiment_of(PPO).tasks[0], other_numbers) is not None


def test_blocks_have_one_trial_with_other_flags_versions_and_processors_than_shown(monkeypatch):
    monkeypatch.setattr(flags, "options", lambda platform="cpu": flags.OPTIONS | flags.PORTABLE)
    assert HERE() == "XLA's flags are not those with which it was shown"
    monkeypatch.setattr(flags, "options", lambda platform="cpu": flags.OPTIONS)
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    assert HERE() == "XLA's flags are not those with which it was shown"
    monkeypatch.setenv("XLA_FLAGS", flags.with_ours(""))
    monkeypatch.setattr(blocks, "JAXLIB", ("0.0.1",))
    assert HERE().startswith("not shown with jaxlib ")
    monkeypatch.setattr(blocks.metadata, "version", lambda name: "0.0.1")
    monkeypatch.setattr(blocks, "PROCESSORS", (("maker", "1"),))
    assert HERE().startswith("not shown on this kind of processor")
    monkeypatch.setattr(blocks.hardware, "told", {"vendor_id": "maker", "cpu family": "1", "flags": "avx2 fma"}.get)
    assert HERE().startswith("not shown on this kind of processor")
    monkeypatch.setattr(blocks.hardware, "told", {"vendor_id": "maker", "cpu family": "1", "flags": "avx512f"}.get)
    assert HERE() == ""
    monkeypatch.setattr(devices, "count", lambda: 2)
    costs = next(one for one in SHOWN if one.is_of(PPO)).costs
    assert with_width(experiment_of(PPO)).tasks[0].contenders[0].block == fastest(costs, 10, 2) == 5


def test_blocks_come_back_from_the_manifest_which_says_why(shown_here, monkeypatch, tmp_path):
    monkeypatch.setattr(blocks, "SHOWN", (blocks.Shown("CartPole-v1", "ppo", STEEP),))
    experiment = with_width(experiment_of(PPO, dataclasses.replace(PPO, name="mine", loss=mine)))
    manifest.write_manifest(tmp_path, experiment, "a command")
    told = manifest.read_manifest(tmp_path)["blocks"]["CartPole-v1"]
    assert {name: one["trials"] for name, one in told.items()} == {"ppo": 5, "mine": 1}
    assert "bits" in told["ppo"]["why"] and told["mine"]["why"] == "a loss of its own"
    monkeypatch.setattr(devices, "count", lambda: 64)
    assert [one.block for one in manifest.read_experiment(tmp_path).tasks[0].contenders] == [5, None]


def test_seeds_that_are_added_have_blocks_for_their_own_number(shown_here, monkeypatch):
    monkeypatch.setattr(blocks, "SHOWN", (blocks.Shown("CartPole-v1", "ppo", STEEP),))
    experiment = with_width(experiment_of(PPO))
    more = blocks.anew(dataclasses.replace(experiment, seeds=(10,)))
    assert more.tasks[0].contenders[0].block is None
    asked = with_width(experiment_of(PPO, width=1))
    assert blocks.anew(dataclasses.replace(asked, seeds=tuple(range(100)))) == dataclasses.replace(
        asked, seeds=tuple(range(100))
    )
