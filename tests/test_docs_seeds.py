"""The figures of docs/seeds.md are those of the code; the simulated ones are those that the slow tests print."""

import re
from pathlib import Path

import pytest

from experiments.compare import Args
from experiments.lab.judging import looks
from experiments.lab.judging.verdicts import LEVEL

TEXT = (Path(__file__).parents[1] / "docs" / "seeds.md").read_text().replace("\n", " ")


def test_the_levels_are_those_of_the_code():
    first, second, ratio = re.search(
        r"Look 1 is tested at ([\d.]+)%, look 2 at ([\d.]+)%, each later one at ([\d.]+)", TEXT
    ).groups()
    assert float(first) == pytest.approx(100 * LEVEL * looks.share(1))
    assert float(second) == pytest.approx(100 * LEVEL * looks.share(2))
    assert float(ratio) == pytest.approx(looks.share(4) / looks.share(3))
    total = float(re.search(r"add up to less than ([\d.]+)%", TEXT)[1])
    assert total - 0.1 < 100 * LEVEL * sum(map(looks.share, range(1, 100))) < total


def test_the_commands_take_options_that_there_are():
    for option in re.findall(r" --([a-z][a-z-]*)", TEXT):
        assert option.replace("-", "_") in Args.__dataclass_fields__, option
