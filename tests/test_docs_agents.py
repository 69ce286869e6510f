"""What docs/agents.md says is true."""

import re
import shlex
from pathlib import Path

import pages
import pytest
import tyro

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "agents.md").read_text()
COMMANDS = re.findall(r"^python -m experiments\.(compare|games) (.*)$", TEXT, re.MULTILINE)


def table(title):
    """Returns the rows of the table with this title in its first column."""
    return pages.table(TEXT, title)


def test_every_file_that_is_named_is_there():
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (ROOT / "docs" / target).exists(), target


@pytest.mark.parametrize(("module", "command"), COMMANDS)
def test_every_command_is_one(module, command):
    if module == "games":
        from experiments import games

        args = tyro.cli(games.Args, args=shlex.split(command))
        games.check(args)
        assert games.game_of(args)
    else:
        from experiments import compare

        experiment = compare.experiment_of(tyro.cli(compare.Args, args=shlex.split(command)))
        assert [task.criterion.metric for task in experiment.tasks] == ["nash_conv"]


def test_every_game_and_every_learner_is_listed():
    from envs.games import ids
    from experiments.lab.definition.settings import AGENTS

    assert {*re.findall(r"`(\w+)`", " ".join(row[0] for row in table("id")))} == set(ids.IDS)
    listed = {*re.findall(r"`(\w+)`", " ".join(row[0] for row in table("name")))}
    assert listed == {*AGENTS, "ppo", "a2c", "reinforce", "trpo", "npg"}


def test_every_field_of_agents_is_one_of_an_environment():
    from envs import Env

    assert {row[0].strip("`") for row in table("field")} <= set(Env._fields)


@pytest.mark.parametrize("row", table("id"), ids=lambda row: row[0])
def test_every_game_has_the_fields_that_are_told(row):
    import envs

    for name in re.findall(r"`(\w+)`", row[0]):
        with pytest.raises(ValueError) as error:
            envs.make(name, nothing=1)
        fields = str(error.value).split("its fields are: ")[1].split(", ")
        told = re.findall(r"`(\w+)`", row[3].replace("`k` (of `Penalty`)", "`k`"))
        payoffs = {"reward", "sucker", "temptation", "punishment"}
        assert set(fields) - payoffs <= set(told)


def test_every_trap_has_a_test_that_is_there():
    rows = table("trap")
    assert [int(row[0].partition(".")[0]) for row in rows] == list(range(1, 27))
    files = {path.name: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    for row in rows:
        found = re.findall(r"`(test_\w+\.py)::(test_\w+)`", row[2])
        assert found and len(found) == row[2].count("`") // 2
        for file, name in found:
            assert f"def {name}(" in files[file], name


def test_what_was_tuned_is_what_is_set_and_no_default():
    from experiments.lab.definition.settings import AGENTS, ALGORITHMS, TEAMS, TUNED

    told, found = (
        {(on, name.strip("`")): {*re.findall(r"`(\w+)`", fields)} for name, on, fields in table("settings of")},
        {},
    )
    for on in ("Kuhn", "Leduc", "Spread"):
        for name, (module, makes_it) in (ALGORITHMS | AGENTS | TEAMS).items():
            config, hparams = TUNED.get((on, name), ({}, {}))
            defaults = vars(module.Config(**makes_it)) | vars(module.HParams())
            found[on, name] = {field for field, value in (config | hparams).items() if defaults[field] != value}
    assert told == {place: fields for place, fields in found.items() if fields}
    others = {
        "RockPaperScissors",
        "MatchingPennies",
        "PrisonersDilemma",
        "StagHunt",
        "Climbing",
        "Penalty",
        "LiarsDice",
    }
    assert not others & {environment for environment, _ in TUNED}
