"""Episodes that several policies play from one state, as frames: one panel a policy, one frame a step."""

from collections.abc import Callable, Iterator, Sequence

from PIL import Image

from experiments.lab.recording.policies import Episode
from experiments.lab.showing.drawing import film
from experiments.lab.showing.drawing.shapes import Scene

LAST_FRAME = 1000  # milliseconds that an episode's last frame stays


def frames(
    heading: str, titles: Sequence[str], columns: int, scene: Callable[..., Scene], episodes: list[list[Episode]]
) -> Iterator[Image.Image]:
    """Yields the frames of [episode][panel]. A panel whose episode is over keeps its last state until all are."""
    for number, panels in enumerate(episodes):
        which = f"episode {number + 1} of {len(episodes)}, " if len(episodes) > 1 else ""
        for step in range(length(panels)):
            shown = [
                film.Panel(title, note(panel, step), scene(*state_at(panel, step)))
                for title, panel in zip(titles, panels)
            ]
            yield film.frame(heading, f"{which}step {step}", shown, columns)


def durations(episodes: list[list[Episode]], milliseconds: int) -> list[int]:
    """Returns how long each frame is shown, milliseconds: the last one of an episode longer than the others."""
    last = max(LAST_FRAME, milliseconds)
    return [time for panels in episodes for time in (*[milliseconds] * (length(panels) - 1), last)]


def length(panels: Sequence[Episode]) -> int:
    """Returns how many frames the longest of the episodes side by side takes."""
    return max(len(panel.states) for panel in panels)


def state_at(panel: Episode, step: int):
    """Returns (state, observation) after so many steps, or the last ones of an episode that is shorter."""
    last = min(step, len(panel.states) - 1)
    return panel.states[last], panel.observations[last]


def note(panel: Episode, step: int) -> str:
    """Returns the return so far and whether the episode is over."""
    over = panel.ended and step >= len(panel.rewards)
    return f"return {number_of(panel.rewards[:step].sum())}{', ended' if over else ''}"


def number_of(value: float) -> str:
    """Returns the number with two decimals, or none where they are zero."""
    return f"{round(value, 2) + 0.0:.2f}".removesuffix(".00")  # + 0.0: no negative zero
