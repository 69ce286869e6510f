"""What the joined contenders show against each other: verdicts, P matrices, and scores made comparable."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.lab.judging.best import best_in_words, could_be_best
from experiments.lab.judging.statistics import (
    Efficiency,
    Estimate,
    as_worst,
    iqm,
    normalise,
    probability_of_improvement,
    sample_efficiency,
)
from experiments.lab.judging.verdicts import verdict, verdicts
from experiments.lab.recording.run_folder import Folder, Result


@dataclass(frozen=True)
class Scale:
    """Two references of an environment, between which its scores are normalised. Scores: more is better."""

    start: float  # IQM before training, the mean over contenders
    best: float  # highest final IQM of any contender

    def at(self, share: float) -> float:
        """Returns the score that lies this share of the way from start to best."""
        return self.start + share * (self.best - self.start)


def scale_of(results: Sequence[Result]) -> Scale | str:
    """Returns the environment's references, or in words why it has none."""
    drawn = [result for result in results if result.figures and result.evaluations.size]
    finals = [
        float(result.criterion.score(result.figures["iqm"])) for result in drawn if result.figures["iqm"] is not None
    ]
    starts = [iqm(result.criterion.score(result.evaluations))[0] for result in drawn]
    starts = [start for start in starts if np.isfinite(start)]
    if not finals or not starts:
        return "no contender has both learning curves and a finite final IQM"
    scale = Scale(float(np.mean(starts)), max(finals))
    if not scale.best > scale.start:
        criterion = drawn[0].criterion
        return (
            f"no contender ended better than before training, at {criterion.words} {criterion.score(scale.start):.3g}"
        )
    return scale


def verdict_lines(
    environment: str, results: Sequence[Result], folders: Sequence[Folder], margin: float | None = None
) -> list[str]:
    """Returns the verdicts in words: of one folder its own, of several those among contenders of the same seeds. margin: where
    it is not the folder's own."""
    if len(folders) == 1 and margin == own_margin(environment, folders):
        told = folders[0].summary.get("environments", {}).get(environment, {}).get("verdicts", [])
        if told is not None:  # as it is where folders were put together
            return told
    return [
        line
        for group in of_the_same_seeds(results)
        for line in verdicts(
            [result.name for result in group],
            [result.scores for result in group],
            told=[frozenset((result.name, result.parent)) for result in group if result.parent],
            looks=most_looks(group),
            margin=margin,
            criterion=group[0].criterion,
        )
    ]


def own_margin(environment: str, folders: Sequence[Folder]) -> float | None:
    """Returns the margin that was named before the runs: the same in all folders that have the environment, else none."""
    named = [folder.manifest.get("margins", {}).get(environment) for folder in folders
             if environment in folder.manifest["environments"]]  # fmt: skip
    return named[0] if len(set(named)) == 1 else None


def of_the_same_seeds(results: Sequence[Result]) -> list[list[Result]]:
    """Returns the contenders that finished and are no points of a sweep, grouped by their seeds."""
    groups: dict[tuple[int, ...], list[Result]] = {}
    for result in results:
        if result.figures and not result.settings.get("sweep"):
            groups.setdefault(result.seeds, []).append(result)
    return list(groups.values())


def best_lines(results: Sequence[Result]) -> list[str]:
    """Returns in words which contenders could be the best, among those of the same seeds."""
    lines = []
    for group in of_the_same_seeds(results):
        looks, scores = most_looks(group), [result.scores for result in group]
        could = could_be_best([result.name for result in group], scores, looks)
        lines.append(best_in_words(could, len(group), looks))
    return [*filter(None, lines)]


def most_looks(results: Sequence[Result]) -> list[np.ndarray]:
    """Returns the looks of contenders with the same seeds: those of the one that was looked at most often."""
    return max((result.looks for result in results), key=len)


def parent_lines(results: Sequence[Result], margin: float | None = None) -> list[str]:
    """Returns the verdict on each contender that replaces another's loss, against that one."""
    known = {result.name: result for result in results}
    lines = []
    for result in results:
        parent = known.get(result.parent)
        if parent is None:
            continue
        if result.figures and parent.figures:
            looks = most_looks([result, parent]) if result.seeds == parent.seeds else None
            asked = {"looks": looks, "margin": margin, "criterion": result.criterion}
            lines.append(verdict(result.name, parent.name, result.scores, parent.scores, **asked))
        else:
            unfinished = result.name if not result.figures else parent.name
            lines.append(f"{result.name} against {parent.name}: not compared, {unfinished} did not finish")
    return lines


def ranked(results: list[Result]) -> list[Result]:
    """Returns the results by IQM, best first; one without a finite IQM comes last."""
    return sorted(results, key=lambda result: as_worst(result.criterion.score(result.figures["iqm"])), reverse=True)


def efficiencies(results: Sequence[Result], score: float) -> dict[str, Efficiency]:
    """Returns the steps to the score of each contender that finished; a seed that diverged never got there."""
    return {
        result.name: sample_efficiency(
            result.evaluations.columns,
            np.where(
                np.isin(result.seeds, result.diverged)[:, None], np.nan, result.criterion.score(result.evaluations)
            ),
            score,
        )
        for result in results
        if result.figures and result.evaluations.size
    }


def improvements(scores: dict[str, tuple[tuple[int, ...], np.ndarray]]) -> list[list[Estimate | None]]:
    """Returns P(row > column) for every pair that ran under the same seeds, else None; scores: with their seeds."""
    rows = [[None] * len(scores) for _ in scores]
    for i, (seeds, x) in enumerate(scores.values()):
        for j, (other_seeds, y) in enumerate(list(scores.values())[:i]):
            if seeds == other_seeds:
                chance = probability_of_improvement(x, y)
                rows[i][j] = chance
                rows[j][i] = Estimate(1.0 - chance.value, 1.0 - chance.high, 1.0 - chance.low)
    return rows


def common(joined: dict[str, list[Result]]) -> tuple[list[str], dict[str, Scale]] | str:
    """Returns the contenders that finished everywhere, under the same seeds, and each environment's references.

    In words instead, where there is nothing to aggregate. An environment without references is left out.
    """
    scales = {environment: scale_of(results) for environment, results in joined.items()}
    scales = {environment: scale for environment, scale in scales.items() if isinstance(scale, Scale)}
    if len(scales) < 2:
        return "fewer than two environments have a contender that ended better than it started"
    finished = [{result.name: result.seeds for result in joined[name] if result.figures} for name in scales]
    names = [name for name in finished[0] if all(name in each for each in finished)]
    if not names:
        return "no contender finished in every environment"
    if len({each[name] for each in finished for name in names}) > 1:
        return "the contenders ran under different seeds"
    return names, scales


def normalised(names, joined: dict[str, list[Result]], scales: dict[str, Scale]) -> dict[str, np.ndarray]:
    """Returns each contender's scores, 0 at the start and 1 at the best, NaN where diverged, [seeds, environments]."""
    known = {(environment, result.name): result for environment in scales for result in joined[environment]}
    low, high = [scale.start for scale in scales.values()], [scale.best for scale in scales.values()]
    return {
        name: normalise(np.stack([known[environment, name].scores for environment in scales], axis=1), low, high)
        for name in names
    }


def with_worst(scores: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the scores with every NaN as the lowest score that any run has in that environment, at most 0."""
    lowest = np.fmin.reduce(np.vstack(list(scores.values())), axis=0)
    lowest = np.fmin(lowest, 0.0)
    return {name: np.where(np.isnan(matrix), lowest, matrix) for name, matrix in scores.items()}
