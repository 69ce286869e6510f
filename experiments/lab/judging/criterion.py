"""What ranks the contenders of a task: one metric, and whether more of it is better.

Everything that ranks works on scores, of which more is better; everything that shows works on the values themselves.
"""

from typing import Any, NamedTuple

import numpy as np


class Criterion(NamedTuple):
    """The metric that ranks. The default is the return of whole episodes with the greedy policy."""

    metric: str = "evaluation_return"
    higher_is_better: bool = True

    @property
    def words(self) -> str:
        """The metric as people write it: 'evaluation return'."""
        return self.metric.replace("_", " ")

    @property
    def direction(self) -> str:
        return "higher is better" if self.higher_is_better else "lower is better"

    def score(self, values) -> np.ndarray:
        """Returns values as scores, float64: their negatives where less is better. None, as JSON has it, is NaN.

        It is its own inverse: the score of a score is the value.
        """
        scores = np.asarray(values, np.float64)
        return scores if self.higher_is_better else -scores


BY_RETURN = Criterion()


def criterion_of(content: dict[str, Any]) -> Criterion:
    """Returns the criterion in a task's part of a manifest or a summary; folders that name none ranked by return."""
    kept = {name: content[name] for name in Criterion._fields if name in content}
    return Criterion(**kept)


def figure(value: float | None) -> str:
    """Returns a value as screens show it, with digits by its size: 12,345, 123.4, 1.234, 0.00123; a dash where it is not
    finite."""
    if value is None or not np.isfinite(value):
        return "-"  # every character of the screen is ASCII, as consoles may be
    size = abs(value)
    if size >= 10.0:
        return f"{value:.1f}" if size < 10_000.0 else f"{value:,.0f}"
    return f"{value:.3f}" if size >= 0.1 or size == 0.0 else f"{value:.3g}"
