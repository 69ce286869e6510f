"""The benchmark of teams: what it refuses, what it takes for an answer, and on what scale it tells scores."""

import io
from types import SimpleNamespace

import pytest

from experiments.benchmarks import agents


def test_a_folder_without_the_baseline_is_refused_in_one_line(tmp_path):
    with pytest.raises(SystemExit, match="is no checkout of JaxMARL"):
        agents.main(tmp_path)


def test_less_than_one_update_is_refused(tmp_path):
    script = tmp_path / "baselines" / "IPPO" / "ippo_ff_mpe.py"
    script.parent.mkdir(parents=True)
    script.touch()
    with pytest.raises(SystemExit, match="2,048 steps or more"):
        agents.main(tmp_path, steps=2047)


def test_what_a_library_prints_is_no_answer():
    process = SimpleNamespace(stdout=io.StringIO('Importing environments...\n{"seconds": 1.0}\n'))
    assert agents.answered(process) == '{"seconds": 1.0}\n'


def test_scores_lie_between_the_random_policy_and_the_controller():
    assert agents.normalised(-26.505) == 0.0 and agents.normalised(-7.56) == 1.0
