"""Contenders on spread are judged by where they lie between the random policy and the controller, on any scale the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from algos.core.types import Algorithm
from envs.games.spread import Spread, controller, own, spread
from experiments.compare import Args, judge_of, task_of
from experiments.lab.definition import settings
from experiments.lab.definition.experiment import Task
from experiments.lab.judging import spread as judging
from experiments.lab.judging.spread import CONTROLLER, RANDOM, normalised_return, references
from experiments.lab.outside.user_env import named
from experiments.lab.showing.drawing import drawing
from experiments.lab.showing.drawing.shapes import Disc, Line
from experiments.lab.showing.report import provenance

ENV = envs.make("Spread")


def acting(act) -> Algorithm:
    return Algorithm(None, None, lambda state, key, observation, explore: act(key, observation), 0)


def measured(act, judge=None):
    judge = judge or normalised_return(episodes=1024)
    return jax.jit(lambda key: judge.measured(acting(act), ENV, None, key))(jax.random.key(5))


def alone(key, observation):
    """Returns what the controller has one agent do, who works out from the state what the others see."""
    velocity, position, landmark = (x.reshape(3, 2) for x in jnp.split(observation[18:], 3))
    everyone = own(Spread(position, velocity, landmark, jnp.int32(0)))
    me = jnp.argmin(jnp.sum(jnp.abs(position - observation[2:4]), axis=1))
    return controller(ENV)(jnp.concatenate([everyone, jnp.tile(observation[18:], (3, 1))], axis=1))[me]


@pytest.fixture(scope="module")
def guided():
    return measured(alone)


def test_the_controller_is_judged_at_one_and_random_actions_at_zero(guided):
    random = measured(lambda key, _: jax.random.randint(key, (), 0, 5))
    assert float(np.mean(guided["normalised_return"])) == pytest.approx(1.0, abs=0.02)
    assert float(np.mean(random["normalised_return"])) == pytest.approx(0.0, abs=0.04)


def test_the_scales_that_others_report_are_beside_it(guided):
    per_agent, team, first = (guided[name] for name in ("return_per_agent", "return_of_team", "return_first_mpe"))
    np.testing.assert_allclose(guided["normalised_return"], (per_agent - RANDOM) / (CONTROLLER - RANDOM), rtol=1e-5)
    np.testing.assert_allclose(team, 3.0 * per_agent, rtol=1e-6)
    np.testing.assert_allclose(first, 6.0 * per_agent - 75.0, rtol=1e-5)


def test_the_references_of_another_spread_are_found_by_playing():
    random, best = references(spread(num_agents=2, max_steps=10))
    judge = normalised_return(spread(num_agents=2, max_steps=10))
    assert random < best < 0.0 and judge.settings["random"] == random and judge.settings["controller"] == best


def test_the_lab_judges_spread_so_and_knows_its_learners():
    task = task_of("Spread", Args(algos=("ppo", *settings.TEAMS)))
    assert task.judge.metric == "normalised_return" and task.judge.higher_is_better
    assert [one.name for one in task.contenders] == ["ppo", "ippo", "mappo", "ia2c", "iql", "vdn", "qmix"]
    assert all(one.make(ENV).steps_per_update > 0 for one in task.contenders)


def test_spread_with_other_fields_is_judged_by_its_own_references(monkeypatch):
    monkeypatch.setattr(judging, "references", lambda env: (-2.0 * env.agents, -1.0 * env.agents))
    settings_of = lambda name, **more: task_of(name, Args(algos=("ppo",), **more)).judge.settings  # noqa: E731
    known = {"episodes": 128, "random": RANDOM, "controller": CONTROLLER}
    assert settings_of("Spread") == settings_of("Spread(agent_ids=True, reward='team')") == known
    other = {"episodes": 16, "random": -8.0, "controller": -4.0}
    assert settings_of("Spread(num_agents=4)", eval_episodes=16) == other
    assert settings_of("Spread(max_steps=50)")["random"] == -6.0
    assert settings_of("Spread", eval_episodes=32) == {**known, "episodes": 32}


def test_a_spread_that_no_controller_assigns_is_judged_by_its_return(monkeypatch):
    assert task_of("Spread(num_agents=8)", Args(algos=("ppo",))).judge is None
    monkeypatch.setattr("experiments.compare.judge_of", None)  # is not called where a judge was named
    assert task_of("Spread(num_agents=8)", Args(algos=("ppo",), judge="evaluation_return")).judge is None


@pytest.mark.parametrize("name", ["pgx/tic_tac_toe", "RockPaperScissors(memory=True)", "MatchingPennies(memory=True)"])
def test_a_game_whose_return_is_0_whoever_learns_ranks_nobody_unasked(name):
    with pytest.raises(ValueError, match="the return is 0 whoever learns and ranks nobody; --judge"):
        task_of(name, Args(algos=("ppo",)))
    assert task_of(name, Args(algos=("ppo",), judge="evaluation_return")).judge is None
    assert task_of("PrisonersDilemma(memory=True)", Args(algos=("ppo",))).judge is None


def test_the_report_says_how_many_episodes_only_where_they_were_played():
    evaluations = lambda **judge: provenance._evaluations(  # noqa: E731
        {"evaluations": 12, "eval_episodes": 32, "environments": {"Spread": judge}}
    )
    assert evaluations() == "12, of 32 episodes each" and evaluations(judge={"settings": {"episodes": 128}}) == "12"


@pytest.mark.parametrize(
    "name",
    [
        "LiarsDice(dice=1.5)",
        "Penalty(k='x')",
        "PrisonersDilemma(reward='x')",
        "Spread(local_ratio='x')",
        "Kuhn(players=[2])",
    ],
)
def test_fields_of_another_kind_are_refused_in_one_line(name):
    meant = named(name)
    with pytest.raises(ValueError, match=meant.name) as error:
        meant.task().make()
    assert "\n" not in str(error.value) and task_of(name, Args(algos=("ppo",))).judge is None


def test_what_a_users_environment_is_called_makes_it_no_spread():
    pennies = envs.make("MatchingPennies")._replace(name="Spread", layout=None, game=None)
    assert judge_of(Task("own", (), {}, lambda: pennies)) is None


def test_a_name_of_jaxmarl_is_no_file_of_the_users():
    assert named("jaxmarl/SMAX(scenario='3m')") == ("jaxmarl/SMAX", None, {"scenario": "3m"})


def test_the_picture_has_agents_where_they_are_and_a_line_from_each_landmark_to_the_nearest():
    position, landmark = (
        np.array([[0.0, 0.0], [1.0, 1.0], [-5.0, 0.0]]),
        np.array([[0.9, 0.9], [-0.9, 0.0], [0.1, 0.2]]),
    )
    scene = drawing(envs.make("Spread"), {}).scene(Spread(position, np.zeros((3, 2)), landmark, 0), None)
    discs = [each for each in scene.shapes if isinstance(each, Disc) and each.radius == 0.15]
    assert [disc.centre for disc in discs] == [(0.0, 0.0), (1.0, 1.0), (scene.view[0], 0.0)]
    lines = [each.points for each in scene.shapes if isinstance(each, Line)][1:]
    assert lines == [((1.0, 1.0), (0.9, 0.9)), ((0.0, 0.0), (-0.9, 0.0)), ((0.0, 0.0), (0.1, 0.2))]
