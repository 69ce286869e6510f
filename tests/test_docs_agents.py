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
