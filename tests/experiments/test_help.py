"""What --help says."""

import re
import shlex

import pytest
import tyro

from experiments.compare import Args, experiment_of
from experiments.lab.commands import cli
from experiments.lab.commands.options import Options
from experiments.lab.definition.experiment import Experiment


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


def test_what_compare_says_of_its_evaluations_is_what_an_experiment_takes_by_itself():
    own, told = Experiment((), (), 1), Args()
    taken = experiment_of(Args(algos=("ppo",)))
    assert told.evaluations == own.evaluations == taken.evaluations
    assert told.eval_episodes is None and taken.eval_episodes == own.eval_episodes == 32


def test_an_experiment_files_options_say_that_what_is_left_out_is_the_experiments(monkeypatch, capsys):
    text = helped(Options, monkeypatch, capsys)
    assert "None" not in text and text.count("own)") >= 4
