"""The sweeps that rows of the settings come from, and what docs/settings.md says of them."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import experiments.sweeps
from algos.agents import exact_play
from experiments.lab.definition.settings import TUNED, contender, given
from experiments.lab.definition.sweeps import selection
from experiments.lab.definition.sweeps.spaces import points_of
from experiments.lab.running.checks import check

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "settings.md"
FILES = [f"experiments.sweeps.{module.name}" for module in pkgutil.iter_modules(experiments.sweeps.__path__)]
OF_THE_REPORT = set(range(100))  # seeds that tables in README and docs are of


@pytest.fixture(scope="module", params=FILES)
def module(request):
    return importlib.import_module(request.param)


def settings_of(one):
    return one.config, one.hparams.replace(total_steps=0.0)


def test_a_sweep_says_its_question_and_its_command_and_is_short(module):
    assert "?\n" in module.__doc__ and f"\n    python -m {module.__name__}\n" in module.__doc__
    assert len(Path(module.__file__).read_text().splitlines()) <= 70


def test_neither_the_seeds_that_select_nor_those_that_report_are_those_of_the_tables(module):
    chosen = module.experiment
    assert not OF_THE_REPORT & {*chosen.seeds, *selection.report_seeds(chosen)}


def test_the_row_of_every_algorithm_in_a_sweep_is_one_of_its_points(module):
    (task,) = module.experiment.tasks
    sweeps = selection.sweeps_of(task)
    assert list(sweeps) == list(module.SPACES)
    for name, points in sweeps.items():
        assert (task.environment, name) in TUNED
        row = settings_of(contender(name, task.environment, 1))
        assert sum(settings_of(point) == row for point in points) == 1, name


@pytest.mark.slow
def test_a_sweep_can_run(module):
    check(module.experiment)


def test_points_are_around_the_defaults_whatever_row_is_in_force():
    swept = {"learning_rate": (1e-3, 2e-3)}
    points = points_of({"a2c": ({"num_steps": 8}, {"gamma": 0.9}, swept), "ppo": ({}, {}, swept)}, 5_000)
    assert [one.name for one in points] == [
        f"{name} learning_rate={rate}" for name in ("a2c", "ppo") for rate in ("0.001", "0.002")
    ]
    usual = given("ppo", 5_000, {}, {})
    assert usual.hparams != contender("ppo", "CartPole-v1", 5_000).hparams
    assert points[3].hparams == usual.hparams.replace(learning_rate=2e-3) and points[3].config == usual.config
    assert (points[0].config.num_steps, points[0].hparams.gamma, points[0].hparams.total_steps) == (8, 0.9, 5_000.0)


def test_no_algorithm_is_given_more_points_than_another():
    swept = {"learning_rate": (1e-3, 2e-3)}
    with pytest.raises(ValueError, match="every algorithm of an environment gets as many points: a2c 4, ppo 2"):
        points_of({"a2c": ({}, {}, {**swept, "gamma": (0.9, 0.99)}), "ppo": ({}, {}, swept)}, 5_000)


def swept():
    """Yields (file, environment, algorithm, field values that were tried, the row's point) of every sweep."""
    for file in FILES:
        module = importlib.import_module(file)
        (task,) = module.experiment.tasks
        for name, points in selection.sweeps_of(task).items():
            row = settings_of(contender(name, task.environment, 1))
            (best,) = [one.name for one in points if settings_of(one) == row]
            yield file, task.environment, name, module.SPACES[name][2], best.removeprefix(f"{name} ")


def shown_in_the_readme():
    """Yields (environment, algorithm) of each row of the README's two tables of returns, and of its commands for results."""
    text = (ROOT / "README.md").read_text()
    results = text[text.index("## Results") : text.index("Training speed")]
    for name in re.findall(r"^\| (\w+) \| [\d.]+ \[", results, re.MULTILINE):
        yield "CartPole-v1", name
    environment = ""
    for cell, name in re.findall(r"^\| ([\w-]*) ?\| (\w+) \| -?[\d.]+ \[", results, re.MULTILINE):
        environment = cell or environment
        yield environment, name
    for environment, names in re.findall(r"--env ([\w-]+) --algos ([\w ]+?) --", results):
        yield from ((environment, name) for name in names.split() if name not in exact_play.METHODS)


def test_what_the_readme_shows_was_found_by_a_sweep():
    shown = set(shown_in_the_readme())
    some = {
        ("CartPole-v1", "npg"),
        ("Acrobot-v1", "pgql"),
        ("Breakout-MinAtar", "dqn"),
        ("FrozenLake-4x4", "q_learning"),
    }
    assert some | {("Kuhn", "nfsp"), ("Spread", "mappo")} <= shown and len(shown) > 35
    assert shown <= {(environment, name) for _, environment, name, _, _ in swept()}


def test_the_page_names_the_rows_that_no_sweep_found():
    text = PAGE.read_text()
    told = re.findall(r"^\| `([\w-]+)` \| ([\w, ]+) \|$", text[text.index("**not of a sweep**") :], re.MULTILINE)
    pairs = {(environment, name) for environment, names in told for name in names.split(", ")}
    assert pairs == set(TUNED) - {(environment, name) for _, environment, name, _, _ in swept()}


def test_the_page_names_each_sweep_with_its_command_and_the_points_in_force_and_which_are_at_an_edge():
    text = PAGE.read_text()
    told = re.findall(r"^\| ([\w-]+) \| (\w+) \| `([^`]+)` \| ([\d,]+) \|.*\| ([^|]*) \|$", text, re.MULTILINE)
    expected = []
    for file, environment, name, tried, best in swept():
        assert f"python -m {file}\n" in text
        steps = f"{importlib.import_module(file).STEPS:,}"
        expected.append((environment, name, best, steps, "; ".join(edges(tried, best)) or "–"))
    assert sorted(told) == sorted(expected)


def edges(tried, best):
    """Yields the fields of a point, of more than two values, whose value is the least or the greatest that was tried."""
    for field, value in (cell.split("=") for cell in best.split()):
        ordered = sorted(tried[field])
        if len(ordered) > 2 and float(value) in (ordered[0], ordered[-1]):
            yield f"`{field}`, {'lowest' if float(value) == ordered[0] else 'highest'}"
