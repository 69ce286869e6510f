"""What --help says."""

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest
import tyro

from experiments import __main__ as console
from experiments.compare import Args, experiment_of
from experiments.lab.commands import cli
from experiments.lab.commands.options import Options
from experiments.lab.definition.experiment import Experiment

COMMANDS = [console.PACKAGES.get(name, f"experiments.{name}") for name in console.COMMANDS]
FIGURES = ["experiments.gae", "experiments.score_function", "experiments.natural_gradient"]


def helped(arguments, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["command", "--help"])
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as end:
        cli.run_command(arguments, lambda args: 1, "command")
    assert end.value.code == 0
    return capsys.readouterr().out


def test_compare_names_environments_and_algorithms_first_and_what_every_default_is(monkeypatch, capsys):
    text = helped(Args, monkeypatch, capsys)
    assert re.findall(r"^\W (--\w+)", text, re.MULTILINE)[:4] == ["--env", "--algos", "--seeds", "--steps"]
    assert "None" not in text and "(default: )" not in text
    assert text.count("default:") == len(Args.__dataclass_fields__)
    (example,) = re.findall(r"^ +(?:python -m experiments\.compare) (.*)$", text, re.MULTILINE)
    assert tyro.cli(Args, args=shlex.split(example)).env == ("Acrobot-v1",)
    assert f"Documentation: {cli.documentation()}" in text


def test_no_option_is_told_with_a_line_that_ends_within_a_sentence():
    for path in (Path(cli.__file__).parents[2]).rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and node.name in ("Args", "Options", "What"):
                told = [each.value.value for each in node.body[1:] if isinstance(each, ast.Expr)]
                for line in (line for text in told for line in text.splitlines()[:-1]):  # where the screen begins anew
                    assert line.rstrip()[-1] in ".:;", f"{path}: {line}"


@pytest.mark.parametrize("module", COMMANDS + FIGURES)
def test_every_command_fits_80_columns_says_its_defaults_in_words_and_where_more_is(module, monkeypatch, capsys):
    arguments = importlib.import_module(module).Args
    text = helped(arguments, monkeypatch, capsys)
    assert max(len(line) for line in text.splitlines() if cli.documentation() not in line) <= 80
    assert "None" not in text and "(default: )" not in text and "Default:" not in text
    assert f"Documentation: {cli.documentation()}" in " ".join(text.split())
    examples = re.findall(r"^ +python -m (experiments[.\w]*) (.*)$", text, re.MULTILINE)
    assert len(examples) >= (module in COMMANDS)
    for name, words in examples:
        assert module.startswith(name)
        tyro.cli(arguments, args=shlex.split(words))


def test_what_compare_says_of_its_evaluations_is_what_an_experiment_takes_by_itself():
    own, told = Experiment((), (), 1), Args()
    taken = experiment_of(Args(algos=("ppo",)))
    assert told.evaluations == own.evaluations == taken.evaluations
    assert told.eval_episodes is None and taken.eval_episodes == own.eval_episodes == 32


def test_an_experiment_files_options_say_that_what_is_left_out_is_the_experiments(monkeypatch, capsys):
    text = helped(Options, monkeypatch, capsys)
    assert "None" not in text and text.count("own)") >= 4
