"""What a manifest says is the experiment, read back."""

import dataclasses
import json
import math
import os

import killed_run
import pytest

from experiments.lab.commands.cli import BadInput
from experiments.lab.definition import contenders
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.definition.settings import ALGORITHMS, TUNED, contender
from experiments.lab.machine import devices, flags, products
from experiments.lab.recording import manifest
from experiments.lab.running.launch import to_resume

LOSS = """
from flax import struct
from algos import ppo


@struct.dataclass
class HParams(ppo.HParams):
    penalty: float = 3.0


def mine(params, apply, batch, hparams: HParams):
    return ppo.loss(params, apply, batch, hparams)
"""


def read_back(experiment, folder):
    manifest.write_manifest(folder, experiment, "python -m experiments.compare")
    return manifest.read_experiment(folder)


def test_every_built_in_setting_comes_back_as_it_was(tmp_path):
    names = {environment: {name for env, name in TUNED if env == environment} for environment, _ in TUNED}
    tasks = [Task(environment, tuple(contender(name, environment, 1000) for name in chosen)) for environment, chosen in names.items()]  # fmt: skip
    tasks.append(Task("Pong-misc", tuple(contender(name, "Pong-misc", 1000) for name in ALGORITHMS), {}))
    experiment = Experiment(tuple(tasks), (3, 1, 2), 1000, width=2)
    assert read_back(experiment, tmp_path) == experiment


def test_fields_of_an_environment_names_parents_and_sweeps_come_back(tmp_path):
    one = dataclasses.replace(killed_run.CONTENDERS[0], name="a2c 1/2 é", parent="a2c", sweep="a2c")
    task = Task("CartPole-v1", (one, *killed_run.CONTENDERS), {"max_steps_in_episode": 20})
    experiment = dataclasses.replace(killed_run.EXPERIMENT, tasks=(task,))
    assert read_back(experiment, tmp_path) == experiment


@pytest.mark.parametrize("value", [math.inf, -math.inf, 1e-300, 0.1])
def test_hyperparameters_come_back_to_the_last_bit_finite_or_not(tmp_path, value):
    one = killed_run.CONTENDERS[0]
    one = dataclasses.replace(one, hparams=one.hparams.replace(max_grad_norm=value))
    experiment = dataclasses.replace(killed_run.EXPERIMENT, tasks=(Task("CartPole-v1", (one,)),))
    assert read_back(experiment, tmp_path).tasks[0].contenders[0].hparams.max_grad_norm == value


def test_a_loss_comes_from_the_copy_that_the_folder_keeps(tmp_path):
    source, folder = tmp_path / "losses.py", tmp_path / "run"
    source.write_text(LOSS)
    folder.mkdir()
    own = contenders.own_loss(f"{source}:mine", "CartPole-v1", 1000)
    experiment = dataclasses.replace(killed_run.EXPERIMENT, tasks=(Task("CartPole-v1", (own,)),))
    manifest.write_manifest(folder, experiment, "")
    source.unlink()
    (again,) = manifest.read_experiment(folder).tasks[0].contenders
    assert again.loss.__code__.co_filename == str(folder / "code" / manifest.kept_name(source))
    assert type(again.hparams).__name__ == "HParams" and again.hparams.penalty == 3.0
    assert json.loads((folder / "manifest.json").read_text())["sources"] == {str(source): manifest.sha256(folder / "code" / manifest.kept_name(source))}  # fmt: skip


def test_a_copy_that_was_altered_is_refused(tmp_path):
    source, folder = tmp_path / "altered.py", tmp_path / "run"
    source.write_text(LOSS)
    folder.mkdir()
    own = contenders.own_loss(f"{source}:mine", "CartPole-v1", 1000)
    manifest.write_manifest(
        folder, dataclasses.replace(killed_run.EXPERIMENT, tasks=(Task("CartPole-v1", (own,)),)), ""
    )
    kept = folder / "code" / manifest.kept_name(source)
    kept.write_text(LOSS + "\n")
    with pytest.raises(BadInput, match=f"^{kept} was changed since the run began; the bits would not be the same$"):
        to_resume(folder)
    kept.unlink()
    with pytest.raises(BadInput, match=f"^{kept} "):
        to_resume(folder)


@pytest.mark.parametrize("users", ["", "--xla_dump_to=/x"])
def test_a_portable_run_says_so_and_goes_on_as_one_whatever_the_users_flags_are_by_then(users, tmp_path, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setattr(devices, "started", lambda: False)
    monkeypatch.setattr(devices, "portable_in_force", lambda: True)
    monkeypatch.setattr(products, "in_one_form", lambda: None)  # of the process, for good
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    devices.start(portable=True)
    manifest.write_manifest(tmp_path, killed_run.EXPERIMENT, "python -m experiments.compare --portable")
    written = manifest.read_manifest(tmp_path)
    assert flags.is_portable(written["flags"]["options"]) and "--portable asks" in written["promise"]
    assert written["flags"]["products"] == flags.ONE_FORM
    monkeypatch.setenv("XLA_FLAGS", users)
    assert "--portable" not in manifest.promise(killed_run.EXPERIMENT)
    assert to_resume(tmp_path) == killed_run.EXPERIMENT
    assert flags.is_portable(os.environ["XLA_FLAGS"]) and users in os.environ["XLA_FLAGS"]
    assert flags.restored(written) == {}  # what the user set stays, and is refused where it does not fit
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    assert flags.restored(written) == {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    assert flags.PORTABLE.items() <= flags.options().items()


def test_a_function_made_inside_a_function_is_refused_in_one_line(tmp_path):
    def inner(params, apply, batch, hparams):
        return 0.0, {}

    own = dataclasses.replace(killed_run.CONTENDERS[0], loss=inner)
    with pytest.raises(ValueError, match="is made inside a function and cannot be found again"):
        read_back(dataclasses.replace(killed_run.EXPERIMENT, tasks=(Task("CartPole-v1", (own,)),)), tmp_path)
