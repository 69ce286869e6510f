"""report.html: that it says what the folders say, whatever state they are in, and loads nothing from anywhere."""

import csv
import json
import re
import warnings
from html.parser import HTMLParser

import pytest

from experiments.lab.commands.cli import BadInput
from experiments.lab.recording.run_folder import Unusable
from experiments.lab.showing.meanings import MEANINGS
from experiments.lab.showing.report.page import SIGN, number, write, write_joined
from experiments.report import Args, report

VOID = {"meta", "br", "wbr", "hr", "img", "input", "link"}
COLUMNS = ("environment", "algorithm", "seed", "env_steps", "metric", "value")
STEPS = (0, 500, 1000)


class Page(HTMLParser):
    """The tags, the visible words and the machine-readable numbers of a page; unbalanced tags are an error."""

    def __init__(self, path):
        super().__init__()
        self.open, self.tags, self.words, self.values = [], [], [], []
        self.source = path.read_text()
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "data":
            self.values.append(float(dict(attributes)["value"]))

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def task(finals, parents, fields):
    """Returns an environment's part of a manifest."""
    settings = {"algorithm": "algos.ppo", "config": {"num_envs": 8, "num_steps": 128}, "loss": "algos.ppo:loss"}
    return {
        "fields": fields,
        "algorithms": {
            name: {**settings, "hparams": {"clip": 0.3, "gamma": 0.99, "mine": 7.0}, "parent": parents.get(name)}
            for name in finals
        },
    }


def figures(returns, diverged):
    """Returns a contender's part of a summary; its IQM and interval are invented, so that only copying shows them."""
    iqm, mean = returns[0] + 0.123456, returns[0] + 7.654321
    bounds = [iqm - 20.25, iqm + 30.75] if len(returns) > 1 else [None, None]
    return {"iqm": iqm, "ci95": bounds, "mean": mean, "final_values": list(returns), "diverged_seeds": diverged,
            "env_steps": 1000, "compile_seconds": 3.21, "run_seconds": 4.56, "steps_per_second": 12345.6}  # fmt: skip


def make_folder(
    folder, returns, *, seeds=None, unfinished=(), diverged=None, parents=None, verdicts=None, fields=None, **manifest
):
    """Writes a run folder; returns: final returns of each seed by environment and contender."""
    folder.mkdir()
    first = next(iter(next(iter(returns.values())).values()))
    seeds, diverged = list(seeds or range(len(first))), diverged or {}
    content = {
        "command": "python -m experiments.compare --env X", "seeds": seeds, "steps": 1000, "evaluations": 2,
        "eval_episodes": 32, "width": 1, "versions": {"jax": "0.10.2"}, "git": {"commit": "c0ffee", "dirty": False},
        "device": {"machine": "a machine", "count": 2, "platform": "cpu"}, "flags": {"XLA_FLAGS": "--x"},
        "environments": {name: task(finals, parents or {}, fields or {}) for name, finals in returns.items()},
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps({**content, **manifest}))
    summary = {"interrupted": bool(unfinished), "seeds": seeds, "environments": {}}
    with (folder / "curves.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for environment, finals in returns.items():
            finished = {name: each for name, each in finals.items() if name not in unfinished}
            summary["environments"][environment] = {
                "algorithms": {name: figures(each, diverged.get(name, [])) for name, each in finished.items()},
                "verdicts": verdicts or [f"the verdict of {environment}"],
            }
            for name, each in finals.items():
                writer.writerows(curve(environment, name, seeds, each))
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def curve(environment, name, seeds, finals):
    """Yields rows that go from 0 to the final return in equal steps, and one training metric."""
    for seed, final in zip(seeds, finals):
        for steps in STEPS:
            yield environment, name, seed, steps, "evaluation_return", final * steps / STEPS[-1]
            yield environment, name, seed, steps, "value_loss", 3.0 - steps / 1000


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The folder of a run of two contenders."""
    folder = make_folder(tmp_path_factory.mktemp("runs") / "plain", TWO, fields={"max_steps_in_episode": 99})
    write(folder)
    return folder


@pytest.fixture(scope="module")
def page(plain):
    """Its report."""
    return Page(plain / "report.html")


TWO = {"CartPole-v1": {"ppo": (100.0, 200.0, 300.0), "a2c": (90.0, 110.0, 120.0)}}


def test_the_report_loads_nothing_from_anywhere_and_runs_no_script(page):
    assert not {"script", "link", "img", "iframe", "object", "embed"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "srcset", "data", "action"):
            assert attributes.get(name, "#").startswith("#")
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org)", page.source)


def test_ids_are_unique_and_every_reference_to_one_is_kept(page):
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids) > 0
    assert set(re.findall(r'(?:url\(|href=")#([^")]+)', page.source)) <= set(ids)


def test_every_colour_of_a_figure_is_the_pages(tmp_path):
    page = Page(write(make_folder(tmp_path / "run", TWO, diverged={"ppo": [1]})))
    style = re.search("<style>.*?</style>", page.source, re.DOTALL)[0]
    assert set(re.findall(r"var\((--\w+)\)", page.source)) <= set(re.findall(r"(--\w+):", style))
    assert not re.search(r"#fd0[0-9a-f]{3}", page.source)
    assert not re.search(r"(fill|stroke): #", page.source)


def test_the_verdicts_of_the_summary_come_before_any_figure(page):
    assert 0 < page.source.index("the verdict of CartPole-v1") < page.source.index("<figure>")


def test_the_final_scores_are_those_of_the_summary(plain, page):
    algorithms = json.loads((plain / "summary.json").read_text())["environments"]["CartPole-v1"]["algorithms"]
    expected = [value for each in algorithms.values() for value in (each["iqm"], *each["ci95"], each["mean"])]
    assert page.values == expected
    for words in ("100.1", "79.87 to 130.9", "107.7", "0 of 3", "12,346", "3 seeds (0 to 2)", "1,000"):
        assert words in page.text


def test_where_a_single_new_run_would_lie_is_told_with_the_share_that_three_seeds_can_tell(page):
    # 1 - 3 p^2 + 2 p^3 = 0.9 at p = 0.196
    assert "ppo 100.1 79.87 to 130.9 107.7 100.0 to 300.0 20% of runs 0 of 3" in page.text
    assert "a2c" in page.text and "90.00 to 120.0 20% of runs" in page.text


def test_seeds_that_can_show_nothing_say_so_beside_the_table_of_p(tmp_path, page):
    told = "seeds can show no difference between any two of these, also where P is 1.00."
    assert f"3 {told}" in page.text
    ten = {"CartPole-v1": {"ppo": tuple(range(10)), "a2c": tuple(range(5, 15))}}
    text = Page(write(make_folder(tmp_path / "run", ten))).text
    assert told not in text and "P(row is better than column)" in text


def test_who_could_be_the_best_is_told_below_the_verdicts(tmp_path, page):
    assert "ould be best" not in page.text  # of two a verdict says more
    returns = {"CartPole-v1": {"ppo": tuple(range(100, 108)), "a2c": tuple(range(8)), "dqn": tuple(range(107, 99, -1))}}
    text = Page(write(make_folder(tmp_path / "run", returns))).text
    told = "Could be best: ppo, dqn; each other contender is shown to be worse than some (one-sided,"
    assert text.index("the verdict of CartPole-v1") < text.index(told)


def test_a_margin_that_was_named_before_the_run_is_in_its_verdicts_and_one_named_later_is_told_as_such(tmp_path):
    scores = {"ppo": tuple(range(100, 110)), "a2c": tuple(range(109, 99, -1))}
    folder = make_folder(tmp_path / "run", {"CartPole-v1": scores}, margins={"CartPole-v1": 30.0})
    text = Page(write(folder)).text
    assert (
        "the verdict of CartPole-v1" in text
        and "takes two one-sided tests" in text
        and "named for this report" not in text
    )
    text = Page(write_joined([folder], folder / "report.html", ["20"])).text
    assert re.search(r"against \w+: no difference larger than 20; P = ", text) and "the verdict of" not in text
    assert "The margin of 20 on CartPole-v1 was named for this report, when the runs were done" in text
    other = make_folder(tmp_path / "other", {"CartPole-v1": {"dqn": scores["a2c"]}}, margins={"CartPole-v1": 30.0})
    assert "no difference larger than 30; P = " in Page(write_joined([folder, other], tmp_path / "both.html")).text
    third = make_folder(tmp_path / "third", {"CartPole-v1": {"dqn": scores["a2c"]}})
    assert "larger than" not in Page(write_joined([folder, third], tmp_path / "both.html")).text


def test_a_margin_that_cannot_be_is_one_line_of_the_command(tmp_path):
    folder = make_folder(tmp_path / "run", TWO)
    with pytest.raises(BadInput, match="--margin is a positive difference .* not none$"):
        report(Args((folder,), margin=("none",)))
    assert not (folder / "report.html").exists()


def test_four_contenders_have_a_picture_each_and_two_share_one(tmp_path, page):
    returns = {"CartPole-v1": {f"contender-{index}": (index + 1.0, index + 2.0) for index in range(4)}}
    for shown, alone in ((Page(write(make_folder(tmp_path / "run", returns))), 4), (page, 0)):
        labels = [attributes.get("aria-label", "") for tag, attributes in shown.tags if tag == "svg"]
        assert sum("those of the others behind it" in label for label in labels) == alone
        assert ("Each contender alone" in shown.text) == bool(alone)


def test_a_sweep_shows_its_points_against_each_setting_and_that_its_best_is_at_the_edge(tmp_path):
    names = [f"ppo gamma={gamma} hidden_sizes=({size})" for gamma in (0.9, 0.99) for size in (8, 16)]
    folder = make_folder(tmp_path / "run", {"CartPole-v1": {name: (1.0, 2.0) for name in names}})
    points = [
        {"name": name, "settings": {"gamma": gamma, "hidden_sizes": [size]}, "iqm": 5.0 - place, "ci95": [0.0, None],
         "diverged_seeds": []}
        for place, (name, gamma, size) in enumerate(zip(names, (0.9, 0.9, 0.99, 0.99), (8, 16, 8, 16)))
    ]  # fmt: skip
    sweep = {
        "points": points, "best": names[0], "metric": "evaluation_return", "higher_is_better": True, "report": None,
        "selection_seeds": [0, 1], "report_seeds": [2, 3], "could_be_best": names[:2],
        "at_edge": ["gamma=0.9 is the lowest of 0.9 to 0.99"], "best_in_words": "could be best: any of the 4 points",
    }  # fmt: skip
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps({**summary, "sweeps": {"CartPole-v1": {"ppo": sweep}}}))
    page = Page(write(folder))
    labels = [attributes.get("aria-label", "") for tag, attributes in page.tags if tag == "svg"]
    for field in ("gamma", "hidden_sizes"):
        assert f"Final values of the sweep's points against {field}" in labels
    assert (
        "The best lies at the edge of what was tried: gamma=0.9 is the lowest of 0.9 to 0.99; a better one" in page.text
    )
    assert "Could be best: any of the 4 points." in page.text and "Could be best: each" not in page.text


def test_steps_to_a_score_count_the_seeds_that_never_reach_it(page):
    # The best final IQM, as the summary has it, is ppo's 100.12; nine tenths of it is 90.11.
    assert "first as good as 90.11" in page.text
    assert "ppo 3 of 3 500 500 [500, 1,000] none" in page.text
    assert "a2c 2 of 3 1,000 – seed 0" in page.text


def test_a_diverged_seed_is_marked_and_counts_as_worst(tmp_path):
    page = Page(write(make_folder(tmp_path / "run", TWO, diverged={"ppo": [1, 2]})))
    assert "ppo on CartPole-v1 in 2 of 3 seeds (seed 1, 2)" in page.text
    assert "2 of 3 seed 1, 2" in page.text and "diverged to 100.0 20% of runs" in page.text
    # ppo's 200 and 300 would win every pair: of nine pairs only 100 against 90 is left, P = 1/9.
    assert re.search(r"ppo\s+0\.11 0\.00–", page.text)
    assert "ppo 1 of 3 1,000 – seed 1, 2" in page.text


def test_returns_that_are_not_finite_leave_a_report(tmp_path):
    folder = make_folder(tmp_path / "run", TWO, diverged={"ppo": [1]})
    summary = json.loads((folder / "summary.json").read_text())
    results = summary["environments"]["CartPole-v1"]["algorithms"]["ppo"]
    results |= {"iqm": None, "ci95": [None, None], "mean": None, "final_values": [100.0, None, 300.0]}
    (folder / "summary.json").write_text(json.dumps(summary))
    text = (folder / "curves.csv").read_text().replace("200.0\n", "nan\n")
    (folder / "curves.csv").write_text(text)
    assert "ppo – – – diverged to 300.0 20% of runs 1 of 3 seed 1" in Page(write(folder)).text


def test_where_all_diverged_after_the_start_no_axes_are_empty(tmp_path):
    folder = make_folder(tmp_path / "run", TWO, diverged={"ppo": [0, 1, 2], "a2c": [0, 1, 2]})
    summary = json.loads((folder / "summary.json").read_text())
    for results in summary["environments"]["CartPole-v1"]["algorithms"].values():
        results |= {"iqm": None, "ci95": [None, None], "mean": None, "final_values": [None] * 3}
    (folder / "summary.json").write_text(json.dumps(summary))
    text = re.sub(r"(,(?:500|1000),evaluation_return),.*", r"\1,nan", (folder / "curves.csv").read_text())
    (folder / "curves.csv").write_text("\n".join(line for line in text.splitlines() if "value_loss" not in line) + "\n")
    page = Page(write(folder))
    assert "figure" not in {tag for tag, _ in page.tags}
    assert (
        "No learning curves: no contender’s evaluation return is finite under all its seeds more than once."
        in page.text
    )
    assert "Performance profile" not in page.text and "Individual seeds" not in page.text


def test_a_metric_that_is_finite_under_some_seeds_alone_is_drawn_without_a_warning(tmp_path):
    folder = make_folder(tmp_path / "run", TWO)
    text = (folder / "curves.csv").read_text()
    (folder / "curves.csv").write_text(re.sub(r"(,1,\d+,value_loss),.*", r"\1,nan", text))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "value loss" in Page(write(folder)).text


def test_a_report_says_whose_settings_each_contender_had_where_the_summary_does(tmp_path, page):
    folder = make_folder(tmp_path / "run", TWO)
    summary = json.loads((folder / "summary.json").read_text())
    algorithms = summary["environments"]["CartPole-v1"]["algorithms"]
    algorithms["ppo"]["settings"], algorithms["a2c"]["settings"] = "settings for CartPole-v1", "defaults, but gamma=0.9"
    (folder / "summary.json").write_text(json.dumps(summary))
    text = Page(write(folder)).text
    assert "Who is tuned: settings for CartPole-v1: ppo; defaults, but gamma=0.9: a2c." in text
    assert re.search(r"ppo 100\.1 .* 0 of 3 settings for CartPole-v1 .*a2c .* 0 of 3 defaults, but gamma=0\.9", text)
    assert "Who is tuned" not in page.text


def test_a_report_says_when_it_ran_how_long_and_once_what_an_iqm_is(tmp_path, page):
    text = Page(write(make_folder(tmp_path / "run", TWO, date="2026-11-26T10:31:07+00:00"))).text
    assert "1,000 environment steps under each seed; 2026-11-26 10:31; ran 0:09 without compiling" in text
    assert "environment steps under each seed; ran 0:09" in page.text
    assert text.count("interquartile mean") == 1


def test_a_diagnostic_has_its_meaning_to_hover_over_and_below(page):
    titles = [attributes["title"] for tag, attributes in page.tags if tag == "figure" and "title" in attributes]
    assert titles == [MEANINGS["value_loss"]]
    assert f"What each means value loss {MEANINGS['value_loss']}" in page.text


def test_numbers_have_digits_by_their_size():
    told = {12345.6: "12,346", -123.45: "−123.5", 12.345: "12.35", 0.5: "0.500", 0.0123456: "0.0123", 0.0: "0.000"}
    assert {value: number(value) for value in told} == told


def test_one_seed_and_one_contender_are_a_report_without_intervals(tmp_path):
    folder = make_folder(tmp_path / "run", {"CartPole-v1": {"ppo": (100.0,)}}, verdicts=[])
    summary = json.loads((folder / "summary.json").read_text())
    summary["environments"]["CartPole-v1"]["verdicts"] = []
    (folder / "summary.json").write_text(json.dumps(summary))
    page = Page(write(folder))
    assert "One seed: it allows no interval" in page.text
    assert "One contender: nothing to compare it with" in page.text
    assert "nan" not in page.source.replace("finance", "")


def test_a_contender_is_shown_against_its_parent_first(tmp_path):
    returns = {"CartPole-v1": {"old": tuple(range(10)), "new": tuple(range(100, 110))}}
    text = Page(write(make_folder(tmp_path / "run", returns, parents={"new": "old"}))).text
    assert text.index("new is ahead of old: P = 1.00") < text.index("the verdict of CartPole-v1")


def test_contenders_that_did_not_finish_are_named_and_their_curves_shown(tmp_path):
    page = Page(write(make_folder(tmp_path / "run", TWO, unfinished=("a2c",), parents={"a2c": "ppo"})))
    assert "a2c on CartPole-v1 did not finish: its curves are shown as far as they go." in page.text
    assert "The run was interrupted" in page.text
    assert "a2c against ppo: not compared, a2c did not finish" in page.text


def test_rows_that_were_written_again_count_once_as_written_last(tmp_path):
    folder = make_folder(tmp_path / "run", TWO)
    again = "".join(f"CartPole-v1,ppo,{seed},500,evaluation_return,0.0\n" for seed in range(3))
    (folder / "curves.csv").write_text((folder / "curves.csv").read_text() + again)
    assert "ppo 3 of 3 1,000 1,000 [1,000, 1,000] none" in Page(write(folder)).text


def test_a_run_killed_before_anything_finished_is_a_report(tmp_path):
    folder = make_folder(tmp_path / "run", TWO)
    (folder / "summary.json").unlink()
    text = (folder / "curves.csv").read_text()
    (folder / "curves.csv").write_text(text[: text.index("a2c") + 2])  # in the middle of a line
    assert "Nothing has finished yet" in Page(write(folder)).text
    (folder / "curves.csv").write_text("")
    assert "it left no curves" in Page(write(folder)).text


def test_environments_are_aggregated_on_scores_normalised_between_start_and_best(tmp_path):
    scores = {"ppo": (50.0, 100.0, 150.0, 100.0), "a2c": (50.0, 50.0, 50.0, 50.0)}
    tenfold = {name: tuple(10.0 * each for each in finals) for name, finals in scores.items()}
    folder = make_folder(tmp_path / "run", {"CartPole-v1": scores, "Acrobot-v1": tenfold})
    summary = json.loads((folder / "summary.json").read_text())
    for environment, best in (("CartPole-v1", 100.0), ("Acrobot-v1", 1000.0)):
        summary["environments"][environment]["algorithms"]["ppo"]["iqm"] = best
    (folder / "summary.json").write_text(json.dumps(summary))
    text = Page(write(folder)).text
    assert "CartPole-v1 0.000 100.0 Acrobot-v1 0.000 1,000.0" in text
    # Over eight runs the middle four of ppo are at 1, its mean is 1; all of a2c is at 0.5.
    assert re.search(r"contender IQM mean median ppo 1\.00 \[.*?\] 1\.00 \[.*?\] 1\.00 \[.*?\] a2c 0\.500 ", text)


def test_environments_without_common_contenders_say_why_nothing_is_aggregated(tmp_path):
    returns = {"CartPole-v1": {"ppo": (1.0, 2.0)}, "Acrobot-v1": {"a2c": (1.0, 2.0)}}
    page = Page(write(make_folder(tmp_path / "run", returns)))
    assert "Nothing is said of all environments together: no contender finished in every environment." in page.text
    assert ">All environments together<" not in page.source


def test_contenders_of_several_folders_are_joined_under_names_that_tell_them_apart(tmp_path):
    one = make_folder(tmp_path / "one", TWO)
    two = make_folder(tmp_path / "two", {"CartPole-v1": {"ppo": (400.0, 500.0, 600.0)}})
    page = Page(write_joined([one, two], tmp_path / "joined.html"))
    assert {"one/ppo", "two/ppo", "a2c"} <= set(page.text.split())
    assert "two/ppo against" in page.text
    assert "the verdict of CartPole-v1" not in page.text


def test_folders_with_other_seeds_and_budgets_say_so_and_are_not_paired(tmp_path):
    one = make_folder(tmp_path / "one", TWO)
    two = make_folder(tmp_path / "two", {"CartPole-v1": {"dqn": (400.0, 500.0, 600.0)}}, seeds=(5, 6, 7), steps=2000)
    text = Page(write_joined([one, two], tmp_path / "joined.html")).text
    assert "The folders differ in seeds (one: 3 seeds (0 to 2); two: 3 seeds (5 to 7))." in text
    assert "The folders differ in steps (one: 1,000; two: 2,000)." in text
    assert "seeds differ" in text and "dqn against" not in text and "dqn is ahead" not in text


def test_where_no_two_contenders_ran_under_the_same_seeds_there_is_no_table_of_pairs(tmp_path):
    one = make_folder(tmp_path / "one", {"CartPole-v1": {"ppo": (100.0, 200.0, 300.0)}})
    two = make_folder(tmp_path / "two", {"CartPole-v1": {"dqn": (400.0, 500.0, 600.0)}}, seeds=(5, 6, 7))
    text = Page(write_joined([one, two], tmp_path / "joined.html")).text
    assert "No two contenders that finished ran under the same seeds: no verdict." in text
    assert "probability of improvement" not in text and "One contender" not in text


def test_settings_that_differ_from_the_defaults_come_first_beside_them(page):
    assert (
        "differs from the default value default num_envs 8 4 clip 0.3 0.2 mine 7.0 – 2 as the defaults are" in page.text
    )
    for words in ("python -m experiments.compare --env X", "c0ffee, no changes", "jax 0.10.2", "a machine; 2 cpu devices",
                  "XLA_FLAGS=--x", "max_steps_in_episode=99"):  # fmt: skip
        assert words in page.text


def test_a_name_is_text_and_never_markup(tmp_path):
    name = '<script>alert("x")</script>'
    page = Page(write(make_folder(tmp_path / "run", {"CartPole-v1": {name: (1.0, 2.0), "ppo": (3.0, 4.0)}})))
    assert "script" not in {tag for tag, _ in page.tags} and name in page.text


def test_more_contenders_than_colours_stay_told_apart(tmp_path):
    returns = {"CartPole-v1": {f"contender-{index}": (index + 1.0, index + 2.0) for index in range(9)}}
    page = Page(write(make_folder(tmp_path / "run", returns)))
    swatches = re.findall(r'class="swatch".*?</svg> (contender-\d)', page.source)
    lines = re.findall(r'<path d="M0 5H24" style="([^"]*)"', page.source)
    assert len(set(zip(swatches, lines))) == len(set(swatches)) == len(set(lines)) == 9


def test_the_same_folder_always_gives_the_same_bytes(plain, page):
    assert write(plain).read_text() == page.source


DAMAGE = {
    "manifest.json": ("{", "damaged"),
    "summary.json": ('{"environments": {"CartPole-v1": {"verdicts": [], "algorithms": {"sac": {}}}}}', "do not agree"),
    "curves.csv": ("environment,algorithm\nCartPole-v1,ppo\n", "its columns must be"),
}


@pytest.mark.parametrize("file", DAMAGE)
def test_a_damaged_folder_is_one_clear_line(tmp_path, file):
    folder = make_folder(tmp_path / "run", TWO)
    content, expected = DAMAGE[file]
    (folder / file).write_text(content)
    with pytest.raises(Unusable, match=expected) as caught:
        write(folder)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)
    assert not (folder / "report.html").exists()


def test_a_folder_without_a_run_and_a_missing_folder_are_one_clear_line(tmp_path):
    for folder, expected in ((tmp_path, "has no manifest.json"), (tmp_path / "none", "is not a folder")):
        with pytest.raises(BadInput, match=expected):
            report(Args((folder,)))


def test_a_file_that_is_no_report_is_never_written_over(tmp_path):
    folder = make_folder(tmp_path / "run", TWO)
    (tmp_path / "notes.html").write_text("mine")
    with pytest.raises(BadInput, match="is not a report and is not written over"):
        report(Args((folder,), out=tmp_path / "notes.html"))
    assert (tmp_path / "notes.html").read_text() == "mine"
    with pytest.raises(BadInput, match="cannot write"):
        report(Args((folder,), out=tmp_path / "no folder" / "report.html"))


def test_the_command_prints_where_the_report_is(tmp_path, capsys, monkeypatch):
    scores = {"Catch-bsuite": {"ppo": (1.0, 2.0)}}
    folders = tuple(make_folder(tmp_path / name, scores) for name in ("one", "two"))
    monkeypatch.chdir(tmp_path)
    assert report(Args(folders[:1])) == report(Args(folders)) == 0
    assert capsys.readouterr().out.split() == [str(folders[0] / "report.html"), "report.html"]
    assert SIGN in (tmp_path / "report.html").read_text()
