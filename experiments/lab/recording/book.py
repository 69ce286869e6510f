"""What a run leaves as it goes, and how it is stopped without losing anything."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from experiments.lab.commands import signals
from experiments.lab.definition.experiment import Experiment
from experiments.lab.recording import checkpoints, policies, records
from experiments.lab.recording import tensorboard as event_files
from experiments.lab.recording.files import write_json
from experiments.lab.running import runner

CHECKPOINT_SECONDS = 30.0  # what a kill may cost
PATIENCE_SECONDS = 5.0  # that a signal waits for the devices, to save what they are at


class Stopped(Exception):
    """A signal asked the run to stop, and all is saved."""


@dataclass
class Book:
    """Writes what events bring, at once: a run that is killed leaves all that came before."""

    folder: Path
    experiment: Experiment
    results: records.Results
    stop: Callable[[], int]  # the signal that asked to stop, or 0
    saved_at: float = field(default_factory=time.monotonic)

    def record(self, event: runner.Event) -> None:
        """Takes in one event. Raises Stopped, all saved, when a signal asked to stop."""
        match event:
            case runner.Evaluated():
                records.append_curves(self.folder, event)
                event_files.append(self.folder, event)
            case runner.Progress():
                if self.stop() or time.monotonic() - self.saved_at > CHECKPOINT_SECONDS:
                    self.commit(checkpoints.save(self.folder, event.task, event.family, event.position))
                if self.stop():
                    raise Stopped
            case runner.Finished():
                self.results.setdefault(event.task.environment, {})[event.contender.name] = records.figures(event)
                policies.save(
                    self.folder, event.task.environment, event.contender.name, self.experiment.seeds, event.acting
                )
                if event.contender is event.family[-1]:
                    self.commit(None)
                    summary = records.summarise(self.results, self.experiment, interrupted=True)
                    write_json(self.folder / "summary.json", summary)

    def commit(self, saved: dict | None) -> None:
        """Writes how far the run is."""
        checkpoints.commit(self.folder, self.experiment, self.results, saved)
        self.saved_at = time.monotonic()


@contextmanager
def asked_to_stop() -> Iterator[Callable[[], int]]:
    """Yields a function that returns the signal that asked to stop, or 0: Ctrl-C or SIGTERM. The run then stops where
    it can save itself; a second one does what it did before."""
    asked: list[int] = []

    def ask(number, frame):
        if asked:
            before[number](number, frame)
        asked.append(number)

    with signals.handled(ask) as before:
        yield lambda: asked[0] if asked else 0


def patience(stop: Callable[[], int], end: signals.Handler) -> Callable[[], None]:
    """Returns what to call now and then while the devices work: it ends the process by `end` where a signal asked to stop
    and the work goes on and on. A checkpoint needs its result."""
    asked: list[float] = []

    def waiting():
        if stop():
            asked.append(time.monotonic())
        if asked and asked[-1] - asked[0] > PATIENCE_SECONDS:
            end(stop(), None)

    return waiting
