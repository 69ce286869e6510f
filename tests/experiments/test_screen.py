"""What a run shows as it goes and at its end."""

import io

import pytest
from rich.console import Console

from experiments.lab.definition.experiment import Task
from experiments.lab.definition.settings import contender
from experiments.lab.running.runner import Evaluated, Position, Progress
from experiments.lab.showing import plan, screen


def figures(iqm, mean):
    return {"iqm": iqm, "ci95": [None if iqm is None else iqm + far for far in (-1.0, 2.0)], "mean": mean, "env_steps": 18432,
            "steps_per_second": 1234.5, "compile_seconds": 3.21, "run_seconds": 4.56}  # fmt: skip


def test_the_table_has_a_row_a_contender_best_iqm_first_and_one_without_last():
    found = {"low": figures(1.0, 99.0), "none": figures(None, None), "high": figures(2.0, 0.0)}
    (table,) = screen.results_tables({"seeds": [0, 1], "environments": {"Cart": {"algorithms": found}}})
    cells = [list(column.cells) for column in table.columns]
    assert cells[0] == ["high", "low", "none"]
    assert cells[1] == ["2.000", "1.000", "-"]
    assert cells[2] == ["1.000 to 4.000", "0.000 to 3.000", "-"]
    assert cells[3] == ["0.000", "99.0", "-"]
    assert [column[0] for column in cells[4:]] == ["1,234", "3.2", "4.6"] and table.caption is None
    found["low"]["env_steps"] = 20_000
    (table,) = screen.results_tables({"seeds": [0, 1], "environments": {"Cart": {"algorithms": found}}})
    assert table.caption == "steps of a seed: low 20,000, none 18,432, high 18,432"


def test_at_80_columns_two_points_of_a_sweep_can_be_told_apart_in_the_table():
    points = [f"my_longest_algorithm learning_rate=0.00{n}" for n in (1, 2)]
    found = {name: figures(-1000.25, -1000.25) for name in points}
    (table,) = screen.results_tables({"seeds": [0, 1], "environments": {"Cart": {"algorithms": found}}})
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(table)
    text = console.export_text()
    assert "…" not in text and all(f"0.00{n}" in text for n in (1, 2)), text


def test_at_80_columns_a_live_line_shows_its_value_and_names_an_environment_only_among_several():
    lines = [screen.Line("CartPole-v1", name, "compiled 8 s, ran 12 s", share=1.0, steps_per_second=99_000.0, last_value=419.6)
             for name in ("ppo", "reinforce")]  # fmt: skip

    def shown():
        console = Console(width=80, record=True, file=io.StringIO())
        console.print(screen.draw(lines))
        return console.export_text()

    assert "eval 419.6" in shown() and "ran 12 s" in shown() and "CartPole" not in shown()
    lines[1].environment = "Acrobot-v1"
    assert "CartPole-v1 ppo" in shown()


def test_the_time_left_is_the_time_so_far_for_what_is_left():
    a2c = contender("a2c", "CartPole-v1", 1000)
    line = screen.Line("CartPole-v1", "a2c")
    screen.update(line, Progress(Task("CartPole-v1", (a2c,)), (a2c,), 0.25, 5000, 10.0, Position([], [], [])))
    assert (line.share, line.steps_per_second, line.seconds_left) == (0.25, 500.0, 30.0)


def test_where_there_is_no_terminal_a_line_is_printed_at_each_quarter_and_at_the_end_whenever_evaluations_come(capsys):
    a2c = contender("a2c", "CartPole-v1", 1000)
    task, line = Task("CartPole-v1", (a2c,)), screen.Line("CartPole-v1", "a2c")
    for number in range(1, 8):  # of seven evaluations the second, fourth, sixth and last are the first of a quarter
        screen.update(line, Progress(task, (a2c,), number / 7, 5000, 10.0, Position([], [], [])))
        screen.update(line, Evaluated(task, (a2c,), a2c, 1.0, []))
        screen.tell(line, Evaluated(task, (a2c,), a2c, 1.0, []), Console(width=200))
    assert [x.split()[2] for x in capsys.readouterr().out.splitlines()] == ["29%,", "57%,", "86%,", "100%,"]


@pytest.mark.parametrize("seconds, words", [(0.4, "0:00"), (75, "1:15"), (3599.6, "1:00:00"), (3661, "1:01:01")])
def test_a_duration_is_in_hours_minutes_and_seconds(seconds, words):
    assert screen.duration(seconds) == words


def test_the_plan_and_verdicts_are_cut_between_words_in_a_terminal_and_whole_elsewhere():
    verdict = f"ppo_with_a_long_name against a2c: {'no difference shown; ' * 8}end"
    for text in (screen.told([verdict, "  further in " + verdict], Console(force_terminal=True, width=80)),
                 plan.wrapped(f"{verdict}\n  further in {verdict}", 80)):  # fmt: skip
        lines = text.splitlines()
        assert max(map(len, lines)) <= 80 and len(lines) > 4
        assert " ".join(text.split()) == " ".join(f"{verdict} further in {verdict}".split())
        second = next(place for place, line in enumerate(lines) if "further in" in line)
        assert lines[1].startswith("  ") and lines[second + 1].startswith("    ")
    assert screen.told([verdict, verdict], Console(force_terminal=False, width=80)) == f"{verdict}\n{verdict}"
