"""Curves of contenders at the same environment steps: interpolated linearly, since updates are whole and of different sizes."""

import numpy as np
import pandas as pd

from experiments.lab.judging.criterion import criterion_of
from experiments.lab.recording.run_folder import Folder

WHERE = ["environment", "algorithm", "seed"]


def at_same_steps(folder: Folder, metric: str | None = None, points: int | None = None) -> pd.DataFrame:
    """Returns a metric, None: what ranks on each environment, [env_steps, (environment, algorithm, seed)].

    The steps are evenly spaced from the last of all first evaluations to the first of all last ones, so that nothing is
    extrapolated; of an environment whose metric nobody has there is no column. points: how many; None: as many as the
    contender with the fewest evaluations has. Raises ValueError where there is nothing to show.
    """
    judges = {
        name: criterion_of(task.get("judge", {})).metric for name, task in folder.manifest["environments"].items()
    }
    wanted = folder.curves.environment.map(judges) if metric is None else metric
    curves = {
        key: rows.set_index("env_steps").value.sort_index()
        for key, rows in folder.curves[folder.curves.metric == wanted].groupby(WHERE, sort=False)
    }
    if not curves:
        there = ", ".join(dict.fromkeys(folder.curves.metric))
        raise ValueError(f"{folder.path} has no curves of {metric or 'what ranks'}; it has: {there}")
    if points is not None and points < 1:
        raise ValueError(f"points must be 1 or more, not {points}")
    first, last = max(one.index[0] for one in curves.values()), min(one.index[-1] for one in curves.values())
    steps = np.linspace(first, last, points or min(map(len, curves.values())))
    values = {key: np.interp(steps, one.index, one) for key, one in curves.items()}
    table = pd.DataFrame(values, index=pd.Index(steps, name="env_steps"))
    return table.rename_axis(columns=WHERE).sort_index(axis=1)
