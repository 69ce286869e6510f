"""What docs/environments.md says is true, of its example on its way through compare, rerun, watch and diff."""

import inspect
import re
from pathlib import Path

import pytest
from PIL import Image

from envs import Env, wrappers
from experiments import rerun, watch
from experiments.compare import Args, compare
from experiments.lab.commands.cli import BadInput
from experiments.lab.definition.experiment import Task
from experiments.lab.examination import PROBLEM
from experiments.lab.examination.environment import examine_environment
from experiments.lab.outside.env_trace import checked
from experiments.lab.outside.user_env import load_factory, named
from experiments.lab.recording import difference, manifest
from experiments.lab.running import conclusion, launch, runner

DOCS = Path(__file__).parents[1] / "docs"
TEXT = (DOCS / "environments.md").read_text()
SKELETON = DOCS / "skeletons" / "my_env.py"
CODE, *OTHERS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
SMALL = ("all.num_envs=2", "all.num_steps=8", "all.hidden_sizes=(4,)")


def written(folder, code=CODE):
    (folder / "my_envs.py").write_text(code)
    return f"{folder / 'my_envs.py'}:corridor"


def arguments(reference, out):
    return Args(env=(reference,), algos=("a2c",), seeds=2, steps=64, evaluations=1, eval_episodes=2, set=SMALL, out=out)


@pytest.fixture(scope="module", autouse=True)
def compiled_once():
    """Has the program of the run and of its rerun compiled once, and no pictures drawn."""
    real, compiled = runner.compile_programs, []

    def once(*arguments):
        if not compiled:
            compiled.append(real(*arguments))
        return compiled[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "compile_programs", once)
        patch.setattr(conclusion.plots, "draw_curves", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run of the example, whose file is gone."""
    place = tmp_path_factory.mktemp("mine")
    assert compare(arguments(written(place), place / "run")) == 0
    (place / "my_envs.py").unlink()
    return place / "run"


def test_the_example_passes_its_examination(tmp_path):
    findings = examine_environment(Task("corridor", (), factory=load_factory(written(tmp_path))))
    assert not [each for each in findings if each.level == PROBLEM], findings


def test_the_run_folder_names_the_function_and_keeps_the_file(run):
    written_down = manifest.read_manifest(run)
    (path,) = written_down["sources"]
    assert written_down["environments"]["corridor"]["factory"] == f"{path}:corridor"
    assert (run / "code" / manifest.kept_name(Path(path))).read_text() == CODE
    assert "corridor is made by" in (run / "report.html").read_text()


def test_a_rerun_gives_the_same_bits_without_the_users_file(run, tmp_path):
    assert rerun.rerun(rerun.Args(run, tmp_path / "again")) == 0
    assert difference.settings(*map(manifest.read_manifest, (run, tmp_path / "again"))) == []


def test_what_was_learned_on_it_can_be_watched(run, tmp_path):
    assert watch.watch(watch.Args(run, out=tmp_path / "a.gif", max_frames=3)) == 0
    assert Image.open(tmp_path / "a.gif").n_frames <= 3


def test_it_goes_on_from_its_copy_and_from_none_that_was_changed(run):
    (task,) = launch.to_resume(run).tasks
    assert task.make().max_steps == 30 and str(run) in task.factory.__code__.co_filename
    (kept,) = (run / "code").rglob("my_envs.py")
    kept.write_text(CODE + "# changed")
    with pytest.raises(BadInput, match="was changed since the run began"):
        launch.to_resume(run)
    kept.write_text(CODE)


def test_an_error_looks_as_shown_and_comes_before_there_is_a_folder(tmp_path):
    wrong = CODE.replace("        return place, observe(place)\n", "        return observe(place), place\n")
    with pytest.raises(BadInput) as refused:
        compare(arguments(written(tmp_path, wrong), tmp_path / "run"))
    (shown,) = re.findall(r"^error: (.*)$", TEXT, re.MULTILINE)
    assert str(refused.value) == f"{tmp_path}/{shown}"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("code", OTHERS)
def test_every_other_example_makes_an_environment_without_a_fault(code, tmp_path):
    (tmp_path / "others.py").write_text(code)
    function = re.findall(r"^def (\w+)", code, re.MULTILINE)[-1]
    checked(named(f"{tmp_path / 'others.py'}:{function}").task())


def test_every_wrapper_is_listed_with_its_arguments():
    listed = re.findall(r"^\| `(\w+\(.*?\))`", TEXT, re.MULTILINE)
    there = {name: x for name, x in vars(wrappers).items() if inspect.isfunction(x) and not name.startswith("_")}
    assert listed == [f"{name}({', '.join(inspect.signature(x).parameters)})" for name, x in there.items()]


@pytest.mark.parametrize(
    ("text", "name", "fields"),
    [("line(size=5, slip=0.1)", "line(size=5,slip=0.1)", {"size": 5, "slip": 0.1}), ("line", "line", {})],
)
def test_fields_are_part_of_the_name_and_change_the_environment(text, name, fields):
    meant = named(f"{SKELETON}:{text}")
    assert (meant.name, meant.fields) == (name, fields)
    assert checked(meant.task()).observation_shape == (fields.get("size", 8),)


def test_an_id_takes_fields_too_and_a_wrong_field_is_one_line():
    assert named("Acrobot-v1(max_steps_in_episode=200)").task().make().max_steps == 200
    with pytest.raises(
        ValueError, match="my_env.py:10: line: got an unexpected keyword argument 'length'; its fields are"
    ):
        named(f"{SKELETON}:line(length=5)")


def test_the_contract_lists_every_part():
    signature = re.search(r"^`Env\((.*)\)`$", TEXT, re.MULTILINE).group(1)
    assert [part.partition("=")[0] for part in signature.split(", ")] == list(Env._fields)
