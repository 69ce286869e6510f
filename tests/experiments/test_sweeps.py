"""Sweeps: their points, how the best is picked, and the run under fresh seeds that reports it."""

import dataclasses
import json
import re
import shutil

import jax
import killed_run
import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import stats

import envs
from experiments.lab.definition.experiment import Experiment, Task, families
from experiments.lab.definition.settings import contender
from experiments.lab.definition.sweeps import selection
from experiments.lab.definition.sweeps.fields import written
from experiments.lab.definition.sweeps.points import draws, expanded, grid, swept_fields
from experiments.lab.judging.criterion import Criterion
from experiments.lab.recording.files import write_json
from experiments.lab.running.checks import check
from experiments.lab.running.launch import launch, resume, to_resume
from experiments.lab.showing import plan, plots

PPO, A2C = (contender(name, "CartPole-v1", 100_000) for name in ("ppo", "a2c"))
TASKS = (Task("CartPole-v1", (PPO, A2C)), Task("Acrobot-v1", (PPO,)))


def names(task):
    return [one.name for one in task.contenders]


def figures(iqm, mean=0.0, diverged=()):
    return {"iqm": iqm, "ci95": [iqm, iqm], "mean": mean, "final_values": [iqm], "diverged_seeds": list(diverged)}


def test_a_grid_holds_every_combination_under_a_name_that_says_it():
    points = grid(PPO, learning_rate=(1e-5, 0.001), num_epochs=(2, 4), hidden_sizes=((8,), (16, 4)))
    assert [(p.hparams.learning_rate, p.config.num_epochs, p.config.hidden_sizes) for p in points] == [
        (rate, epochs, sizes) for rate in (1e-5, 0.001) for epochs in (2, 4) for sizes in ((8,), (16, 4))
    ]
    assert points[1].name == "ppo learning_rate=1e-05 num_epochs=2 hidden_sizes=(16,4)"
    assert len({point.name for point in points}) == 8 and {point.sweep for point in points} == {"ppo"}
    assert swept_fields(points, "ppo") == ["learning_rate", "num_epochs", "hidden_sizes"]


def test_numbers_that_differ_late_have_names_that_differ():
    assert [point.name for point in grid(PPO, gamma=(0.9999999, 0.99999991))] == [
        "ppo gamma=0.9999999",
        "ppo gamma=0.99999991",
    ]


def test_points_of_hyperparameters_share_one_program_and_each_config_has_its_own():
    rates = Task("CartPole-v1", grid(PPO, learning_rate=(1e-4, 1e-3, 1e-2)))
    both = Task("CartPole-v1", grid(PPO, learning_rate=(1e-4, 1e-3, 1e-2), num_epochs=(2, 4)))
    assert [len(family) for family in families(rates)] == [3]
    assert [len(family) for family in families(both)] == [3, 3]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"rate": (1, 2)}, "ppo has no setting 'rate'; it has: learning_rate"),
        ({"clip": (0.1, "wide")}, "ppo.clip must be a number, not wide"),
        ({"num_envs": (2, 2.5)}, "ppo.num_envs must be a whole number, not 2.5"),
        ({"clip": (0.1, 0.2, 1e-1)}, "ppo.clip is swept over 0.1 twice"),
        ({"clip": (0.1,)}, "ppo.clip is swept over two values or more"),
        ({"clip": ()}, "ppo.clip is swept over two values or more"),
        ({}, "needs a field to sweep"),
    ],
)
def test_a_grid_that_cannot_be_is_told_in_one_line(values, said):
    with pytest.raises(ValueError, match=said):
        grid(PPO, **values)


def test_a_point_is_not_swept_again():
    with pytest.raises(ValueError, match="is a point of the sweep ppo already"):
        grid(grid(PPO, clip=(0.1, 0.2))[0], gamma=(0.9, 0.99))


def test_draws_are_log_uniform():
    points = draws(PPO, 500, 1, learning_rate=(1e-5, 1e-2), clip=(0.1, 0.4))
    rates, clips = ([getattr(point.hparams, field) for point in points] for field in ("learning_rate", "clip"))
    assert stats.kstest(rates, stats.loguniform(1e-5, 1e-2).cdf).pvalue > 0.05
    assert stats.kstest(clips, stats.loguniform(0.1, 0.4).cdf).pvalue > 0.05
    assert abs(stats.spearmanr(rates, clips).statistic) < 0.1  # drawn apart


def test_drawn_whole_numbers_reach_both_ends_as_often_as_their_share_of_the_logarithm():
    points = draws(PPO, 800, 1, num_epochs=(1, 4), learning_rate=(1e-5, 1e-2))
    epochs = [point.config.num_epochs for point in points]
    assert all(type(number) is int for number in epochs)
    share = np.log([3.0, 5 / 3, 7 / 5, 9 / 7]) / np.log(9.0)
    assert stats.chisquare([epochs.count(number) for number in (1, 2, 3, 4)], 800 * share).pvalue > 0.05


def test_the_same_seed_draws_the_same_points_and_more_of_them_begin_with_these():
    few, many = (draws(PPO, number, 7, learning_rate=(1e-5, 1e-2), num_epochs=(1, 9)) for number in (4, 9))
    assert many[:4] == few
    assert draws(PPO, 4, 8, learning_rate=(1e-5, 1e-2), num_epochs=(1, 9)) != few


def test_a_draws_name_says_all_of_its_value():
    for point in draws(PPO, 50, 3, learning_rate=(1e-5, 1e-2)):
        assert float(point.name.partition("=")[2]) == point.hparams.learning_rate
        assert 1e-5 <= point.hparams.learning_rate <= 1e-2


def test_no_point_is_drawn_twice():
    assert sorted(point.config.num_epochs for point in draws(PPO, 4, 0, num_epochs=(1, 4))) == [1, 2, 3, 4]
    with pytest.raises(ValueError, match="hold too few whole numbers for 5 different points"):
        draws(PPO, 5, 0, num_epochs=(1, 4))


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (1.0, 0.5), (0.5, 0.5), (-1.0, 1.0), (0.1, float("inf"))])
def test_a_range_without_a_logarithm_is_refused(bounds):
    with pytest.raises(ValueError, match="0 < LOW < HIGH"):
        draws(PPO, 4, 0, clip=bounds)


def test_the_command_line_sweeps_a_grid_wherever_the_contender_is():
    cartpole, acrobot = expanded(TASKS, ("ppo.learning_rate=1e-4,1e-3", "ppo.num_epochs=2,4"))
    assert names(cartpole)[:4] == names(acrobot) == [one.name for one in grid(
        PPO, learning_rate=(1e-4, 1e-3), num_epochs=(2, 4))]  # fmt: skip
    assert names(cartpole)[4:] == ["a2c"]


def test_the_command_line_draws_the_fields_of_one_contender_together_and_crosses_them_with_grids():
    (task, _) = expanded(TASKS, ("ppo.clip=0.1..0.4*3", "ppo.num_envs=2,4", "ppo.learning_rate=1e-5..1e-2*3"))
    drawn = draws(PPO, 3, 0, clip=(0.1, 0.4), learning_rate=(1e-5, 1e-2))
    points = [one for one in task.contenders if one.sweep]
    assert [one.hparams for one in points] == [one.hparams for one in drawn for _ in (2, 4)]
    assert [one.config.num_envs for one in points] == [2, 4] * 3


def test_all_sweeps_every_contender_that_has_the_setting():
    (task, _) = expanded(TASKS, ("all.learning_rate=1e-4,1e-3",))
    assert [one.sweep for one in task.contenders] == ["ppo", "ppo", "a2c", "a2c"]
    (task, _) = expanded(TASKS, ("all.clip=0.1,0.3",))
    assert [one.sweep for one in task.contenders] == ["ppo", "ppo", ""]


def test_values_with_commas_stand_in_brackets_and_words_are_words():
    (task, _) = expanded(TASKS, ("a2c.hidden_sizes=(8,8),16", "a2c.normalize_advantage=true,false"))
    points = [one.config for one in task.contenders if one.sweep]
    assert [(one.hidden_sizes, one.normalize_advantage) for one in points] == [
        ((8, 8), True), ((8, 8), False), ((16,), True), ((16,), False)]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("pppo.clip=1,2",), "no contender 'pppo'"),
        (("ppo.clap=1,2",), "ppo has no setting 'clap'"),
        (("a2c.clip=1,2",), "a2c has no setting 'clip'"),
        (("ppo.clip",), "is no setting"),
        (("ppo.clip=0.1",), "two values or more; set one value with --set"),
        (("ppo.clip=0.1,",), "ppo.clip must be a number, not $"),
        (("ppo.clip=0.1,0.1",), "over 0.1 twice"),
        (("ppo.clip=0.1,x",), "ppo.clip must be a number, not x"),
        (("ppo.clip=0.1,0.2", "ppo.clip=0.3,0.4"), "ppo.clip is swept twice"),
        (("ppo.clip=0.1..0.4",), "ppo.clip must be a number, not 0.1..0.4"),
        (("ppo.clip=0.1..0.4*x",), "drawn a whole number of times, not x"),
        (("ppo.clip=0.1..0.4*1",), "draws two points or more"),
        (("ppo.clip=0.4..0.1*3",), "0 < LOW < HIGH, not 0.4..0.1"),
        (("ppo.clip=low..0.1*3",), "ppo.clip must be a number, not low"),
        (("ppo.hidden_sizes=8..64*3",), "ppo.hidden_sizes is no number"),
        (("ppo.normalize_advantage=false..true*3",), "ppo.normalize_advantage is no number"),
        (("ppo.clip=0.1..0.4*3", "ppo.gamma=0.9..0.99*4"), "drawn 3 and 4 times"),
    ],
)
def test_a_sweep_that_cannot_be_is_told_in_one_line(settings, said):
    with pytest.raises(ValueError, match=said) as error:
        expanded(TASKS, settings)
    assert "\n" not in str(error.value)


def test_an_experiment_that_sweeps_a_contender_takes_no_other_sweep_of_it():
    with pytest.raises(ValueError, match="the experiment sweeps ppo already"):
        expanded((Task("CartPole-v1", grid(PPO, clip=(0.1, 0.2))),), ("ppo.gamma=0.9,0.99",))


def test_the_best_point_has_the_highest_iqm_then_the_highest_mean_then_comes_first():
    points = list(grid(PPO, clip=(0.1, 0.2, 0.3, 0.4)))
    found = [figures(5.0, mean=9.0), figures(7.0, mean=1.0), figures(7.0, mean=2.0), figures(7.0, mean=2.0)]
    found = {point.name: each for point, each in zip(points, found)}
    assert selection.ranked(points, found, Criterion()) == [points[index] for index in (2, 3, 1, 0)]


def test_a_point_under_which_a_seed_diverged_comes_after_those_under_which_none_did():
    points = list(grid(PPO, clip=(0.1, 0.2, 0.3, 0.4)))
    found = [figures(500.0, diverged=[3]), figures(9.0), figures(None, diverged=[3, 4]), figures(float("nan"))]
    found = {point.name: each for point, each in zip(points, found)}
    assert selection.ranked(points, found, Criterion()) == [points[index] for index in (1, 3, 0, 2)]


def test_among_points_under_which_as_many_seeds_diverged_the_others_decide():
    points = list(grid(PPO, clip=(0.1, 0.2, 0.3)))
    returns = ([1.0, None, 3.0], [float("nan"), 5.0, 6.0], [None, 9.0, None])
    found = {
        point.name: {**figures(None, None, diverged), "final_values": earned}
        for point, earned, diverged in zip(points, returns, ([1], [0], [0, 2]))
    }
    assert selection.ranked(points, found, Criterion()) == [points[index] for index in (1, 0, 2)]
    assert selection.estimate(found[points[2].name]) == "no IQM, diverged under seeds 0, 2"


def test_the_best_point_is_reported_beside_what_was_not_swept_under_seeds_that_did_not_select_it():
    swept = grid(PPO, clip=(0.1, 0.2))
    child = dataclasses.replace(A2C, name="child", parent="ppo")
    tasks = (Task("CartPole-v1", (child, *swept, A2C)), Task("Acrobot-v1", (A2C,)))
    results = {"CartPole-v1": {one.name: figures(index) for index, one in enumerate(tasks[0].contenders)}}
    chosen = selection.report_experiment(Experiment(tasks, (3, 9, 4), 1000, width=2), results)
    assert chosen.seeds == (10, 11, 12) and (chosen.steps, chosen.width) == (1000, 2)
    assert [task.environment for task in chosen.tasks] == ["CartPole-v1"]  # nothing else was selected anywhere
    assert names(chosen.tasks[0]) == ["child", "ppo clip=0.2", "a2c"]
    assert chosen.tasks[0].contenders[0].parent == "ppo clip=0.2"
    assert not selection.has_sweeps(chosen)


def test_a_sweep_counts_as_found_once_all_its_points_finished():
    points = grid(PPO, clip=(0.1, 0.2))
    experiment = Experiment((Task("CartPole-v1", (*points, A2C)),), (0, 1), 1000)
    assert selection.found(experiment, {"CartPole-v1": {points[0].name: figures(1.0)}}, {}) == {"CartPole-v1": {}}
    assert selection.found(experiment, {}, {}) == {"CartPole-v1": {}}


def test_the_plan_counts_programs_trials_steps_and_the_run_that_reports():
    tasks = expanded(TASKS, ("ppo.learning_rate=1e-4,1e-3,1e-2", "ppo.num_epochs=2,4"))
    text = plan.announcement(Experiment(tasks, tuple(range(5)), 100_000))
    assert re.search(r"CartPole-v1: ppo .*, a2c; seeds 0 to 4; 100,000 steps each\n", text)
    assert "5 programs, 65 trials, 6.5 million environment steps" in text
    assert re.search(r"2 sweeps and what is not swept again, .*seeds 5 to 9.*: 15 trials, 1.5 million", text)
    assert "sweep" not in plan.announcement(Experiment(TASKS, (0,), 100_000))


def test_the_planned_memory_is_that_of_the_states_of_the_largest_family():
    small = dataclasses.replace(A2C, config=dataclasses.replace(A2C.config, num_envs=2, hidden_sizes=(4,)))
    smaller = dataclasses.replace(small, config=dataclasses.replace(small.config, num_envs=1), name="smaller")
    tasks = (Task("CartPole-v1", (smaller, small, *grid(dataclasses.replace(small, name="x"), gamma=(0.8, 0.9)))),)
    state = small.make(envs.make("CartPole-v1")).init(jax.random.key(0), small.hparams)
    held = [jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x
            for x in jax.tree.leaves(state)]  # fmt: skip
    assert plan.memory(Experiment(tasks, (0, 1), 1000)) == 3 * 2 * sum(np.asarray(x).nbytes for x in held)


@pytest.mark.parametrize(
    ("number", "text"), [(9, "9 bytes"), (2048, "2 KiB"), (3 << 20, "3 MiB"), (5 << 40, "5,120.0 GiB")]
)
def test_bytes_are_told_in_units_that_suit_them(number, text):
    assert plan.in_bytes(number) == text


def test_names_that_tell_two_results_apart_by_nothing_are_refused():
    twice = (Task("CartPole-v1", (A2C, A2C)),)
    with pytest.raises(ValueError, match="a2c is named twice"):
        check(Experiment(twice, (0,), 1000))
    with pytest.raises(ValueError, match="CartPole-v1 is named twice"):
        check(Experiment((TASKS[0], TASKS[0]), (0,), 1000))
    with pytest.raises(ValueError, match="a2c and A2C differ in case alone, as files may not"):
        check(Experiment((Task("CartPole-v1", (A2C, dataclasses.replace(A2C, name="A2C"))),), (0,), 1000))
    for nothing in ({"tasks": ()}, {"seeds": ()}, {"tasks": (Task("CartPole-v1", ()),)}):
        with pytest.raises(ValueError, match="one or more seeds, tasks, and contenders"):
            check(dataclasses.replace(Experiment(TASKS, (0,), 1000), **nothing))


@pytest.mark.parametrize(
    ("best", "tried", "said"),
    [
        (1e-2, (1e-4, 1e-3), ["x=0.01 is the highest of 0.0001 to 0.01"]),
        (1e-4, (1e-2, 1e-3), ["x=0.0001 is the lowest of 0.0001 to 0.01"]),
        (1e-3, (1e-2, 1e-4), []),
        (0.0, (0.1, 0.2), []),  # nothing lies below
        (0.2, (0.0, 0.1), ["x=0.2 is the highest of 0 to 0.2"]),
        (8, (2, 4), ["x=8 is the highest of 2 to 8"]),
        (True, (False,), []),
        ((8,), ((16,), (4,)), []),
    ],
)
def test_a_best_point_at_the_edge_of_what_was_tried_is_told(best, tried, said):
    assert selection.at_edge([{"x": value} for value in (best, *tried)]) == said
    words = selection.edge_in_words({"at_edge": said})
    assert words == (
        f"the best lies at the edge of what was tried: {said[0]}; a better one may lie beyond" if said else ""
    )


def test_of_several_settings_those_at_an_edge_are_told():
    settings = [{"x": 1.0, "y": 5.0}, {"x": 2.0, "y": 4.0}, {"x": 0.5, "y": 3.0}]
    assert selection.at_edge(settings) == ["y=5 is the highest of 3 to 5"]
    assert selection.edge_in_words({}) == ""  # folders of before


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ((1e-4, 3e-4, 1e-3), "log"),
        ((1, 2, 4, 8), "log"),
        ((1e-4, 1e-3), "log"),
        ((2, 4), "linear"),
        ((0.9, 0.95, 0.99), "linear"),
        ((0.0, 0.001, 0.01, 0.1), "symlog"),
        ((0.0, 0.5, 1.0), "linear"),
        ((-1.0, 10.0, 100.0), "linear"),
        ((True, False), "linear"),
        (((8,), (64, 64)), "linear"),
    ],
)
def test_the_axis_is_logarithmic_where_the_points_are_spaced_so(values, scale):
    panel = Figure().subplots()
    place = plots.set_scale(panel, list(values))
    assert panel.get_xscale() == scale
    assert len({place(value) for value in values}) == len(values)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Returns the folder of a finished sweep of a small A2C, beside a contender that is not swept."""
    config = dataclasses.replace(A2C.config, num_envs=2, num_steps=8, hidden_sizes=(8,))
    small = dataclasses.replace(A2C, config=config, name="small")
    fixed = dataclasses.replace(small, name="fixed", hparams=A2C.hparams.replace(learning_rate=1e-2))
    contenders = (*grid(small, learning_rate=(1e-6, 3e-2)), fixed)  # one program for all, and again for the report
    folder = tmp_path_factory.mktemp("sweep") / "run"
    assert launch(Experiment((Task("CartPole-v1", contenders),), (0, 1), 2048, 2, 4, width=1), folder) == 0
    return folder


def read(folder):
    return json.loads((folder / "summary.json").read_text())


def test_the_winners_number_comes_from_seeds_that_did_not_pick_it(run):
    summary, report = read(run), read(run / "best")
    sweep = summary["sweeps"]["CartPole-v1"]["small"]
    assert (sweep["selection_seeds"], sweep["report_seeds"]) == ([0, 1], [2, 3]) == (
        summary["seeds"], report["seeds"])  # fmt: skip
    finals = {name: one["final_values"] for name, one in summary["environments"]["CartPole-v1"]["algorithms"].items()}
    assert sweep["best"] == max((point["name"] for point in sweep["points"]), key=lambda name: np.mean(finals[name]))
    again = report["environments"]["CartPole-v1"]["algorithms"]
    assert list(again) == [sweep["best"], "fixed"]
    assert sweep["report"]["iqm"] == again[sweep["best"]]["iqm"] != sweep["points"][0]["iqm"]
    assert sweep["report"]["ci95"] == again[sweep["best"]]["ci95"]
    assert not summary["interrupted"] and (run / "sensitivity.png").stat().st_size > 10_000
    rate = sweep["points"][0]["settings"]["learning_rate"]
    end = "highest" if rate == 3e-2 else "lowest"
    assert sweep["at_edge"] == [f"learning_rate={written(rate)} is the {end} of 1e-06 to 0.03"]
    assert sweep["could_be_best"] == [point["name"] for point in sweep["points"]]
    assert sweep["best_in_words"] == "could be best: any of the 2 points, as 2 seeds can rule none out"


def test_a_killed_report_is_finished_by_resuming_the_sweep(run, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    for path in ("progress.json", "summary.json", "curves.csv", "curves.png"):  # killed as it began
        (folder / "best" / path).unlink()
    write_json(folder / "summary.json", {})
    assert resume(to_resume(folder), folder) == 0
    again, before = read(folder), read(run)
    assert again["sweeps"] == before["sweeps"] and not again["interrupted"]
    curves = [killed_run.without_seconds(place / "best" / "curves.csv") for place in (folder, run)]
    assert curves[0] == curves[1]
    shown = capsys.readouterr().out
    assert re.search(r"selection, seeds 0 to 1: IQM .*picked by these", shown)
    assert re.search(r"report, seeds 2 to 3: IQM .*quote this one", shown)


def test_a_sweep_without_its_report_is_said_to_be_unfinished(run):
    experiment = to_resume(run)
    results = json.loads((run / "progress.json").read_text())["results"]
    found = selection.found(experiment, results, {})["CartPole-v1"]["small"]
    assert found["report"] is None and found["best"] == read(run)["sweeps"]["CartPole-v1"]["small"]["best"]
