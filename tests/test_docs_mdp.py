"""What docs/mdp.md says is true."""

import re
import shlex
from pathlib import Path

import jax
import numpy as np
import pages
import pytest
import tyro

from envs.mdp import problems
from experiments import compare, grid, tabular
from experiments.book import __main__ as book
from experiments.lab.definition import settings
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.definition.overrides import overridden
from experiments.lab.judging import judges
from experiments.lab.running.checks import check

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "mdp.md").read_text()
CODE = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = re.findall(r"^python -m (experiments\..*)$", TEXT, re.MULTILINE)
MANY_OUTCOMES = ("RandomWalk-1000", "CarRental", "Taxi")  # that take seconds


def table(title):
    """Returns the rows of the table with this title in its first column."""
    return [[cell.strip("`") for cell in row] for row in pages.table(TEXT, title)]


@pytest.mark.parametrize(
    "row", [pytest.param(row, marks=pytest.mark.slow) if row[0] in MANY_OUTCOMES else row for row in table("id")],
    ids=lambda row: row[0],
)  # fmt: skip
def test_every_problem_has_the_best_value_that_is_told(row):
    from algos.tabular.planning import modified_policy_iteration

    name, sizes, gamma, told = row
    mdp = problems.model(name)
    solution = modified_policy_iteration.solve(mdp, float(gamma), 1e-10)
    assert sizes == f"{mdp.num_states}, {mdp.num_actions}"
    assert mdp.start @ solution.value == pytest.approx(float(told), abs=1e-8)


def test_every_problem_is_listed():
    assert [row[0] for row in table("id")] == list(problems.IDS)


def test_every_method_is_listed_with_its_file():
    for title, methods, room in (
        ("control", settings.TABULAR, "tabular"),
        ("prediction", settings.PREDICTION, "tabular"),
        ("linear control", settings.LINEAR, "linear"),
        ("linear prediction", settings.LINEAR_PREDICTION, "linear"),
    ):
        rows = table(title)
        assert {row[0] for row in rows} == set(methods)
        for name, _, link in rows:
            assert link.endswith(f"({Path('../algos') / room / f'{name}.py'})")
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (ROOT / "docs" / target).exists(), target


def test_the_words_for_features_are_words_for_features():
    import envs
    from algos.linear import named

    for *_, words in table("features"):
        assert named.features_of(envs.make("MountainCar-v0"), words).size > 1


def test_every_function_that_makes_a_model_is_there():
    import envs.mdp

    for name in re.findall(r"`((?:from|on|of)_\w+)`", TEXT):
        assert callable(getattr(envs.mdp, name))


def test_the_judges_give_the_metrics_that_are_listed_and_no_other():
    from algos.tabular import q_learning, td

    given = set()
    for module, judge in ((q_learning, judges.exact_return()), (td, judges.value_rms())):
        env = compare_env()
        algorithm = module.make(env)
        state = jax.eval_shape(algorithm.init, jax.random.key(0), module.HParams())
        given |= jax.eval_shape(lambda s: judge.measured(algorithm, env, s, jax.random.key(0)), state).keys()  # noqa: B023
    assert {name for row in table("metric") for name in re.findall(r"\w+", row[0])} == given


def compare_env():
    import envs

    return envs.make("FrozenLake-4x4")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_one(command, tmp_path, monkeypatch):
    module, *words = shlex.split(command)
    kinds = {"compare": compare, "tabular": tabular, "grid": grid, "book": book}
    args = tyro.cli(kinds[module.partition(".")[2]].Args, args=words)
    if module in ("experiments.compare", "experiments.tabular"):
        (tmp_path / "my_models.py").write_text(CODE[0])
        monkeypatch.chdir(tmp_path)
        check(overridden(kinds[module.partition(".")[2]].experiment_of(args), args))


def test_the_models_of_ones_own_are_what_they_say():
    space = {}
    exec(CODE[0], space)
    rooms, pond = space["rooms"]().model, space["pond"]().model
    assert rooms.probability[1, 1].tolist() == [0.25, 0.75] and rooms.terminated[2, 1].tolist() == [False, True]
    assert rooms.reward.max() == 1.0 and rooms.start[0] == 1.0
    assert pond.num_states == 9 and sorted(set(pond.reward.ravel())) == [-1.0, 0.0, 1.0]


def test_the_planning_example_prints_what_it_says(capsys):
    exec(CODE[1], {})
    printed = capsys.readouterr().out
    assert printed.startswith("0.542025931") and "[1. 0. 0. 0.]" in printed


def test_the_books_numbers_are_those_that_the_figures_print_beside_ours():
    rows, told, name = table("figure"), {}, None
    for number, what, published, ours, _ in rows:
        name = number or name
        told.setdefault(name, []).append((what, published))
        value, low, high = map(float, re.fullmatch(r"(\S+) \[(\S+), (\S+)\]", ours).groups())
        assert low < value < high
    assert told.keys() == book.FIGURES.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["6.2", "6.5", "8.2", "11.2"])
def test_the_figures_come_out_as_told(name):
    figure, rows, current = book.made_again(name, 60), table("figure"), None
    told = []
    for number, what, published, ours, _ in rows:
        current = number or current
        if current == name:
            told.append((what, published, float(ours.partition(" ")[0])))
    assert [(row.what, row.published) for row in figure.rows] == [row[:2] for row in told]
    for row, (_, _, ours) in zip(figure.rows, told):
        error = np.std(row.values, ddof=1) / np.sqrt(len(row.values))
        assert abs(np.mean(row.values) - ours) < 5.0 * error, row.what


@pytest.mark.slow
@pytest.mark.parametrize("name", [row[0] for row in table("algorithm") if row[0] in settings.ALGORITHMS])
def test_deep_algorithms_come_within_two_per_cent_of_the_best_policy(name, tmp_path):
    import json

    from experiments.lab.running.launch import launch

    one = settings.contender(name, "FrozenLake-4x4", 300_000)
    task = Task("FrozenLake-4x4", (one,), judge=judges.exact_return())
    assert launch(Experiment((task,), (0, 1, 2), 300_000, evaluations=1), tmp_path / "run") == 0
    found = json.loads((tmp_path / "run" / "summary.json").read_text())["environments"]["FrozenLake-4x4"]["algorithms"]
    assert np.mean(found[name]["final_values"]) >= 0.98 * 0.5420259320
