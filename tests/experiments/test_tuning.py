"""Whose settings a contender has, and that plan, table and summary say it."""

import dataclasses

import pytest
from flax import struct

from algos import ppo
from algos.rlhf import dpo
from experiments.lab.definition import tuning
from experiments.lab.definition.contenders import with_loss
from experiments.lab.definition.experiment import Contender, Experiment, Task
from experiments.lab.definition.settings import TUNED, contender
from experiments.lab.definition.sweeps.points import expanded
from experiments.lab.recording import records
from experiments.lab.showing import plan, screen


def made(name, environment="CartPole-v1"):
    return contender(name, environment, 1000)


def changed(one, config=None, hparams=None):
    return dataclasses.replace(
        one, config=dataclasses.replace(one.config, **(config or {})), hparams=one.hparams.replace(**(hparams or {}))
    )


@struct.dataclass
class HParams(ppo.HParams):
    """PPO's, one more, and one of its own."""

    penalty: float = 3.0
    clip: float = 0.5


def penalised(params, apply, batch, hparams: HParams):
    return ppo.loss(params, apply, batch, hparams)


CASES = {
    "as the row has it": (made("ppo"), "settings for CartPole-v1"),
    "no row": (made("ppo", "Pong-misc"), "defaults"),
    "a row that says the defaults": (made("npg"), "settings for CartPole-v1"),
    "the natural gradient has no row of TRPO's": (made("npg", "Pendulum-v1"), "defaults"),
    "a number": (changed(made("ppo"), hparams={"gamma": 0.9}), "settings for CartPole-v1, but gamma=0.9"),
    "a shape": (changed(made("npg", "Pendulum-v1"), {"hidden_sizes": (4,)}), "defaults, but hidden_sizes=(4,)"),
    "the budget is no change": (changed(made("ppo"), hparams={"total_steps": 7.0}), "settings for CartPole-v1"),
    "five": (
        changed(made("a2c"), {"num_envs": 3, "num_steps": 5}, {"gamma": 0.5, "value_coef": 2.0, "entropy_coef": 1.0}),
        "settings for CartPole-v1, but num_envs=3, num_steps=5, gamma=0.5, value_coef=2 and 1 more",
    ),
    "a loss's own number is no change, one that it declares anew is": (
        with_loss(made("ppo"), penalised), "settings for CartPole-v1, but clip=0.5"
    ),
    "an algorithm that is none of the lab's": (Contender("dpo", dpo, dpo.Config(), dpo.HParams()), "defaults"),
}  # fmt: skip


ELSEWHERE = {
    "no row": "Pong-misc",
    "the natural gradient has no row of TRPO's": "Pendulum-v1",
    "a shape": "Pendulum-v1",
}


@pytest.mark.parametrize("case", CASES)
def test_a_contender_has_settings_or_defaults_and_what_was_changed_of_them(case):
    one, words = CASES[case]
    assert tuning.settings_in_words(one, ELSEWHERE.get(case, "CartPole-v1")) == words


def test_every_row_of_the_settings_is_known_by_its_algorithm():
    for environment, name in TUNED:
        assert tuning.settings_in_words(made(name, environment), environment) == f"settings for {environment}"


def test_the_plan_says_it_and_no_line_of_it_is_cut_within_a_word():
    task = Task("Acrobot-v1", (made("ppo", "Acrobot-v1"), made("reinforce", "Acrobot-v1"), made("a2c", "Acrobot-v1")))
    (swept,) = expanded((task,), ("a2c.learning_rate=1e-3,1e-2",))
    text = plan.announcement(Experiment((swept,), (0, 1), 50_000, width=1))
    assert (
        text.splitlines()[1]
        == "  settings for Acrobot-v1: ppo; defaults: reinforce; settings for Acrobot-v1, swept: a2c"
    )
    lines = plan.wrapped(text, 50).splitlines()
    assert max(map(len, lines)) <= 50 and " ".join(" ".join(lines).split()) == " ".join(text.split())
    assert "states of" in text and "0.4 million" not in text and "400,000 environment steps" in text


def test_the_summary_and_the_table_of_results_say_it():
    task = Task("Acrobot-v1", (made("ppo", "Acrobot-v1"), made("reinforce", "Acrobot-v1")))
    found = {"iqm": 1.0, "ci95": [0.0, 2.0], "mean": 1.0, "final_values": [1.0, 1.0], "diverged_seeds": [], "env_steps": 9,
             "compile_seconds": 1.0, "run_seconds": 1.0, "steps_per_second": 9.0}  # fmt: skip
    results = {"Acrobot-v1": {"ppo": found, "reinforce": found}}
    summary = records.summarise(results, Experiment((task,), (0, 1), 10))
    told = {name: one["settings"] for name, one in summary["environments"]["Acrobot-v1"]["algorithms"].items()}
    assert told == {"ppo": "settings for Acrobot-v1", "reinforce": "defaults"}
    (table,) = screen.results_tables(summary)
    assert table.caption == "settings for Acrobot-v1: ppo; defaults: reinforce"
    assert "settings" not in found
