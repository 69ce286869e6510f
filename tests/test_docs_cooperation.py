"""What docs/cooperation.md says is true."""

import re
import shlex
from pathlib import Path

import pages
import pytest
import tyro

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "cooperation.md").read_text()
COMMANDS = re.findall(r"^python -m (experiments\.[\w.]+) (.*)$", TEXT, re.MULTILINE)


def table(title):
    """Returns the rows of the table with this title in its first column."""
    return pages.table(TEXT, title)


def test_every_file_that_is_named_is_there():
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (ROOT / "docs" / target).exists(), target


@pytest.mark.parametrize(("module", "command"), [one for one in COMMANDS if one[0] == "experiments.compare"])
def test_every_comparison_is_one(module, command):
    from experiments import compare

    args = tyro.cli(compare.Args, args=shlex.split(command))
    if args.env[0].startswith("jaxmarl/"):
        pytest.importorskip("jaxmarl")
    experiment = compare.experiment_of(args)
    wanted = "normalised_return" if args.env == ("Spread",) else "evaluation_return"
    assert [task.criterion.metric for task in experiment.tasks] == [wanted]


def test_every_learner_of_teams_and_every_field_of_spread_is_listed():
    import envs
    from experiments.lab.definition.settings import TEAMS

    assert {*re.findall(r"`(\w+)`", " ".join(row[0] for row in table("name")))} == {*TEAMS, "ppo"}
    with pytest.raises(ValueError) as error:
        envs.make("Spread", nothing=1)
    fields = str(error.value).split("its fields are: ")[1].split(", ")
    assert re.findall(r"`(\w+)`", " ".join(row[0] for row in table("field"))) == fields


def test_the_scales_are_those_of_the_judge():
    from experiments.lab.judging.spread import CONTROLLER, RANDOM

    for row, of in zip(table("scale"), (lambda r: r, lambda r: 3 * r, lambda r: 6 * r - 75)):
        told = [float(re.match(r"−?[\d.]+", cell)[0].replace("−", "-")) for cell in row[1:3]]
        assert told == pytest.approx([of(RANDOM), of(CONTROLLER)], abs=0.06)
