"""An environment, an algorithm, a loss for it and a network of a user's own, from files in a folder that is no package, on their way
through compare, resume, rerun, diff, watch and report: also after the run folder was moved and the files are gone."""

import json
import shutil
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments import diff, rerun, watch
from experiments.compare import Args, compare
from experiments.lab.commands.cli import BadInput
from experiments.lab.recording import difference, manifest, policies
from experiments.lab.running import conclusion, launch, runner
from experiments.report import Args as ReportArgs
from experiments.report import report

SKELETONS = Path(__file__).parents[2] / "docs" / "skeletons"
FILES = {
    "my_a2c.py": None,
    "my_env.py": None,
    "my_loss.py": None,
    "my_net.py": "from sizes_of_mine import SIZE\n",
    "sizes_of_mine.py": "SIZE = 5\n",
}
SMALL = ("all.num_envs=2", "all.num_steps=8", "all.hidden_sizes=(4,)")
NAME = "line(size=5,slip=0.25)"


def written(folder):
    """Writes the skeletons as a user's files; the network's size comes from a neighbour."""
    for name, more in FILES.items():
        text = (SKELETONS / name).read_text() if (SKELETONS / name).exists() else ""
        if name == "my_net.py":
            text = text.replace("import flax.linen as nn\n", f"import flax.linen as nn\n{more}").replace(
                "= 128", "= SIZE"
            )
        (folder / name).write_text(text or more)


def arguments(mine, out, **more):
    return Args(
        env=(f"{mine / 'my_env.py'}:line(size=5, slip=0.25)",),
        algos=(str(mine / "my_a2c.py"), f"{mine / 'my_loss.py'}:clipped"),
        network=("my_a2c=default", f"my_a2c={mine / 'my_net.py'}:wide(size=3)"),
        **{"seeds": 2, "steps": 64, "evaluations": 2, "eval_episodes": 2, "set": SMALL, "out": out, **more},
    )


@contextmanager
def ctrl_c_when(condition):
    yield lambda: signal.SIGINT if condition() else 0


@pytest.fixture(scope="module", autouse=True)
def compiled_once():
    """Has programs compiled once for all that runs here, and no curves drawn."""
    real, known = runner.compile_programs, {}

    def once(env, algorithm, hparams, lanes, *rest):
        state = str(runner.jax.eval_shape(algorithm.init, runner.jax.random.key(0), hparams))
        key = type(hparams).__module__.split("_code")[0][:16], state, len(lanes)
        return (
            known.setdefault(key, None)
            or known.update({key: real(env, algorithm, hparams, lanes, *rest)})
            or known[key]
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "compile_programs", once)
        patch.setattr(conclusion.plots, "draw_curves", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    """Returns (where the run was made, the finished run folder): stopped within the user's algorithm, moved, resumed
    without the user's files."""
    place = tmp_path_factory.mktemp("mine")
    written(place)
    run, curves = place / "run", place / "run" / "curves.csv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            launch, "asked_to_stop", lambda: ctrl_c_when(lambda: curves.exists() and ",my_a2c," in curves.read_text())
        )
        assert compare(arguments(place, run)) == 130
    for name in FILES:
        (place / name).unlink()
    for name in ("sizes_of_mine", "my_a2c"):
        sys.modules.pop(name)  # of which another process knows nothing
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "moved"
    shutil.move(run, elsewhere)
    assert compare(Args(resume=elsewhere)) == 0
    return place, elsewhere


def test_the_manifest_says_what_ran_and_the_folder_keeps_every_file(moved):
    place, run = moved
    found = manifest.read_manifest(run)
    assert sorted(Path(path).name for path in found["sources"]) == sorted(FILES)
    for path, digest in found["sources"].items():
        assert manifest.sha256(run / "code" / manifest.kept_name(Path(path))) == digest
    task = found["environments"][NAME]
    assert task["fields"] == {"size": 5, "slip": 0.25} and task["factory"] == f"{place / 'my_env.py'}:line"
    algorithms = task["algorithms"]
    assert list(algorithms) == ["my_a2c", "my_a2c wide(size=3)", "clipped"]
    own = algorithms["my_a2c wide(size=3)"]
    assert own["algorithm"] == str(place / "my_a2c.py") and own["loss"] == f"{place / 'my_a2c.py'}:loss"
    assert own["network"] == f"{place / 'my_net.py'}:wide" and own["network_fields"] == {"size": 3}
    assert own["config"]["num_passes"] == 2 and own["hparams"]["total_steps"] == 64.0 and own["parent"] == "my_a2c"
    clipped = algorithms["clipped"]
    assert clipped["loss"] == f"{place / 'my_loss.py'}:clipped" and clipped["parent"] == "my_a2c"
    assert clipped["algorithm"] == own["algorithm"] and clipped["hparams"] == own["hparams"] | {"clip": 0.2}


def test_the_run_finished_and_holds_network_and_loss_against_the_algorithm_with_its_own(moved):
    _, run = moved
    summary = json.loads((run / "summary.json").read_text())
    assert not summary["interrupted"]
    found = summary["environments"][NAME]
    assert [line.partition(":")[0] for line in found["verdicts"][:2]] == [
        "my_a2c wide(size=3) against my_a2c", "clipped against my_a2c",
    ]  # fmt: skip


def test_a_policy_is_loaded_with_the_network_that_it_was_trained_with(moved):
    _, run = moved
    _, state, _ = policies.trained(run, NAME, "my_a2c wide(size=3)", 1)
    assert state.params["params"]["Dense_0"]["kernel"].shape == (5, 3)
    action = policies.load(run, NAME, "my_a2c wide(size=3)", 1)(
        runner.jax.random.key(0), np.eye(5, dtype=np.float32)[2]
    )
    assert action in (0, 1)


def test_a_rerun_has_the_same_bits_and_settings(moved, tmp_path):
    _, run = moved
    assert rerun.rerun(rerun.Args(run, tmp_path / "again")) == 0
    assert difference.settings(*map(manifest.read_manifest, (run, tmp_path / "again"))) == []
    assert rerun.rerun(rerun.Args(tmp_path / "again", tmp_path / "once more")) == 0


def test_what_differs_between_two_runs_of_ones_own_is_the_field_that_does(moved, tmp_path, capsys):
    _, run = moved
    other = shutil.copytree(run, tmp_path / "other")
    found = json.loads((other / "manifest.json").read_text())
    found["environments"][NAME]["algorithms"]["my_a2c wide(size=3)"]["network_fields"] = {"size": 4}
    (other / "manifest.json").write_text(json.dumps(found))
    (row,) = difference.settings(*map(manifest.read_manifest, (run, other)))
    assert row.what.endswith("my_a2c wide(size=3) network_fields size") and (row.first, row.second) == ("3", "4")
    assert diff.diff(diff.Args(run, other)) == 1
    assert diff.diff(diff.Args(run, run)) == 0 and "no difference" in capsys.readouterr().out


def test_it_is_watched_by_the_environments_own_drawing(moved, tmp_path):
    _, run = moved
    assert watch.watch(watch.Args(run, algorithm="my_a2c wide(size=3)", out=tmp_path / "a.gif", max_frames=4)) == 0
    image = Image.open(tmp_path / "a.gif").convert("RGB")
    colours = {colour for _, colour in image.getcolors(1 << 16)}
    assert {(0, 158, 115), (0, 114, 178)} <= colours


def test_the_report_names_the_files(moved, tmp_path):
    _, run = moved
    assert report(ReportArgs((run,), tmp_path / "report.html")) == 0
    text = (tmp_path / "report.html").read_text()
    for named in ("my_a2c wide(size=3)", "my_net.py:wide", "my_env.py:line", "my_loss.py:clipped"):
        assert named in text


@pytest.mark.parametrize("name", FILES)
def test_a_copy_that_was_changed_is_told_and_nothing_runs(moved, name):
    _, run = moved
    (kept,) = (run / "code").rglob(name)
    before = kept.read_text()
    try:
        kept.write_text(before + "# changed\n")
        with pytest.raises(BadInput, match=f"{name} was changed since the run began"):
            launch.to_resume(run)
    finally:
        kept.write_text(before)


def test_anothers_algorithm_is_named_before_it_runs(moved):
    from experiments.lab.recording.kept_code import code

    _, run = moved
    assert {Path(name).name for name in code(run, manifest.read_manifest(run))} == set(FILES)
