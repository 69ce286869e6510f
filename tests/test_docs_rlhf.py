"""What docs/rlhf.md says is true."""

import importlib
import inspect
import re
import shlex
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pages
import pytest
import tyro

from algos.core.optimize import adam
from algos.rlhf import advantages, kl, optimum
from envs.text import rewarded
from experiments import doctor
from experiments.rlhf import command, pipeline, reach, settings, task, user_reward
from experiments.rlhf.splits import Split

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "rlhf.md").read_text()
CODE = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = re.findall(r"^python -m (experiments\..*)$", TEXT, re.MULTILINE)


@pytest.fixture(autouse=True, scope="module")
def little_compiled_quickly():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def table(title):
    """Returns the rows of the table with this title in its first column."""
    return [[cell.strip("`") for cell in row] for row in pages.table(TEXT, title)]


def test_every_file_is_there_and_every_file_of_the_chapter_is_named():
    targets = re.findall(r"\]\(([^)#]+)\)", TEXT)
    for target in targets:
        assert (ROOT / "docs" / target).exists(), target
    named = {Path(target).name for target in targets if "/algos/rlhf/" in target}
    there = {path.name for path in (ROOT / "algos" / "rlhf").glob("*.py")}
    assert there - named == {"__init__.py", "types.py", "epochs.py"}  # data and rows: said in the files that use them


def test_every_method_is_listed_with_its_file_and_its_settings():
    assert [row[0] for row in table("method")] == list(settings.METHODS)
    for name, _, link in table("method"):
        assert link.endswith(f"(../algos/rlhf/{name}.py)")
    told = {name: (float(rate), float(beta)) for name, rate, beta in table("default of")}
    for name in settings.METHODS:
        hparams = settings.contender(name, 1).hparams
        if name != "best_of_n":
            assert told.pop(name) == (
                hparams.learning_rate,
                getattr(hparams, "kl_coef", getattr(hparams, "beta", None)),
            )
    assert not told
    assert (settings.Sizes().length, settings.QUICK.length) == (24, 16) and "(24; 16 with `--quick`)" in TEXT


def test_every_estimator_in_every_place_is_listed_with_where_it_leads():
    rows = {(estimator, place): leads for estimator, place, leads in table("estimator")}
    assert rows.keys() == {(estimator, place) for estimator in kl.ESTIMATORS for place in kl.PLACES}
    assert {pair for pair, leads in rows.items() if leads.startswith("π*")} == set(kl.EXACT)


def test_the_words_for_advantages_and_for_the_optimum_are_functions():
    for name in re.findall(
        r"`(\w+)`", next(row[0] for row in table("part that is shared") if "leave_one_out" in row[0])
    ):
        assert callable(getattr(advantages, name))
    for *_, names in table("what | equation | function of [`optimum.py`](../algos/rlhf/optimum.py)"):
        for name in re.findall(r"\w+", names):
            assert callable(getattr(optimum, name))


def test_parts_stages_and_metrics_are_those_that_there_are():
    assert {row[0] for row in table("part | texts are read by | ratings are read by")} == set(Split._fields)
    assert [row[0] for row in table("stage")] == list(pipeline.Stages._fields)
    told = {name for row in table("metric of an evaluation") for name in re.findall(r"\w+", row[0])}
    source = inspect.getsource(task.measure) + inspect.getsource(task.of_answers)
    assert told == set(re.findall(r'"(\w+)":', source)) - {"tokens"} | set(re.findall(r'found\["(\w+)"\] =', source))


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_is_one(words, tmp_path, monkeypatch):
    module, *arguments = shlex.split(words)
    kinds = {"experiments.rlhf": command.Args, "experiments.doctor": doctor.Args, "experiments.rlhf.reach": reach.Args}
    args = tyro.cli(kinds[module], args=arguments)
    if module == "experiments.rlhf":
        (tmp_path / "my_rewards.py").write_text(CODE[1])
        monkeypatch.chdir(tmp_path)
        pipeline.overridden(pipeline.experiment(args, settings.Sizes(), None), args)
        assert not args.reward or user_reward.checked(args.reward)


def test_the_optimum_example_prints_what_it_says(capsys):
    exec(CODE[0], {})
    printed = capsys.readouterr().out.splitlines()
    told = re.findall(r"print\(.*\)  # ([^:\n]*)", CODE[0])
    assert len(told) == 3 and printed == [line.strip() for line in told]


def test_the_rewards_of_ones_own_are_taken(tmp_path):
    (tmp_path / "my_rewards.py").write_text(CODE[1])
    assert user_reward.checked(f"{tmp_path / 'my_rewards.py'}:short")(["a", "bc"]) == [-0.01, -0.02]
    quick = user_reward.checked(f"{tmp_path / 'my_rewards.py'}:quick")
    assert quick(jnp.zeros((2, 24)), jnp.ones((2, 24))).tolist() == [-1.0, -1.0]


def test_the_task_of_ones_own_is_a_language_task_whose_rewards_lie_where_the_command_says():
    space = {}
    exec(CODE[2], space)
    env = space["varied"]()
    rows = jnp.array([[1, 3, 4, 3, 4, 3, 4], [1, 3, 3, 4, 2, 0, 0], [1, 2, 0, 0, 0, 0, 0]])
    mask = jnp.where(rows != 0, 1.0, 0.0)
    assert rewarded(env.text, rows, mask, mask[:, 1:]).tolist() == pytest.approx([1.0, 0.2, 0.0])
    assert env.text.length == 6 and env.action.n == 8


def test_every_trap_has_a_test_that_is_there():
    rows = table("trap")
    assert [int(row[0].partition(".")[0]) for row in rows] == list(range(1, 24))
    files = {path.name: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    for row in rows:
        found = re.findall(r"(test_\w+\.py)::(test_\w+)", row[1])
        assert found
        for file, name in found:
            assert f"def {name}(" in files[file], name
    for file in re.findall(r"`(test_\w+\.py)`", TEXT):
        assert file in files


def test_adam_adds_epsilon_to_the_corrected_root_as_pytorch_does():
    gradient, rate, epsilon = np.array([3e-5, -1e-2]), 0.1, 1e-5
    state, first, second, params = adam(rate, 0.0).init(jnp.zeros(2)), np.zeros(2), np.zeros(2), np.zeros(2)
    ours = jnp.zeros(2)
    for time in range(1, 4):
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        root = np.sqrt(second / (1 - 0.999**time))  # TensorFlow's form adds epsilon before this correction
        params = params - rate * first / (1 - 0.9**time) / (root + epsilon)
        moves, state = adam(rate, 0.0).update(jnp.asarray(gradient, jnp.float32), state, ours)
        ours = ours + moves
    np.testing.assert_allclose(ours, params, rtol=1e-4)


def test_the_doctor_s_page_names_a_file_that_is_there():
    assert importlib.import_module("experiments.lab.examination.language").examine_language
    assert (ROOT / "tests" / "experiments" / "test_doctor_language.py").exists()
