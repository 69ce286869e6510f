"""Methods that predict are judged by their error, less being better, and `experiments.tabular` runs them through the lab."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from algos import ppo
from algos.tabular import q_learning, td
from envs.mdp import from_map
from envs.mdp.maps import LEFT, RIGHT
from experiments import compare, tabular
from experiments.lab.commands.cli import BadInput
from experiments.lab.commands.options import Options
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.definition.overrides import overridden
from experiments.lab.definition.settings import PREDICTION, contender
from experiments.lab.definition.sweeps import selection
from experiments.lab.judging.judges import exact_return, true_values, value_rms
from experiments.lab.recording import run_folder
from experiments.lab.running.checks import check
from experiments.lab.showing.plan import announcement

WALK = "RandomWalk-5"
TRUTH = np.array([0, 1, 2, 3, 4, 5, 0]) / 6  # the ends, which are states only by name, beside the five


def judged(judge, env, values):
    """Returns what the judge says of values [S] that TD(0) holds."""
    algorithm = td.make(env)
    state = jax.eval_shape(algorithm.init, jax.random.key(0), td.HParams()).replace(params=jnp.asarray(values, float))
    return {name: float(x[0]) for name, x in judge.measured(algorithm, env, state, None).items()}


def test_the_error_is_the_root_of_the_mean_square_over_the_states_that_are_no_ends():
    found = judged(value_rms(), envs.make(WALK), TRUTH + [9.0, 0.1, 0.0, -0.2, 0.0, 0.3, 9.0])
    assert found["value_rms"] == pytest.approx(np.sqrt((0.01 + 0.04 + 0.09) / 5), rel=1e-6)
    assert found["value_error_max"] == pytest.approx(0.3, rel=1e-6)


def test_weighted_by_visits_a_state_counts_as_often_as_episodes_come_to_it():
    visits = np.array([1, 2, 3, 2, 1]) / 9  # of the walk from the middle: 1, 2, 3, 2, 1 times an episode
    found = judged(value_rms(weighting="visits"), envs.make(WALK), TRUTH + [0, 0.1, 0.0, -0.2, 0.0, 0.3, 0])
    assert found["value_rms"] == pytest.approx(np.sqrt(visits @ [0.01, 0.0, 0.04, 0.0, 0.09]), rel=1e-5)


def test_the_truth_is_that_of_the_policy_at_the_discount_given_and_of_states_that_can_be_reached():
    with pytest.warns(UserWarning, match="no episode can reach"):
        mdp = from_map("G.S#..", (LEFT, RIGHT), reward={"G": 1.0})
    value, weight = true_values(mdp, np.full((5, 2), 0.5), 0.5, "states")
    np.testing.assert_allclose(weight, [0.0, 0.5, 0.5, 0.0, 0.0])  # the goal only names an end
    near = 1.5 / 2.75  # V(2) = (V(1) + V(2)) / 4, V(1) = 1/2 + V(2) / 4
    np.testing.assert_allclose(value[1:3], [near, near / 3], rtol=1e-6)


@pytest.mark.parametrize("module", [q_learning, ppo])
def test_what_controls_has_no_policy_whose_values_could_be_known_before(module):
    name = module.__name__.rpartition(".")[2]
    one = Experiment((Task(WALK, (contender(name, WALK, 5000),), judge=value_rms()),), (0,), 5000)
    with pytest.raises(ValueError, match=f"value_rms cannot measure {name}: .*its policy changes as it learns"):
        check(one)


@pytest.mark.parametrize(("gamma", "weighting"), [(1.1, "states"), (1.0, "squares")])
def test_a_judge_of_predictions_refuses_what_cannot_be(gamma, weighting):
    with pytest.raises(ValueError, match="gamma must be|weighting must be"):
        value_rms(gamma, weighting)


def test_without_a_discount_what_never_ends_is_refused_in_one_line():
    chosen = tabular.experiment_of(tabular.Args(env=("Garnet",), methods=("td",)))
    with pytest.raises(ValueError, match="cannot measure td: .*from state 0 the policy never ends") as error:
        check(chosen)
    assert "\n" not in str(error.value)
    check(tabular.experiment_of(tabular.Args(env=("Garnet",), methods=tuple(PREDICTION), gamma=0.9)))


def test_the_command_judges_predictions_by_error_and_control_by_exact_return_at_the_discount_that_is_learned():
    predicted = tabular.experiment_of(tabular.Args(weighting="visits"))
    assert predicted.tasks[0].criterion == ("value_rms", False)
    assert predicted.tasks[0].judge.settings == {"gamma": 1.0, "weighting": "visits"}
    controlled = tabular.experiment_of(tabular.Args(env=("CliffWalking",), methods=("sarsa", "dyna_q"), gamma=0.9))
    assert controlled.tasks[0].criterion == ("exact_return", True)
    assert {one.hparams.gamma for one in controlled.tasks[0].contenders} == {0.9}


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        (("td", "sarsa"), "td predicts and sarsa controls: no one number ranks both"),
        (("ppo",), "no tabular or linear method 'ppo'; choose from: td, "),
        (("td", "td"), "name each model and each method once"),
    ],
)
def test_methods_that_no_one_number_ranks_are_told_in_one_line(methods, said):
    with pytest.raises(BadInput, match=said):
        tabular.experiment_of(tabular.Args(methods=methods))


OWN_MODEL = """
from envs.mdp import as_env, from_map

def corridor():
    return as_env(from_map("S..G", reward={"G": 1.0}), "corridor", 30)
"""


@pytest.mark.parametrize("methods", [("td", "lstd"), ("q_learning", "sarsa")])
def test_a_model_of_ones_own_is_named_by_its_file_and_function(tmp_path, methods):
    (tmp_path / "own.py").write_text(OWN_MODEL)
    args = tabular.Args(env=(f"{tmp_path}/own.py:corridor", WALK), methods=methods, gamma=0.9)
    chosen = tabular.experiment_of(args)
    assert [task.environment for task in chosen.tasks] == ["corridor", WALK]
    check(chosen)
    with pytest.raises(BadInput, match="own.py has no 'corridors'; it has: corridor"):
        tabular.experiment_of(tabular.Args(env=(f"{tmp_path}/own.py:corridors",), methods=methods))


def test_compare_judges_a_model_of_ones_own_by_the_exact_return_unasked_and_its_plan_says_so(tmp_path):
    other = (
        "\n\ndef cart():\n    import envs\n    return envs.make('CartPole-v1')\n\n\ndef broken():\n    return 1 / 0\n"
    )
    (tmp_path / "own.py").write_text(OWN_MODEL + other)
    own = [f"{tmp_path}/own.py:{name}" for name in ("corridor", "cart", "broken")]
    chosen = compare.experiment_of(compare.Args(env=(own[0], own[1], "Taxi", "CartPole-v1"), algos=("ppo",), seeds=1))
    assert [task.judge for task in chosen.tasks] == [exact_return(), None, exact_return(), None]
    plan = announcement(chosen).splitlines()
    assert plan[0].endswith("steps each; judged by exact return (gamma=0.99)") and plan[2].endswith("steps each")
    with pytest.raises(ValueError, match=r"own.py:\d+: .*division by zero") as error:
        check(compare.experiment_of(compare.Args(env=(own[2],), algos=("ppo",))))
    assert "\n" not in str(error.value)


def test_of_a_model_that_there_is_not_the_nearest_names_come_first_and_then_the_finite_models_alone():
    with pytest.raises(BadInput, match="unknown model 'randomwal-19'; did you mean RandomWalk-19, ") as error:
        tabular.experiment_of(tabular.Args(env=("randomwal-19",)))
    assert "choose from: FrozenLake-4x4, " in str(error.value) and "CartPole-v1" not in str(error.value)
    with pytest.raises(
        ValueError, match="unknown environment 'CartPol-v1'; did you mean CartPole-v1.* choose from: .*Taxi"
    ):
        envs.make("CartPol-v1")
    with pytest.raises(ValueError, match="unknown environment 'nothing'; choose from: "):
        envs.make("nothing")


def test_compare_which_ranks_policies_sends_a_method_that_predicts_to_where_it_belongs():
    with pytest.raises(BadInput, match="td_lambda predicts values and does not act: python -m experiments.tabular"):
        compare.experiment_of(compare.Args(env=(WALK,), algos=("td_lambda",)))


@pytest.mark.slow  # `test_judges` has the same road with another judge
def test_a_sweep_of_predictions_ends_with_the_least_error_in_its_folder(tmp_path):
    args = tabular.Args(env=(WALK,), methods=("td",), seeds=2, steps=4000, evaluations=2,
                        sweep=("td.learning_rate=0.0,0.05",), out=tmp_path / "run")  # fmt: skip
    assert tabular.tabular(args) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    (sweep,) = summary["sweeps"][WALK].values()
    assert [point["settings"]["learning_rate"] for point in sweep["points"]] == [0.05, 0.0]
    assert sweep["points"][1]["iqm"] == pytest.approx(np.sqrt(np.mean(TRUTH[1:-1] ** 2)), rel=1e-6)  # V = 0
    best = run_folder.read(tmp_path / "run" / selection.BEST)
    assert {"value_rms", "value_error_max", "training_length"} <= set(best.curves.metric)


def test_gradient_monte_carlo_comes_near_the_values_of_a_walk_by_the_settings_that_it_has_there():
    env, one = envs.make("RandomWalk-19"), contender("gradient_monte_carlo", "RandomWalk-19", 100_000)
    algorithm = one.make(env)
    state = algorithm.init(jax.random.key(0), one.hparams)
    state = jax.jit(lambda state: jax.lax.fori_loop(0, 100, lambda _, s: algorithm.step(s, one.hparams)[0], state))(
        state
    )
    error = value_rms().measured(algorithm, env, state, None)["value_rms"]
    assert float(error[0]) < 0.15  # at the rate of other walks 0.4


def test_another_judge_can_be_named():
    chosen = overridden(tabular.experiment_of(tabular.Args(methods=("td",))), Options(judge="value_rms"))
    assert chosen.tasks[0].judge == value_rms()


@pytest.mark.parametrize(("judge", "module"), [(value_rms(), td), (exact_return(), q_learning)])
def test_which_state_a_row_shows_is_not_left_to_the_compiler_to_work_out(judge, module):
    env, algorithm = envs.make(WALK), module.make(envs.make(WALK))
    state = jax.eval_shape(algorithm.init, jax.random.key(0), module.HParams())
    program = jax.make_jaxpr(functools.partial(judge.measured, algorithm, env))(state, jax.random.key(0))
    assert "optimization_barrier" in str(program)  # else a constant, folded element by element: 20 s for 1000 states
