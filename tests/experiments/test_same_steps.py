"""Curves at the same steps: linear between evaluations, nothing beyond them, one column a seed."""

import numpy as np
import pytest
from test_report import make_folder

from experiments.lab.recording.run_folder import read
from experiments.lab.recording.same_steps import at_same_steps


@pytest.fixture
def folder(tmp_path):
    """ppo is evaluated after 0, 500, 1000 steps, dqn after 100, 550, 900; at 10 times their steps they are worth their value."""
    folder = make_folder(tmp_path / "run", {"E": {"ppo": (1e4, 1e4), "dqn": (1e4, 2e4)}})
    text = (folder / "curves.csv").read_text()
    for before, after in ((0, 100), (500, 550), (1000, 900)):
        for seed, factor in ((0, 10.0), (1, 20.0)):
            old = f"E,dqn,{seed},{before},evaluation_return,{factor * before}"
            assert old in text
            text = text.replace(old, f"E,dqn,{seed},{after},evaluation_return,{factor * after}")
    (folder / "curves.csv").write_text(text)
    return read(folder)


def test_every_contender_has_values_at_the_same_steps_between_its_evaluations(folder):
    table = at_same_steps(folder)
    assert table.index.tolist() == [100.0, 500.0, 900.0] and table.columns.names == ["environment", "algorithm", "seed"]
    for (_, name, seed), values in table.items():
        slope = 20.0 if (name, seed) == ("dqn", 1) else 10.0
        np.testing.assert_allclose(values, slope * table.index)
    assert len(at_same_steps(folder, points=7)) == 7


def test_another_metric_may_be_asked_for_and_one_that_is_not_there_is_one_line(folder):
    table = at_same_steps(folder, "value_loss")
    np.testing.assert_allclose(table["E", "ppo", 0], 3.0 - table.index / 1000)
    with pytest.raises(ValueError, match="has no curves of entropy; it has: evaluation_return, "):
        at_same_steps(folder, "entropy")
    with pytest.raises(ValueError, match="points must be 1 or more, not 0"):
        at_same_steps(folder, points=0)


def test_a_seed_that_diverged_has_no_value_from_there_on(folder):
    rows = folder.curves
    rows.loc[(rows.algorithm == "ppo") & (rows.seed == 1) & (rows.env_steps == 1000), "value"] = np.nan
    table = at_same_steps(folder, points=9)
    assert table["E", "ppo", 1].isna().tolist() == [False] * 4 + [table.index[4] > 500.0] + [True] * 4
    assert table["E", "ppo", 0].notna().all()
