"""What `experiments.grid` says and draws of a gridworld: what is best, and where an agent is wrong."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
import tyro
from PIL import Image

import envs
from experiments import grid, watch
from experiments.lab.commands.cli import BadInput
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.definition.settings import contender
from experiments.lab.recording import manifest, policies
from experiments.lab.showing.drawing.model_truth import directions, truth_of

LAKE = "FrozenLake-4x4"
BEST = np.array([0, 3, 3, 3, 0, 0, 0, 0, 3, 1, 0, 0, 0, 2, 1, 0])  # of Gymnasium's left, down, right, up


def agent(action, value):
    """Returns an algorithm that does and thinks what it is told, and its state."""
    action, value = jnp.asarray(action), jnp.asarray(value)

    def act(state, key, observation, explore):
        return action[jnp.argmax(observation)]

    return SimpleNamespace(act=act, value=lambda state, observation: value[jnp.argmax(observation)]), None


def test_an_agent_is_wrong_where_its_action_is_none_of_the_best_and_by_how_much_its_values_are_off():
    env = envs.make(LAKE)
    best = truth_of(env, 0.99)
    assert best.agent is None and best.words == ["J* = 0.542026 at gamma = 0.99"]
    same = truth_of(env, 0.99, agent(BEST, best.best.value))
    assert not same.wrong.any() and same.error.max() < 1e-6 and same.words[1].endswith(" 0 below J*")
    other, value = BEST.copy(), best.best.value.copy()
    other[[14, 6, 5]] = 2, 2, 3  # wrong; as good as left; a hole, where nothing is done
    value[[3, 5]] += 0.25, 9.0
    found = truth_of(env, 0.99, agent(other, value))
    assert np.flatnonzero(found.wrong).tolist() == [14]
    np.testing.assert_allclose(found.error, 0.25 * (np.arange(16) == 3), atol=1e-6)
    assert found.words[2] == "its action is none of the best in 1 of 11 states"


def test_visits_are_discounted_and_finite_where_a_policy_never_ends():
    env = envs.make("CliffWalking")
    up = truth_of(env, 0.9, agent(np.zeros(38, int), np.zeros(38)))
    assert up.agent.visits.sum() == pytest.approx(10.0) and up.best.visits.sum() == pytest.approx((1 - 0.9**13) / 0.1)


@pytest.mark.parametrize(
    ("name", "moves"),
    [
        (LAKE, [(0, -1), (1, 0), (0, 1), (-1, 0)]),
        ("CliffWalking", [(-1, 0), (0, 1), (1, 0), (0, -1)]),
        ("WindyGridworld", [(-1, 0), (0, 1), (1, 0), (0, -1)]),
        ("BlockingMaze", [(-1, 0), (0, 1), (1, 0), (0, -1)]),
        ("Gridworld", [(-1, 0), (0, 1), (1, 0), (0, -1)]),
    ],
)
def test_arrows_point_where_actions_lead_whatever_wind_ice_and_walls_do(name, moves):
    np.testing.assert_allclose(directions(envs.make(name).model), moves, atol=0.05)


def test_an_action_that_stays_has_no_arrow():
    found = directions(envs.make("WindyGridworld", moves="stay").model)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [1] * 8 + [0], atol=1e-6)


def test_an_exact_solution_alone_is_drawn_by_the_models_name_and_nothing_is_written_over(tmp_path, capsys):
    assert grid.grid(grid.Args("DynaMaze", gamma=0.95, out=tmp_path / "maze.png")) == 0
    assert capsys.readouterr().out.splitlines()[0] == "J* = 0.513342 at gamma = 0.95"
    assert Image.open(tmp_path / "maze.png").size[0] > 500
    with pytest.raises(BadInput, match="exists; name another file"):
        grid.grid(grid.Args("DynaMaze", out=tmp_path / "maze.png"))


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (grid.Args("Taxi"), "Taxi is no gridworld: its states have no cells"),
        (grid.Args("CartPole-v1"), "unknown run folder or model 'CartPole-v1'; choose from: FrozenLake-4x4"),
        (grid.Args("FrozenLak"), "did you mean FrozenLake-8x8, FrozenLake-4x4"),
        (grid.Args(LAKE, algorithm="ppo"), "an exact solution has no algorithm"),
        (grid.Args(LAKE, gamma=1.5), "gamma must be 0 to 1"),
    ],
)
def test_what_cannot_be_drawn_is_told_in_one_line(args, said):
    with pytest.raises(BadInput, match=said) as error:
        grid.grid(args)
    assert "\n" not in str(error.value)


OWN = """
from envs.mdp import as_env, from_map

def pond():
    return as_env(from_map("S..\\n.H.\\n..G", reward={"G": 1.0, "H": -1.0}), "pond", 50)

def torn():
    return as_env(from_map("S..\\n.G"), "torn", 50)
"""


def test_a_gridworld_of_ones_own_is_named_by_its_file_and_function(tmp_path, capsys):
    (tmp_path / "own.py").write_text(OWN)
    assert grid.grid(grid.Args(f"{tmp_path}/own.py:pond", gamma=0.9, out=tmp_path / "pond.png")) == 0
    assert capsys.readouterr().out.splitlines()[0] == "J* = 0.729 at gamma = 0.9"
    with pytest.raises(BadInput, match=r"own.py:\d+: .*the lines of a map must be of one length"):
        grid.grid(grid.Args(f"{tmp_path}/own.py:torn", out=tmp_path / "torn.png"))


def test_of_a_run_with_several_environments_the_first_gridworld_is_drawn_and_another_by_its_name(tmp_path):
    names = ("Taxi", LAKE, "CliffWalking")
    tasks = tuple(Task(name, (contender("q_learning", name, 5000),)) for name in names)
    manifest.write_manifest(tmp_path, Experiment(tasks, (4,), 5000, width=1), "a command")
    for name in names:
        table = np.zeros((1, *envs.make(name).model.reward.shape[:2]), np.float32)
        policies.save(tmp_path, name, "q_learning", (4,), {"params": table})
    assert grid.grid(grid.Args(str(tmp_path))) == 0 and (tmp_path / f"grid-{LAKE}-q_learning-seed4.png").is_file()
    args = tyro.cli(grid.Args, args=[str(tmp_path), "--env", "CliffWalking"])
    assert grid.grid(args) == 0 and (tmp_path / "grid-CliffWalking-q_learning-seed4.png").is_file()
    with pytest.raises(BadInput, match="Taxi is no gridworld: .*name another of the run with --environment"):
        grid.grid(grid.Args(str(tmp_path), environment="Taxi"))


def test_a_policy_of_a_run_folder_is_drawn_at_the_discount_that_it_learned_with_and_can_be_watched(tmp_path, capsys):
    one = contender("q_learning", LAKE, 5000)
    manifest.write_manifest(tmp_path, Experiment((Task(LAKE, (one,)),), (4,), 5000, width=1), "a command")
    table = np.zeros((1, 16, 4), np.float32)
    table[0, np.arange(16), BEST] = 0.5
    policies.save(tmp_path, LAKE, "q_learning", (4,), {"params": table})
    assert grid.grid(grid.Args(str(tmp_path))) == 0
    said = capsys.readouterr().out
    assert "J of the greedy policy = 0.542026, 0 below J*" in said and "0 of 11 states" in said
    assert (tmp_path / f"grid-{LAKE}-q_learning-seed4.png").is_file()
    assert watch.watch(watch.Args(tmp_path, out=tmp_path / "lake.gif")) == 0
    assert Image.open(tmp_path / "lake.gif").n_frames > 2  # the nearest end is two steps away
