"""The table of fingerprints is read as it is written, and cited where the processors of two runs differ."""

import os

import killed_run
import pytest

from experiments import fingerprint, rerun
from experiments.lab.commands.cli import BadInput
from experiments.lab.recording import fingerprints, manifest
from experiments.lab.recording.difference import Row
from experiments.lab.recording.fingerprints import Line
from experiments.lab.running import programs

HERE = Line("A; family 6", "jax 1", "c0de", {"ppo": "aa / bb", "dqn": "cc / dd", "a2c": "ee / -"})
THERE = HERE._replace(processor="B; AVX2", digests={"ppo": "a0 / bb", "dqn": "cc / dd", "a2c": "ee / -"})
PAGE = "# Page\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n| processor | versions | code | ppo | dqn | a2c |\n|---|---|---|---|---|---|\n"


@pytest.fixture
def page(tmp_path, monkeypatch):
    path = tmp_path / "hardware.md"
    path.write_text(PAGE)
    monkeypatch.setattr(fingerprints, "PAGE", path)
    return path


def test_lines_are_read_as_they_were_added_and_one_of_the_same_kind_and_code_is_replaced(page):
    assert fingerprints.table() == []
    for line in (HERE, THERE, HERE._replace(code="new"), HERE._replace(digests=THERE.digests)):
        fingerprints.append(line)
    lines = [THERE, HERE._replace(code="new"), HERE._replace(digests=THERE.digests)]
    assert fingerprints.table() == lines
    assert page.read_text() == PAGE + "".join(f"{line}\n" for line in lines)


def test_two_kinds_share_the_runs_whose_digests_are_equal():
    assert fingerprints.shared(HERE, THERE) == (["dqn", "a2c"], ["ppo", "dqn"])
    told = "B; AVX2: of 3 short runs 2 have the same bits as they come, 2 with --portable"
    assert fingerprints.compared(HERE, [THERE, THERE._replace(code="old"), THERE._replace(versions="jax 2")]) == [told]


def test_where_processors_differ_the_table_is_cited_as_far_as_it_has_both(page):
    rows = [Row("device machine", "A", "B"), Row("flags options", "--x", "--y")]
    assert "has no fingerprints of both" in fingerprints.reason(rows)
    for line in (HERE, THERE._replace(code="old")):
        fingerprints.append(line)
    assert "has no fingerprints of both" in fingerprints.reason(rows)
    fingerprints.append(THERE)
    assert fingerprints.reason(rows).endswith("of 3 short runs 2 have the same bits as they come, 2 with --portable")
    assert "has no fingerprints of both" in fingerprints.reason([Row("device machine", "A", "B2")])
    assert fingerprints.reason(rows[1:]).startswith("bits belong to XLA's options")
    assert fingerprints.reason([Row("versions jax", "1", "2")]) == ""


def test_a_rerun_on_another_kind_of_processor_cites_the_table(page, monkeypatch, tmp_path):
    then = manifest.surroundings()
    then["device"] = then["device"] | {"machine": "A"}
    monkeypatch.setattr(manifest, "read_manifest", lambda folder: then)
    lines = rerun.cautions(tmp_path, killed_run.EXPERIMENT)
    assert any(line.startswith("device machine: A then, ") for line in lines)
    assert any("docs/hardware.md has no fingerprints of both" in line for line in lines)


def test_this_machines_line_says_its_kind_and_what_decides_bits():
    line = fingerprints.line({"ppo": "aa / bb"})
    assert line.processor.startswith(manifest.device()["machine"]) and "numpy" in line.versions and len(line.code) == 8


def test_a_digest_is_the_same_twice_and_another_for_another_seed(monkeypatch):
    first = fingerprint.digest("a2c", "CartPole-v1", 640)
    assert len(first) == 6 and fingerprint.digest("a2c", "CartPole-v1", 640) == first
    monkeypatch.setattr(programs, "BASE_SEED", 1)
    assert fingerprint.digest("a2c", "CartPole-v1", 640) != first


def test_the_command_prints_this_machines_line_beside_those_that_can_be_compared_and_adds_it(page, monkeypatch, capsys):
    monkeypatch.setattr(fingerprint, "digests", lambda portable, runs: {name: "aa" for name in ("ppo", "dqn", "a2c")})
    monkeypatch.setattr(fingerprint, "of_another_process", lambda runs: {"ppo": "bb", "a2c": "cc"})
    monkeypatch.setenv("XLA_FLAGS", "")
    here = fingerprints.line({"ppo": "aa / bb", "dqn": "aa / -", "a2c": "aa / cc"})
    fingerprints.append(here._replace(processor="B"))
    for _ in range(2):
        assert fingerprint.fingerprint(fingerprint.Args(append=True)) == 0
        compared = "B: of 3 short runs 3 have the same bits as they come, 2 with --portable"
        assert capsys.readouterr().out.splitlines() == [str(here), compared]
    assert fingerprints.table() == [here._replace(processor="B"), here]
    assert {"ppo", "trpo", "ppo on Breakout-MinAtar"} < fingerprint.runs().keys()


def test_options_of_the_users_that_decide_bits_are_refused(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", f"{os.environ['XLA_FLAGS']} --xla_cpu_max_isa=AVX2")
    with pytest.raises(BadInput, match="XLA_FLAGS sets options that decide bits"):
        fingerprint.fingerprint(fingerprint.Args())
