"""The strategies of a report: Kuhn poker's against its family of equilibria, mixtures over a triangle, from curves.csv alone."""

import csv

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from test_report import Page, make_folder

from envs.games.kuhn import family, kuhn
from experiments import compare, watch
from experiments.lab.judging.equilibrium import choices
from experiments.lab.showing.report import page
from experiments.lab.showing.strategies import KUHN, fit

TREE = kuhn()
PLACES = choices(TREE)


def policies(*alphas):
    """Returns members of the family as they are recorded, a row each."""
    return pd.DataFrame([{name: family(TREE, alpha)[place] for name, place in PLACES.items()} for alpha in alphas])


def test_every_member_of_the_family_is_found_at_its_own_alpha_and_lies_in_it():
    alphas = np.array([0.0, 0.1, 0.25, 1 / 3])
    assert set(KUHN) == set(PLACES)
    found = fit(policies(*alphas))
    assert found.alpha == pytest.approx(alphas, abs=1e-12) and found.distance == pytest.approx(0.0, abs=1e-12)


def test_alpha_is_the_best_of_a_fine_grid_and_the_distance_the_largest_difference_of_any_probability():
    rows = pd.DataFrame(np.random.default_rng(0).random((5, 12)), columns=list(PLACES))
    found, grid = fit(rows), np.linspace(0.0, 1 / 3, 3001)
    members = policies(*grid)[list(rows.columns)].to_numpy()
    for seed, row in enumerate(rows.to_numpy()):
        best = np.argmin(((members - row) ** 2).sum(1))
        assert found.alpha[seed] == pytest.approx(grid[best], abs=2e-4)
        assert found.distance[seed] == pytest.approx(np.abs(members[best] - row).max(), abs=1e-3)


def folder_with(path, rows):
    """Writes a run folder of two contenders; rows: (contender, which, env_steps, {choice: probability}), of every seed."""
    make_folder(path, {"Kuhn": {"mmd": [0.1, 0.2], "other": [0.3, 0.2]}})
    with (path / "curves.csv").open("a") as file:
        for name, which, env_steps, played in rows:
            for seed in (0, 1):
                lines = ((f"policy_{which}/{choice}", repr(float(p))) for choice, p in played.items())
                csv.writer(file).writerows(("Kuhn", name, seed, env_steps, *line) for line in lines)
    page.write(path)
    return Page(path / "report.html")


def test_the_report_says_which_equilibrium_each_policy_is_at_and_draws_it_once_a_contender(tmp_path):
    at = {alpha: policies(alpha).iloc[0].to_dict() for alpha in (0.0, 0.3)}
    away = at[0.3] | {"1 K:b bet": 0.6}
    rows = [("mmd", "average", 0, away), ("mmd", "average", 1000, at[0.3]), ("mmd", "current", 1000, away)]
    told = folder_with(tmp_path / "run", [*rows, ("other", "average", 1000, at[0.0])])
    assert "mmd average 0.300 0.300 to 0.300 0.000 0.000" in told.text  # the last evaluation's, not the first's
    assert "mmd current 0.300 0.300 to 0.300 0.400 0.400" in told.text
    assert "other average 0.000 0.000 to 0.000 0.000 0.000" in told.text
    labels = [attributes.get("aria-label", "") for tag, attributes in told.tags if tag == "svg"]
    assert sum("beside the equilibria of Kuhn poker" in label for label in labels) == 2
    assert not any("policy_" in label for label in labels) and "policy average" not in told.text  # no diagnostic each


def test_mixtures_of_three_actions_are_drawn_and_other_games_say_nothing(tmp_path):
    mixture = {f"{player} chooses {action}": 1 / 3 for player in (0, 1) for action in ("rock", "paper", "scissors")}
    told = folder_with(tmp_path / "three", [(name, "current", 1000, mixture) for name in ("mmd", "other")])
    assert sum("over the triangle" in attributes.get("aria-label", "") for _, attributes in told.tags) == 2
    told = folder_with(tmp_path / "two", [("mmd", "current", 1000, {"0 chooses tails": 0.5, "1 chooses tails": 0.5})])
    assert "Strategies" not in told.text


def test_watch_shows_each_evaluation_of_the_strategies_and_says_where_they_end(tmp_path):
    at = {alpha: policies(alpha).iloc[0].to_dict() for alpha in (0.0, 0.3)}
    rows = [
        (name, "average", steps, at[alpha]) for name in ("mmd", "other") for steps, alpha in ((0, 0.0), (1000, 0.3))
    ]
    folder_with(tmp_path / "run", [*rows, ("mmd", "average", 500, at[0.0])])
    task = compare.task_of("Kuhn", compare.Args(env=("Kuhn",), algos=("cfr",), steps=480))
    choice = watch.Choice(task, ("mmd", "other"), (1,))
    played = watch.learned(tmp_path / "run", choice)
    told = watch.write_learning(tmp_path / "a.gif", tmp_path / "a.gif", choice, played, 1000).splitlines()
    assert told == [f"{tmp_path / 'a.gif'}: 3 frames", "mmd, seed 1: average: alpha 0.300, 0.000 away",
                    "other, seed 1: average: alpha 0.300, 0.000 away"]  # fmt: skip
    frames = []
    with Image.open(tmp_path / "a.gif") as image:
        for number in range(image.n_frames):
            image.seek(number)
            frames.append(np.asarray(image.convert("L"))[50:])  # below the clock
    assert len(frames) == 3 and (frames[0] == frames[1]).all() and not (frames[1] == frames[2]).all()
    assert (
        watch.learned(tmp_path / "run", choice._replace(task=compare.task_of("Leduc", compare.Args(algos=("cfr",)))))
        == []
    )
