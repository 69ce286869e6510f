"""What the report's figures draw is what the statistics say of the curves: read from the lines before they are SVG."""

import numpy as np
import pytest
from test_report import make_folder

from experiments.lab.judging.criterion import Criterion
from experiments.lab.judging.statistics import Estimate, iqm, iqm_interval, probability_of_improvement
from experiments.lab.recording.run_folder import join, read
from experiments.lab.showing import multiples, plots
from experiments.lab.showing.report import figures, findings

RETURNS = {"ppo": (100.0, 200.0, 900.0, 300.0, 350.0), "a2c": (90.0, 310.0, 120.0, 130.0, 0.0)}


@pytest.fixture
def results(tmp_path):
    """ppo, whose seed 2 diverged, and a2c."""
    return join([read(make_folder(tmp_path / "run", {"CartPole-v1": RETURNS}, diverged={"ppo": [2]}))])["CartPole-v1"]


@pytest.fixture
def panels(monkeypatch):
    """The panels of every figure that is made."""
    made = []
    monkeypatch.setattr(figures, "as_svg", lambda figure, title: made.append(figure.axes[0]))
    return made


def heights(band):
    """Returns (low, high) of a filled band at each of its places."""
    low, high = {}, {}
    for x, y in band.get_paths()[0].vertices:
        low[x], high[x] = min(y, low.get(x, np.inf)), max(y, high.get(x, -np.inf))
    return np.array([low[x] for x in sorted(low)]), np.array([high[x] for x in sorted(high)])


def test_a_learning_curve_is_the_iqm_over_seeds_and_its_interval(results, panels):
    figures.learning_curves(results, figures.styles(["ppo", "a2c"]))
    for result, line, band in zip(results, panels[0].lines, panels[0].collections):
        returns = result.evaluations.to_numpy()
        assert np.array_equal(line.get_ydata(), iqm(returns))
        assert np.allclose(heights(band), iqm_interval(returns))


def test_against_seconds_a_point_is_when_it_was_evaluated_and_seeds_that_were_added_count_with_theirs(results, panels):
    """Seeds 0 to 2 ran side by side, then 3 and 4: all of them were at 500 steps after 1 + 10 seconds."""
    result = results[1]
    result.folder.manifest["looks"] = [[0, 1, 2], [3, 4]]
    result.curves["seconds"] = result.curves.env_steps / 500 * np.where(result.curves.seed < 3, 1.0, 10.0)
    figures.learning_curves([result], figures.styles(["a2c"]), seconds=True)
    assert panels[0].lines[0].get_xdata().tolist() == [0.0, 11.0, 22.0]


def test_where_a_folder_tells_no_seconds_a_curve_ends_where_its_contender_had_run(results, panels):
    results[1].figures["run_seconds"] = 9.0
    figures.learning_curves(results, figures.styles(["ppo", "a2c"]), seconds=True)
    assert [line.get_xdata().tolist() for line in panels[0].lines] == [[0.0, 2.28, 4.56], [0.0, 4.5, 9.0]]
    returns = results[1].evaluations.to_numpy()
    assert np.array_equal(panels[0].lines[1].get_ydata(), iqm(returns))


def test_a_curve_of_one_finite_value_is_a_point(results, panels):
    returns = results[1].curves.metric == "evaluation_return"
    results[1].curves.loc[returns & (results[1].curves.env_steps > 0), "value"] = np.nan
    figures.learning_curves(results, figures.styles(["ppo", "a2c"]))
    assert [line.get_marker() for line in panels[0].lines] == ["None", "o"]


def test_long_names_that_differ_at_their_end_alone_stay_apart(results, panels):
    names = [f"a_loss_with_a_very_long_name_{end}" for end in ("one", "two")]
    scores = [figures.Score(name, Estimate(1.0, 0.0, 2.0), np.ones(2), np.zeros(2, bool)) for name in names]
    figures.final_scores(scores, figures.styles(names), "final return")
    labels = [label.get_text() for label in panels[0].get_yticklabels()]
    assert [label.replace("\n", "") for label in labels] == names
    assert max(len(line) for label in labels for line in label.split("\n")) <= 20


def test_the_legend_of_the_picture_covers_no_curve_and_names_every_contender_once(tmp_path, monkeypatch):
    many = {name: RETURNS["a2c"] for name in ("ppo", "a2c", "dqn")}
    folder = make_folder(tmp_path / "run", {"CartPole-v1": many, "Acrobot-v1": {"ppo": RETURNS["ppo"]}})
    drawn = []
    monkeypatch.setattr(plots.Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    plots.draw_curves(folder, {"CartPole-v1": Criterion(), "Acrobot-v1": Criterion()})
    (figure,) = drawn
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(many)
    places = [panel.get_window_extent() for panel in figure.axes]
    assert len(places) == 2 and not any(legend.get_window_extent().overlaps(place) for place in places)


def drawn_of(folder, monkeypatch, environments):
    """Returns the figure that `draw_curves` saves."""
    drawn = []
    monkeypatch.setattr(plots.Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    plots.draw_curves(folder, {name: Criterion() for name in environments})
    drawn[0].draw_without_rendering()
    return drawn[0]


def test_of_four_contenders_each_has_a_panel_with_its_band_before_the_lines_of_the_others(tmp_path, monkeypatch):
    returns = {f"c{index}": tuple(each + index for each in RETURNS["a2c"]) for index in range(4)}
    returns["ppo learning_rate=0.001 gamma=0.99"] = RETURNS["a2c"]
    both = {"CartPole-v1": returns, "Acrobot-v1": {"c3": RETURNS["ppo"], "c0": RETURNS["a2c"]}}
    figure = drawn_of(make_folder(tmp_path / "run", both), monkeypatch, both)
    panels = [panel for panel in figure.axes if panel.get_visible()]
    assert [panel.get_title(loc="left").replace("\n", " ") for panel in panels] == [*returns, "c3", "c0"]
    assert [(len(panel.lines), len(panel.collections)) for panel in panels] == [(5, 1)] * 5 + [(2, 1)] * 2
    for panel, (name, finals) in zip(panels, returns.items()):
        (own,) = [line for line in panel.lines if line.get_label() == name]
        assert own.get_ydata()[-1] == iqm(finals) and own.get_color() != multiples.OTHERS
        assert {line.get_color() for line in panel.lines if line is not own} == {multiples.OTHERS}
    longest = max(len(line) for panel in panels for line in panel.get_title(loc="left").split("\n"))
    assert longest <= 24  # a panel is as wide as that
    own = [next(line for line in panels[place].lines if line.get_label() == "c0") for place in (0, 6)]
    assert own[0].get_color() == own[1].get_color() != multiples.OTHERS  # a contender keeps its colour
    assert len({panel.get_ylim() for panel in panels[:5]}) == 1


def test_of_very_many_contenders_there_are_lines_alone(tmp_path, monkeypatch):
    returns = {"CartPole-v1": {f"c{index}": (index + 1.0, index + 2.0) for index in range(multiples.MOST + 1)}}
    figure = drawn_of(make_folder(tmp_path / "run", returns), monkeypatch, returns)
    (panel,) = figure.axes
    assert (len(panel.lines), len(panel.collections)) == (multiples.MOST + 1, 0)
    assert "interval" not in panel.get_title(loc="left")


def test_a_diagnostic_is_the_iqm_over_seeds_and_their_middle_half(results, panels):
    ppo = results[0]
    ppo.curves["value"] = np.where(ppo.curves.metric == "value_loss", ppo.curves.seed**2 + 1.0, ppo.curves.value)
    figures.diagnostic([ppo], figures.styles(["ppo"]), "value_loss")
    assert panels[0].lines[0].get_ydata() == pytest.approx([iqm([1.0, 2.0, 5.0, 10.0, 17.0])] * 3)
    low, high = heights(panels[0].collections[0])
    assert (low.tolist(), high.tolist()) == ([2.0] * 3, [10.0] * 3)


def test_the_share_of_seeds_at_a_score_rises_by_one_seed_where_one_reaches_it(results, panels):
    found = findings.efficiencies(results, 100.0)
    # ppo's seeds are at half their final return after 500 steps; 100 and 900, that diverged, come late and never
    assert found["ppo"].steps.tolist()[:2] == [1000.0, 500.0] and np.isnan(found["ppo"].steps[2])
    figures.reached({"ppo": found["ppo"]}, {"ppo": 1000}, figures.styles(["ppo"]))
    line = panels[0].lines[0]
    assert line.get_xdata().tolist() == [0, 500.0, 500.0, 500.0, 1000.0, 1000]
    assert line.get_ydata().tolist() == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 0.8])


def test_the_bounds_of_p_lie_around_it_on_both_sides_of_the_matrix(results):
    returns = {result.name: (result.seeds, result.scores) for result in results}
    cells = findings.improvements(returns)
    for row, column in ((0, 1), (1, 0)):
        names = list(returns)
        expected = probability_of_improvement(returns[names[row]][1], returns[names[column]][1])
        chance = cells[row][column]
        assert chance.low < chance.value < chance.high
        assert [chance.value, chance.low, chance.high] == pytest.approx([expected.value, expected.low, expected.high])


def test_the_scale_runs_from_the_mean_iqm_before_training_to_the_best_final_one(results):
    for result, start in zip(results, (10.0, 30.0)):
        result.curves.loc[(result.curves.metric == "evaluation_return") & (result.curves.env_steps == 0), "value"] = (
            start
        )
    scale = findings.scale_of(results)
    assert (scale.start, scale.best) == (20.0, max(result.figures["iqm"] for result in results))
    assert scale.at(0.25) == pytest.approx(20.0 + 0.25 * (scale.best - 20.0))


def test_a_run_that_diverged_scores_as_the_worst_of_its_environment_and_never_above_the_start():
    scores = {"a": np.array([[0.5, np.nan], [np.nan, 0.25]]), "b": np.array([[0.75, -2.0], [1.0, 1.0]])}
    filled = findings.with_worst(scores)
    assert filled["a"].tolist() == [[0.5, -2.0], [0.0, 0.25]]
    assert filled["b"].tolist() == scores["b"].tolist()


def test_contenders_are_ranked_by_iqm_and_one_without_comes_last(results):
    results[0].figures["iqm"] = None
    assert [each.name for each in findings.ranked(results)] == ["a2c", "ppo"]
    results[0].figures["iqm"] = 1e9
    assert [each.name for each in findings.ranked(results)] == ["ppo", "a2c"]
