"""Games in the lab: learners and exact methods in one table, judged by NashConv, with the conventions that they were run under."""

import json
import shutil

import pytest

from experiments import compare
from experiments.lab.definition.experiment import Experiment
from experiments.lab.definition.settings import AGENTS, contender
from experiments.lab.outside import env_trace, user_judge
from experiments.lab.recording import manifest, run_folder
from experiments.lab.running import checks, runner

OWN = """
import jax.numpy as jnp
from envs.games import Chance, Decision, End, from_function, tree_env
from envs import Discrete, Env, Layout, TimeStep

def describe(history):
    if len(history) == 2:
        return End((1.0, -1.0) if history[0] == history[1] else (-1.0, 1.0))
    return Decision(len(history), "cannot see", ("heads", "tails"))

def pennies():
    return tree_env(from_function(describe, 2), "pennies")

def two(**changed):
    reset = lambda key: (jnp.zeros(()), jnp.zeros((2, 3)))
    step = lambda key, state, action: (state, TimeStep(jnp.zeros((2, 3)), jnp.zeros(2), jnp.bool_(False), jnp.bool_(False)))
    facts = dict(agents=2, reward_convention="team", layout=Layout(3))
    return Env("two", reset, step, (3,), Discrete(2), 5, **{**facts, **changed})

def no_convention(): return two(reward_convention=None)
def no_agents(): return two(agents=None)
def three_agents(): return two(agents=3)
def wrong_layout(): return two(layout=Layout(2))
def wrong_legal(): return two(layout=Layout(0, 0, 3))
def wrong_acting(): return two(acting=lambda state: jnp.ones(3, bool))
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "own_games.py"
    path.write_text(OWN)
    return path


def task_of(environment, *algos, steps=480):
    return compare.task_of(environment, compare.Args(env=(environment,), algos=algos, steps=steps))


def test_known_games_are_judged_by_nash_conv_unasked_and_ones_own_too(own):
    tasks = task_of("Kuhn", "cfr"), task_of(f"{own}:pennies", "cfr"), task_of(f"{own}:two", "a2c")
    assert [task.criterion.metric for task in tasks] == ["nash_conv", "nash_conv", "evaluation_return"]
    assert user_judge.named("nash_conv") == tasks[0].judge and not tasks[0].criterion.higher_is_better


@pytest.fixture(scope="module")
def kuhn():
    """An experiment of an exact method on Kuhn poker, and what it finds."""
    experiment = Experiment((task_of("Kuhn", "cfr"),), (0, 1), 480, evaluations=2, width=1)
    return experiment, list(runner.run(experiment))


def test_an_exact_method_is_a_contender_and_nash_conv_its_curve(kuhn):
    rows = [row for event in kuhn[1] if isinstance(event, runner.Evaluated) for row in event.rows]
    curve = {row[1]: row[3] for row in rows if row[0] == 1 and row[2] == "nash_conv"}
    assert curve[0] == pytest.approx(11 / 12, abs=1e-5) and curve[480] < 0.1
    metrics = {row[2] for row in rows}
    assert {"nash_conv", "nash_conv_current", "nash_conv_average", "value_first"} <= metrics


def test_the_manifest_says_whose_rewards_they_are_and_comes_back(kuhn, tmp_path):
    manifest.write_manifest(tmp_path, kuhn[0], "")
    told = manifest.read_manifest(tmp_path)["environments"]["Kuhn"]
    assert told["agents"] == {"number": 2, "reward_convention": "individual"}
    assert manifest.read_experiment(tmp_path) == kuhn[0]


def test_folders_with_unlike_conventions_are_not_joined(kuhn, tmp_path):
    (tmp_path / "one").mkdir()
    manifest.write_manifest(tmp_path / "one", kuhn[0], "")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    path = tmp_path / "two" / "manifest.json"
    content = json.loads(path.read_text())
    content["environments"]["Kuhn"]["agents"]["reward_convention"] = "team"
    path.write_text(json.dumps(content))
    folders = [run_folder.read(tmp_path / name) for name in ("one", "two")]
    with pytest.raises(run_folder.Unusable, match="2 agents, individual rewards and 2 agents, team rewards"):
        run_folder.join(folders)
    run_folder.join([folders[0], run_folder.read(shutil.copytree(tmp_path / "one", tmp_path / "three"))])


@pytest.mark.parametrize("name", AGENTS)
def test_every_learner_of_games_has_settings_that_can_be(name):
    task = task_of("Kuhn", name, steps=10_000_000)
    checks.check(Experiment((task,), (0,), 10_000_000, width=1))
    assert contender(name, "Leduc", 100).hparams.total_steps == 100.0


@pytest.mark.parametrize(
    ("name", "told"),
    [("no_convention", "reward_convention must be one of individual, team"), ("no_agents", "reward_convention must be"),
     ("three_agents", r"shape \(2, 3\), and observation_shape=\(3,\), and agents=3 says"),
     ("wrong_layout", r"Env.layout must be a Layout of \(3,\) numbers"), ("wrong_legal", "number of discrete actions, is 3"),
     ("wrong_acting", "acting must give one bool an agent")],
)  # fmt: skip
def test_an_environment_whose_agents_cannot_be_is_refused_with_its_line(own, name, told):
    with pytest.raises(ValueError, match=f"own_games.py:.*{told}"):
        env_trace.checked(task_of(f"{own}:{name}", "a2c"))
