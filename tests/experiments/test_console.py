"""The console command, in folders that hold packages of the same names as ours."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from experiments import __main__ as console
from experiments.lab.commands import cli
from experiments.lab.recording import manifest

ROOT = Path(__file__).parents[2]
SCRIPT = "import sys\nfrom experiments.__main__ import main\nsys.exit(main())\n"  # as pip writes it
EDITABLE = f"""import importlib.util, sys
class Finder:  # as `pip install -e` leaves it: asked last
    def find_spec(name, path=None, target=None):
        place = "{ROOT}/" + name
        if name in ("algos", "envs", "experiments"):
            return importlib.util.spec_from_file_location(name, place + "/__init__.py", submodule_search_locations=[place])
sys.meta_path.append(Finder)
{SCRIPT}"""


@pytest.fixture
def folder(tmp_path):
    """A user's folder with packages of three names that ours have, none of which may be run, and the console script."""
    for name in ("envs", "algos", "experiments"):
        (tmp_path / "work" / name).mkdir(parents=True)
        (tmp_path / "work" / name / "__init__.py").write_text("raise SystemExit('the wrong one')")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "evenhand").write_text(SCRIPT)
    return tmp_path / "work"


def ran(folder, *words):
    """Returns (status, output, errors) of Python with the words in the folder, our packages installed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *map(str, words)]
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    return run.returncode, run.stdout, run.stderr


@pytest.mark.parametrize("command", console.COMMANDS)
def test_every_command_answers_by_its_name_without_jax_and_without_the_folders_packages(folder, command):
    program = folder.parent / "bin" / "evenhand"
    status, printed, errors = ran(folder, "-X", "importtime", program, command, "--help")
    assert status == 0 and f"usage: evenhand {command}" in printed, errors
    assert {"jax", "numpy", "matplotlib"}.isdisjoint(line.rpartition("|")[2].strip() for line in errors.splitlines())


def test_the_packages_that_it_runs_with_are_ours(folder):
    program = folder.parent / "bin" / "evenhand"
    status, printed, errors = ran(folder, program, "compare", "--algos", "nothing")
    assert (status, printed) == (2, "") and errors.startswith("error: unknown algorithm 'nothing'; choose from: ")


def test_the_packages_are_ours_after_an_editable_installation_too(folder):
    program = folder.parent / "bin" / "evenhand"
    program.write_text(EDITABLE)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, str(program), "compare", "--algos", "nothing"]
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", timeout=120)
    assert run.returncode == 2 and run.stderr.startswith("error: unknown algorithm 'nothing'; choose from: ")


@pytest.mark.parametrize("name", ["envs", "algos"])
def test_the_module_says_in_one_line_which_folder_hides_a_package(folder, name):
    for other in {"envs", "algos", "experiments"} - {name}:
        (folder / other / "__init__.py").unlink()
        (folder / other).rmdir()
    hiding = folder / name / "__init__.py"
    said = f"error: {hiding} hides {name} of evenhand: type `evenhand COMMAND`, which does not look there, or start elsewhere\n"  # fmt: skip
    assert ran(folder, "-m", "experiments.compare") == (2, "", said)
    status, _, errors = ran(folder, "-c", "import experiments.lab.definition.experiment")
    assert status == 1 and errors.splitlines()[-1] == said.strip().replace("error", "ImportError")


def test_without_a_command_or_with_none_of_ours_it_says_which_there_are(monkeypatch, capsys):
    for words, status in (([], 0), (["--help"], 0), (["train"], 2)):
        monkeypatch.setattr(sys, "argv", ["evenhand", *words])
        with pytest.raises(SystemExit) as end:
            console.main()
        said = capsys.readouterr()
        assert end.value.code == status and all(name in said.out + said.err for name in console.COMMANDS)


def test_what_is_recorded_and_advised_is_what_was_typed(monkeypatch):
    assert cli.typed("diff") == "python -m experiments.diff"
    monkeypatch.setattr(sys, "argv", ["evenhand compare", "--seeds", "3"])
    assert cli.typed("diff") == "evenhand diff"
    assert manifest.command_line() == "evenhand compare --seeds 3"


def test_the_installed_command_is_this_one():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {cli.CONSOLE: f"{console.__name__}:main"}
