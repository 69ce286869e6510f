"""The sweeps that rows of the settings come from, and what docs/settings.md says of them."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import experiments.sweeps
from experiments.lab.definition.settings import TUNED, contender, given
from experiments.lab.definition.sweeps import selection
from experiments.lab.definition.sweeps.spaces import points_of
from experiments.lab.running.checks import check

ROOT = Path(__file__).parents[2]
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


def shown_in_the_readme():
    """Yields (environment, algorithm) of each row of the README's two tables of returns."""
    text = (ROOT / "README.md").read_text()
    for name in re.findall(r"^\| (\w+) \| [\d.]+ \[", text, re.MULTILINE):
        yield "CartPole-v1", name
    environment = ""
    for cell, name in re.findall(r"^\| ([\w-]*) ?\| (\w+) \| -?[\d.]+ \[", text, re.MULTILINE):
        environment = cell or environment
        yield environment, name


def test_the_page_names_what_the_readme_shows_without_settings():
    shown = set(shown_in_the_readme())
    assert {("CartPole-v1", "pgql"), ("Acrobot-v1", "a2c"), ("Breakout-MinAtar", "dqn")} <= shown and len(shown) > 20
    told = re.search(r"on defaults: ([^.]*)\.", (ROOT / "docs" / "settings.md").read_text()).group(1)
    assert shown - set(TUNED) == {tuple(pair.split()) for pair in re.findall("`([^`]+)`", told)}


def test_the_page_names_each_sweep_with_its_command_and_the_best_points_as_they_are_in_force():
    text = (ROOT / "docs" / "settings.md").read_text()
    told = {}
    for environment, name, best in re.findall(r"^\| ([\w-]+) \| (\w+) \| `([^`]+)` \|", text, re.MULTILINE):
        told[environment, name] = f"{name} {best}"
    expected = {}
    for file in FILES:
        module = importlib.import_module(file)
        assert f"python -m {file}\n" in text
        (task,) = module.experiment.tasks
        for name, points in selection.sweeps_of(task).items():
            row = settings_of(contender(name, task.environment, 1))
            (best,) = [one.name for one in points if settings_of(one) == row]
            expected[task.environment, name] = best
    assert told == expected
