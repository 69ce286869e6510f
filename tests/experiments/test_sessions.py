"""Experiments started from Python: in a thread, which has no signals, and in a notebook, which outlives them."""

import dataclasses
import signal
import sys
import threading
import warnings

import killed_run
import pytest

from experiments.lab.commands import cli, command, signals
from experiments.lab.definition.experiment import Experiment
from experiments.lab.recording import manifest
from experiments.lab.running import launch, runner


@pytest.fixture
def trained(monkeypatch):
    """Takes the training out of a launch, and the conclusion; returns what was run."""
    ran = []
    monkeypatch.setattr(runner, "run", lambda experiment, *rest: ran.append(experiment) or iter(()))
    monkeypatch.setattr(launch, "conclude", lambda *rest: None)
    return ran


@pytest.fixture
def notebook(monkeypatch):
    """Makes this process a notebook's, as IPython does, with a kernel's arguments."""
    monkeypatch.setattr(sys, "ps1", "In : ", raising=False)
    monkeypatch.setattr(sys, "argv", ["ipykernel_launcher.py", "-f", "kernel.json"])


def in_a_thread(function):
    results = []

    def call():
        try:
            results.append(function())
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join(60)
    return results[0]


def test_a_run_goes_in_a_thread_and_leaves_the_signals_alone(tmp_path, trained):
    before = {number: signal.getsignal(number) for number in signals.BOTH}
    assert in_a_thread(lambda: launch.launch(killed_run.EXPERIMENT, tmp_path / "run")) == 0
    assert trained == [killed_run.EXPERIMENT]
    assert before == {number: signal.getsignal(number) for number in signals.BOTH}


def test_a_command_runs_in_a_thread(monkeypatch):
    @dataclasses.dataclass(frozen=True)
    class Nothing:
        """No options."""

    monkeypatch.setattr(sys, "argv", ["nothing"])
    status = in_a_thread(lambda: cli.run_command(Nothing, lambda _: 7, "nothing"))
    assert isinstance(status, SystemExit) and status.code == 7


def test_a_command_tells_a_warning_once_though_what_it_is_of_is_made_again_and_filters_change(monkeypatch):
    @dataclasses.dataclass(frozen=True)
    class Nothing:
        """No options."""

    def command(_):
        for _ in range(3):
            warnings.simplefilter("default")  # with which Python forgets what it told
            warnings.warn("no episode can reach 1 of 2 states: 1", stacklevel=1)
        return 0

    monkeypatch.setattr(sys, "argv", ["nothing"])
    with warnings.catch_warnings(record=True) as told, pytest.raises(SystemExit):
        cli.run_command(Nothing, command, "nothing")
    assert len(told) == 1


def test_a_handler_from_outside_python_is_no_reason_to_fail(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(signals.signal, "signal", lambda number, handler: None)
        with signals.handled(signals.at_once("")):
            patch.undo()


def test_an_experiment_file_in_a_notebook_runs_as_it_is_and_returns(notebook, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = {number: signal.getsignal(number) for number in signals.BOTH}
    assert command.main(killed_run.EXPERIMENT) is None
    assert trained == [killed_run.EXPERIMENT]
    assert before == {number: signal.getsignal(number) for number in signals.BOTH}
    (folder,) = (tmp_path / "runs").iterdir()
    assert "kernel.json" not in manifest.read_manifest(folder)["command"]


@pytest.mark.parametrize("kind", [signals.at_once, signals.unwinding])
def test_a_signal_ends_what_runs_in_a_notebook_and_not_the_notebook(notebook, kind):
    with pytest.raises(KeyboardInterrupt, match="stopped here"):
        with signals.handled(kind("stopped here")):
            signal.raise_signal(signal.SIGINT)


def test_an_interrupt_that_saved_nothing_is_not_taken_for_one_that_did(tmp_path, trained, monkeypatch):
    def interrupted(experiment: Experiment, *rest):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(runner, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        launch.launch(killed_run.EXPERIMENT, tmp_path / "run")
