"""Lanes take work when they are free, whatever becomes of the others."""

import threading
import time

import pytest

from experiments.lab.running import lanes
from experiments.lab.running.lanes import Work


def nothing():
    pass


def work_of(amounts, home, piece=lambda lane, block: None):
    """Returns (work of so much each, one unit a piece; what was done, as (lane, block) in order; who is at work)."""
    left, made, at_work = list(amounts), [], []

    def one(lane, block):
        assert block not in at_work
        at_work.append(block)
        piece(lane, block)
        at_work.remove(block)
        left[block] -= 1
        made.append((lane, block))

    return Work(list(home), left.__getitem__, one), made, at_work


def test_every_block_is_done_to_its_end_and_never_by_two_lanes_at_once():
    work, made, _ = work_of([5, 1, 7, 0, 3], [0, 1, 2, 0, 1], lambda lane, _: time.sleep(0.002 * lane))
    list(lanes.done(work, 3, 1e9, nothing))
    assert sorted(block for _, block in made) == [0] * 5 + [1] + [2] * 7 + [4] * 3


def test_a_lane_that_is_slow_holds_nobody_up():
    work, made, _ = work_of([10] * 6, [0, 1] * 3, lambda lane, _: time.sleep(0.02 if lane == 0 else 0.002))
    began = time.monotonic()
    list(lanes.done(work, 2, 1e9, nothing))
    slow = sum(lane == 0 for lane, _ in made)
    assert 0 < slow < 15 and time.monotonic() - began < 0.5  # half of the work was its own, 0.6 s of it


def test_blocks_stay_where_they_are_as_long_as_nobody_is_idle_and_the_only_one_of_a_lane_is_never_taken():
    work, made, _ = work_of([20, 20], [0, 1], lambda *_: time.sleep(0.001))
    list(lanes.done(work, 2, 1e9, nothing))
    assert set(made) == {(0, 0), (1, 1)}
    work, made, _ = work_of([30], [1], lambda *_: time.sleep(0.001))
    list(lanes.done(work, 2, 1e9, nothing))
    assert work.home in ([0], [1]) and len({lane for lane, _ in made}) == 1


def test_whoever_halts_the_lanes_finds_them_idle_until_the_next_look():
    work, made, at_work = work_of([40] * 4, [0, 1, 0, 1], lambda *_: time.sleep(0.002))
    looks = 0
    for now in lanes.done(work, 2, 0.01, nothing):
        looks += 1
        now.halt(nothing)
        before = len(made)
        time.sleep(0.01)
        assert not at_work and len(made) == before
    assert looks > 2 and len(made) == 160


def test_what_fails_on_a_lane_is_raised_once_the_others_have_left_off():
    def failing(lane, block):
        time.sleep(0.002)
        if block == 1:
            raise ZeroDivisionError(lane)

    work, made, at_work = work_of([100] * 3, [0, 1, 2], failing)
    with pytest.raises(ZeroDivisionError):
        list(lanes.done(work, 3, 1e9, nothing))
    assert at_work == [1] and len(made) < 20


def test_who_stops_looking_stops_the_lanes():
    work, made, at_work = work_of([1000] * 2, [0, 1], lambda *_: time.sleep(0.001))
    looks = lanes.done(work, 2, 0.0, nothing)
    next(looks)
    looks.close()
    before = len(made)
    time.sleep(0.02)
    assert not at_work and len(made) == before < 1000


def test_a_signal_is_looked_for_while_a_piece_goes_on_and_on():
    over, asked = threading.Event(), []

    def waiting():
        asked.append(0)
        if len(asked) == 3:
            over.set()

    work, _, _ = work_of([1], [0], lambda *_: over.wait(20.0))
    list(lanes.done(work, 1, 0.0, waiting))
    assert over.is_set() and len(asked) >= 3
