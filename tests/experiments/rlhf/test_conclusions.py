"""What a run concludes: calibration, wins, what was foretold, and what is refused before it would mislead."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import stats
from scipy.special import expit, logit

from experiments.rlhf import conclusion, frontier, reached, task
from experiments.rlhf.pairs import Pairs
from experiments.rlhf.report import figures
from experiments.rlhf.stages import reward_model


def test_calibration_by_tenths_is_the_loop_over_pairs_ties_counting_half():
    rng = np.random.default_rng(0)
    scores, first = rng.normal(size=40), rng.integers(0, 40, 600)
    drawn = Pairs(first, (first + rng.integers(1, 40, 600)) % 40, rng.choice([0.0, 0.5, 1.0], 600), 0.3)
    tenths = {}
    for one, other, label in zip(drawn.first, drawn.second, drawn.label):
        said = 1.0 / (1.0 + np.exp(scores[other] - scores[one]))
        tenths.setdefault(int(said * 10), []).append((said, label))
    expected = [[*np.mean(tenths[tenth], axis=0), len(tenths[tenth])] for tenth in sorted(tenths)]
    np.testing.assert_allclose(reward_model.calibration(scores, drawn), expected)
    assert sum(number for _, _, number in expected) == 600


def test_a_reward_model_that_is_right_about_pairs_with_ties_lies_on_the_line():
    """Of 20 pairs that it gives 0.75 the first wins 12, 6 are ties and 2 are lost: 12 + 6 / 2 = 15."""
    label = np.repeat([1.0, 0.5, 0.0], [12, 6, 2])
    drawn = Pairs(np.zeros(20, int), np.ones(20, int), label, 0.3)
    ((said, came, number),) = reward_model.calibration(np.array([logit(0.75), 0.0]), drawn)
    assert said == pytest.approx(0.75) == pytest.approx(came) and number == 20
    ((said, came, _),) = reward_model.calibration(np.array([-0.3, 0.3]), drawn._replace(label=np.full(20, 0.5)))
    assert (said, came) == pytest.approx((expit(-0.6), 0.5))


def test_the_interval_of_a_win_is_student_s_and_has_the_reference_s_error_in_it():
    values = np.array([0.1, 0.4, 0.25])
    found = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    np.testing.assert_allclose(conclusion.t_interval(values), [found.low, found.high])
    assert found.low < 0 < conclusion.estimate(values)["ci95"][0]  # three seeds above 0 are no win yet
    wide = conclusion.t_interval(values, 0.2)
    own = np.std(values, ddof=1) / np.sqrt(3)
    assert (wide[1] - wide[0]) / (found.high - found.low) == pytest.approx(np.sqrt(own**2 + 0.04) / own)


def test_without_any_gain_one_run_in_forty_wins():
    rng = np.random.default_rng(0)
    wins = [conclusion.t_interval(seeds)[0] > 0.0 for seeds in rng.normal(size=(4_000, 3))]
    assert np.mean(wins) == pytest.approx(0.025, abs=0.01)


@pytest.mark.parametrize(
    "seeds, held, told",
    [
        ([0.5], True, "no win: one seed has no interval"),
        ([-0.5, -0.51, -0.52], True, "no win: the gain's t interval is not above 0"),
        ([0.5, 0.51, 0.52], False, "no win: it costs fluency"),
        ([0.5, 0.51, 0.52], True, "a gain"),
    ],
)
def test_the_verdict_says_why_there_is_no_win(seeds, held, told):
    found = {"gold_gain": {"t95": conclusion.t_interval(np.array(seeds))}, "holds": {"fluency": held}}
    assert conclusion.verdict(found | {"win": conclusion.wins(found, found["holds"])}) == told


def test_a_deviation_of_proxy_foretells_gold_within_prompts_whatever_lies_between_them(monkeypatch):
    rng = np.random.default_rng(0)
    proxy = 2.0 * rng.standard_normal(40_000)
    gold, shifts = 0.3 * proxy + rng.standard_normal(40_000), np.tile([-9.0, 0.0, 5.0, 9.0], 10_000)
    found = frontier.slope(proxy + shifts, gold, 4)
    assert found["gold_gain_per_proxy"] == pytest.approx(0.3, abs=0.01)
    assert frontier.slope(np.full(12, 0.3), gold[:12], 4)["gold_gain_per_proxy"] == 0.0
    drawn = []
    monkeypatch.setattr(figures, "way", lambda summary, curves, name, gain: (np.zeros(2), np.array([0.0, 2.0])))
    monkeypatch.setattr(figures, "as_svg", lambda figure, words: drawn.append(figure) or "")
    summary = {"contenders": {"a": {}}, "predicted_slope": found}
    summary["reference"] = {"proxy_deviation": float(np.std(proxy + shifts))}
    figures.over_optimisation(summary, None, {"a": ("#000000", "-")})
    assert isinstance(drawn[0], Figure)
    (line,) = [one for one in drawn[0].axes[0].lines if one.get_linestyle() == "-."]
    np.testing.assert_allclose(line.get_ydata(), 2.0 * found["gold_gain_per_proxy"] * np.array([0.0, 1.0]))


def test_reach_is_refused_where_there_are_several_prompts():
    with pytest.raises(ValueError, match="reach is for runs without prompts: the optimum is one of each prompt"):
        reached.programs(SimpleNamespace(text=SimpleNamespace(prompts=np.zeros((2, 3), int))))


def test_every_prompt_is_judged_as_often_and_no_answers_more_than_the_reference_has():
    assert task.judged_alike(256, 30, 4_096) == 270 and task.judged_alike(256, 1, 4_096) == 256
    assert task.judged_alike(256, 30, 200) == 180 and task.judged_alike(4_096, 30, 4_096) == 4_080
