"""What ranks may be any metric, and less may be better: every reader of a run has it the right way round."""

import dataclasses
import json
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from algos import ppo
from algos.tabular import q_learning
from envs.mdp import problems
from experiments import diff, rerun, watch
from experiments.lab.commands.cli import BadInput
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.definition.settings import contender
from experiments.lab.definition.sweeps import selection
from experiments.lab.definition.sweeps.points import grid
from experiments.lab.judging.criterion import Criterion, criterion_of
from experiments.lab.judging.judges import Judge, exact_return
from experiments.lab.outside import user_judge
from experiments.lab.recording import run_folder
from experiments.lab.recording.policies import load
from experiments.lab.running import launch, runner
from experiments.lab.running.checks import check
from experiments.lab.showing.report import page
from experiments.lab.showing.report.findings import efficiencies, ranked, scale_of

LAKE, GAMMA = "FrozenLake-4x4", 0.99
FILE = """
from experiments.lab.judging.judges import Judge, measure_exactly

def measure(algorithm, env, state, key, gamma):
    found = measure_exactly(algorithm, env, state, key, gamma)
    return {"regret": found["optimality_gap"], "exact_return": found["exact_return"]}

def regret():
    return Judge("regret", False, measure, {"gamma": 0.99})
"""


def experiment(judge, *contenders, seeds=3, steps=6000) -> Experiment:
    return Experiment((Task(LAKE, contenders, judge=judge),), tuple(range(seeds)), steps, evaluations=3)


@pytest.fixture(scope="module")
def learners():
    """Returns Q-learning that learns, and the same that does not: its rate is 0."""
    learns = contender("q_learning", LAKE, 6000)
    idle = dataclasses.replace(learns, name="idle", hparams=learns.hparams.replace(learning_rate=0.0))
    return learns, idle


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """Returns a judge of a user's own file by which less is better."""
    path = tmp_path_factory.mktemp("own") / "my_judges.py"
    path.write_text(FILE)
    return user_judge.named(f"{path}:regret")


@pytest.fixture(scope="module")
def run(tmp_path_factory, learners, judge):
    """Returns the folder of a run in which less is better: of a sweep, beside what does not learn."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    learns, idle = learners
    points = grid(learns, learning_rate=(0.0, 0.3))
    assert launch.launch(experiment(judge, idle, *points), folder) == 0
    return folder


def summary_of(folder):
    return json.loads((folder / "summary.json").read_text())["environments"][LAKE]


def exact(mdp, action, gamma):
    """Returns J of a policy, by NumPy's dense solve alone."""
    states = np.arange(mdp.num_states)
    chance = mdp.probability[states, action] * ~mdp.terminated[states, action]
    matrix = np.zeros((states.size, states.size))
    np.add.at(matrix, (states[:, None], mdp.successor[states, action]), chance)
    reward = (mdp.probability * mdp.reward).sum(-1)[states, action]
    return mdp.start @ np.linalg.solve(np.eye(states.size) - gamma * matrix, reward)


def test_the_metric_that_ranks_is_in_the_curves_the_summary_and_the_manifest_by_its_name(run):
    found = summary_of(run)
    assert (found["metric"], found["higher_is_better"]) == ("regret", False)
    metrics = set(run_folder.read(run).curves.metric)
    assert {"regret", "exact_return", "training_return"} <= metrics and "evaluation_return" not in metrics
    task = json.loads((run / "manifest.json").read_text())["environments"][LAKE]
    assert task["judge"]["settings"] == {"gamma": GAMMA} and task["judge"]["measure"].endswith("my_judges.py:measure")
    assert list((run / "code").rglob("my_judges.py"))


def test_the_least_point_of_a_sweep_is_its_best_where_less_is_better(run):
    (sweep,) = json.loads((run / "summary.json").read_text())["sweeps"][LAKE].values()
    assert [point["settings"]["learning_rate"] for point in sweep["points"]] == [0.3, 0.0]
    assert sweep["points"][0]["iqm"] < sweep["points"][1]["iqm"]
    best = summary_of(run / selection.BEST)
    assert sweep["best"] in best["algorithms"] and best["higher_is_better"] is False


def test_verdicts_tables_and_pages_have_the_least_first_and_name_the_metric(run, capsys):
    found = summary_of(run / selection.BEST)
    assert any(re.match(r"q_learning learning_rate=0.3 (is ahead of|against) idle", line) for line in found["verdicts"])
    results = run_folder.join([run_folder.read(run / selection.BEST)])[LAKE]
    assert [result.name.split(" ")[0] for result in ranked(results)] == ["q_learning", "idle"]
    text = re.sub(r"<[^>]+>", " ", page.render([run_folder.read(run / selection.BEST)]))
    assert "Regret while training (lower is better)" in text and "evaluation return" not in text.lower()
    assert watch.best(run / selection.BEST, LAKE, ["idle", results[-1].name]) != "idle"


def test_steps_to_a_score_count_down_where_less_is_better(run):
    results = run_folder.join([run_folder.read(run / selection.BEST)])[LAKE]
    scale = scale_of(results)
    regret = results[0].criterion.score
    assert regret(scale.start) > regret(scale.best) >= 0.0
    reached = efficiencies(results, scale.at(0.5))
    assert np.isnan(reached["idle"].steps).all()
    assert np.isfinite(reached[ranked(results)[0].name].steps).any()


def test_a_run_with_a_judge_of_a_users_own_is_run_again_bit_for_bit(run, tmp_path, capsys):
    assert rerun.rerun(rerun.Args(run, out=tmp_path / "again")) == 0
    assert "the same bit for bit" in capsys.readouterr().out


def test_a_run_that_is_cut_is_resumed_with_the_same_bits(run, tmp_path, learners, judge, monkeypatch, capsys):
    folder, real = tmp_path / "cut", runner.metric_rows
    calls = []

    def stop(*arguments):
        calls.append(1)
        if len(calls) > 4:
            raise KeyError("cut here")
        return real(*arguments)

    monkeypatch.setattr(runner, "metric_rows", stop)
    learns, idle = learners
    with pytest.raises(KeyError, match="cut here"):
        launch.launch(experiment(judge, idle, *grid(learns, learning_rate=(0.0, 0.3))), folder)
    monkeypatch.undo()
    assert launch.resume(launch.to_resume(folder), folder) == 0
    assert summary_of(folder)["algorithms"].keys() == summary_of(run)["algorithms"].keys()
    for name, figures in summary_of(folder)["algorithms"].items():
        assert figures["final_values"] == summary_of(run)["algorithms"][name]["final_values"]
    assert diff.diff(diff.Args(run, folder)) in (0, 1)
    assert "curves differ" not in capsys.readouterr().out


def test_the_exact_return_is_that_of_the_policy_that_was_saved(tmp_path, learners):
    folder = tmp_path / "run"
    assert launch.launch(experiment(exact_return(GAMMA), learners[0]), folder) == 0
    env, found = envs.make(LAKE), summary_of(folder)["algorithms"]["q_learning"]
    observations = jax.vmap(env.observe)(jnp.arange(16))
    for seed, value in enumerate(found["final_values"]):
        act = load(folder, LAKE, "q_learning", seed)
        action = np.array([act(jax.random.key(0), observation) for observation in observations])
        np.testing.assert_allclose(value, exact(env.model, action, GAMMA), rtol=1e-5)


@pytest.mark.parametrize("module", [q_learning, ppo], ids=lambda module: module.__name__)
def test_the_other_exact_metrics_are_those_of_the_trained_state(module):
    env = envs.make(LAKE)
    algorithm, hparams = module.make(env), module.HParams()
    state = jax.jit(algorithm.init)(jax.random.key(3), hparams)
    if module is q_learning:
        state = state.replace(params=jax.random.normal(jax.random.key(4), state.params.shape))
    found = jax.jit(lambda state: exact_return(GAMMA).measured(algorithm, env, state, jax.random.key(0)))(state)
    found = {name: float(values[0]) for name, values in found.items()}
    states = np.arange(16)
    everything = [algorithm.act(state, jax.random.key(0), env.observe(index), False) for index in states]
    np.testing.assert_allclose(found["exact_return"], exact(env.model, np.array(everything), GAMMA), rtol=1e-5)
    np.testing.assert_allclose(found["optimality_gap"], 0.5420259320 - found["exact_return"], atol=1e-6)
    probs = np.array([np.exp(algorithm.policy(state, env.observe(index)).log_probs()) for index in states])
    np.testing.assert_allclose(probs.sum(1), 1.0, rtol=1e-5)
    matrix, reward = np.zeros((16, 16)), np.zeros(16)
    for action in range(4):
        chance = probs[:, action, None] * env.model.probability[:, action]
        np.add.at(matrix, (states[:, None], env.model.successor[:, action]), chance * ~env.model.terminated[:, action])
        reward += (chance * env.model.reward[:, action]).sum(1)
    value = np.linalg.solve(np.eye(16) - GAMMA * matrix, reward)
    np.testing.assert_allclose(found["stochastic_return"], env.model.start @ value, rtol=1e-4)
    assert found["value_error_max"] >= found["value_error_mean"] > 0.0


def test_scores_are_values_of_which_more_is_better():
    less = Criterion("nash_conv", False)
    np.testing.assert_array_equal(less.score([1.0, None, -2.0]), [-1.0, np.nan, 2.0])
    np.testing.assert_array_equal(less.score(less.score([1.0, 2.0])), [1.0, 2.0])
    np.testing.assert_array_equal(Criterion().score([1.0, 2.0]), [1.0, 2.0])
    assert criterion_of(less._asdict()) == less and criterion_of({}) == Criterion()
    assert less.words == "nash conv" and less.direction == "lower is better"


def test_folders_that_rank_by_unlike_metrics_are_not_joined(run, tmp_path, learners):
    other = tmp_path / "other"
    shutil.copytree(run / selection.BEST, other)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["environments"][LAKE]["judge"]["higher_is_better"] = True
    (other / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(run_folder.Unusable, match="ranked by regret .lower is better. and by regret .higher is better"):
        page.render([run_folder.read(run / selection.BEST), run_folder.read(other)])


def wrong(measure, metric="regret"):
    return Judge(metric, False, measure)


def wrong_on_host(told):
    return Judge("regret", False, lambda *_: {"x": jnp.zeros((2, 3))}, {}, told)


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        (wrong(lambda *_: {"other": jnp.zeros(1)}), "a dict that has its metric 'regret', not: other"),
        (wrong(lambda *_: jnp.zeros(1)), "a dict that has its metric 'regret', not: "),
        (wrong(lambda *_: {"regret": jnp.zeros(1), "value_change": jnp.zeros(1)}), "gives 'value_change', which q_learn"),
        (wrong(lambda *_: {"regret": 1.0 / 0}), "ZeroDivisionError|division by zero"),
        (wrong_on_host(lambda found: {"other": found["x"]}), "a dict that has its metric 'regret', not: other"),
        (wrong_on_host(lambda found: {"regret": found["x"], "value_change": [1.0]}), "gives 'value_change', which q_learn"),
        (wrong_on_host(lambda found: {"regret": found["y"]}), "KeyError|'y'"),
    ],
)  # fmt: skip
def test_a_judge_that_cannot_measure_is_told_in_one_line_before_anything_compiles(judge, said, learners):
    with pytest.raises(ValueError, match=said) as error:
        check(experiment(judge, learners[0]))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["exact", "no_file.py:judge", "experiments.lab.judging.judges:measure_exactly"])
def test_what_is_no_judge_is_told_in_one_line(name):
    with pytest.raises((ValueError, BadInput, TypeError)) as error:
        user_judge.named(name)
    assert "\n" not in str(error.value)


def test_the_exact_return_needs_a_finite_model_and_a_discount():
    with pytest.raises(ValueError, match="gamma from 0 to below 1, not 1.0"):
        exact_return(1.0)
    one = contender("a2c", "CartPole-v1", 6000)
    with pytest.raises(ValueError, match="CartPole-v1 is no finite model"):
        check(Experiment((Task("CartPole-v1", (one,), judge=exact_return()),), (0,), 6000))


def test_models_are_judged_exactly_unless_asked_otherwise():
    from experiments.compare import Args, experiment_of
    from experiments.lab.commands.options import Options
    from experiments.lab.definition.overrides import overridden

    chosen = experiment_of(Args(env=(LAKE, "CartPole-v1"), algos=("a2c",), seeds=1))
    assert [task.criterion.metric for task in chosen.tasks] == ["exact_return", "evaluation_return"]
    chosen = overridden(chosen, Options(judge="evaluation_return"))
    assert [task.criterion.metric for task in chosen.tasks] == ["evaluation_return"] * 2
    assert LAKE in problems.IDS
