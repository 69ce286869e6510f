"""The benchmarks' own arithmetic, and that what is timed in a loop is not moved out of it."""

import re

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks import parts, scaling
from experiments.benchmarks.parts import Part

HLO = """HloModule two, entry_computation_layout={(f32[4]{0})->f32[4]{0}}

%fused (p.1: f32[4]) -> f32[4] {
  %p.1 = f32[4]{0} parameter(0)
  ROOT %sine.2 = f32[4]{0} sine(%p.1), metadata={op_name="a = b"}
}

ENTRY %main (x: f32[4]) -> f32[4] {
  x = f32[4]{0} parameter(0)
  ROOT %sine_fusion = f32[4]{0} fusion(x), kind=kLoop, calls=%fused
}
"""


def part(name, times, counted=True):
    return Part(name, times, None, None, None, counted)


def computations_inside(hlo, name):
    """Returns the text of a computation and of all that it calls."""
    bodies = dict(re.findall(r"^(?:ENTRY )?%?([\w.\-]+) \(.*?\{$(.*?)^\}", hlo, re.MULTILINE | re.DOTALL))
    called = set(re.findall(r"%([\w.\-]+)", bodies[name])) & bodies.keys() - {name}
    return bodies[name] + "".join(computations_inside(hlo, one) for one in sorted(called))


def loop_bodies(part):
    hlo = parts.looped(part).lower(jnp.int32(1), part.moving, part.fixed).compile().as_text()
    return "".join(computations_inside(hlo, name) for name in re.findall(r"body=%([\w.\-]+)", hlo))


def sine(fixed, x):
    return jnp.sin(x) + fixed


def test_the_rest_is_what_the_whole_takes_beyond_the_parts_that_count():
    measured = [part("whole", 1), part("acting", 1), part("a part of acting", 1, False), part("update", 4)]
    assert parts.rest(measured, [100.0, 30.0, 25.0, 15.0]) == 10.0
    assert parts.rest(measured, [100.0, 50.0, 25.0, 15.0]) == -10.0


def test_the_table_shows_each_part_by_update_by_share_and_by_environment_step():
    measured = [part("whole", 1), part("acting", 1), part("update", 4), part("for comparison", 0, False)]
    table = parts.table("one", measured, [1000.0, 300.0, 150.0, 7.0], 100)
    rows = list(zip(*(column.cells for column in table.columns)))
    assert rows[0] == ("acting", "300.0", "1", "300.0", "30.0%", "3.000")
    assert rows[1] == ("update", "150.0", "4", "600.0", "60.0%", "6.000")
    assert rows[2][1:] == ("7.0", "", "", "", "")
    assert rows[3] == ("rest", "", "", "100.0", "10.0%", "1.000")
    assert rows[4] == ("whole update", "1,000.0", "1", "1,000.0", "100.0%", "10.000")


def test_instructions_are_counted_inside_fusions_and_nothing_else_is():
    assert parts.count_instructions(HLO) == 4


def test_a_tied_function_is_computed_in_the_loop_and_an_untied_one_is_not():
    arrays, fixed = parts.still(jnp.ones(4)), jnp.ones(4)
    untied = Part("", 1, lambda x, fixed: (x, sine(fixed, x)), jnp.ones(4), fixed)
    assert "sine(" in loop_bodies(Part("", 1, parts.tied(sine), arrays, fixed))
    assert "sine(" not in loop_bodies(untied)


def test_a_tied_function_meets_the_same_arrays_in_every_run():
    x, fixed = jnp.array([0.5, -2.0]), jnp.float32(3.0)
    loop = parts.looped(Part("", 1, parts.tied(sine), parts.still(x), fixed))
    (_, (moved,)), outputs = loop(jnp.int32(7), parts.still(x), fixed)
    np.testing.assert_array_equal(moved, x)
    np.testing.assert_allclose(outputs, np.sin([0.5, -2.0]) + 3.0, rtol=1e-6)


def test_a_loop_makes_as_many_runs_as_it_is_told():
    def body(moving, fixed):
        return moving + fixed, moving

    moved, last = parts.looped(Part("", 1, body, jnp.int32(0), jnp.int32(2)))(jnp.int32(5), jnp.int32(0), jnp.int32(2))
    assert (moved, last) == (10, 8)


@pytest.mark.parametrize(("microseconds", "runs"), [(1.0, 20_000), (1_000.0, 20), (50_000.0, 1)])
def test_a_slice_holds_as_many_runs_as_fit_and_at_least_one(microseconds, runs):
    assert parts.enough_runs(lambda runs: runs * microseconds * 1e-6) == pytest.approx(runs, rel=1e-9)


def test_minibatches_take_turns():
    minibatches = {"x": jnp.arange(6).reshape(3, 2)}
    assert [parts.turn(minibatches, jnp.int32(made))["x"].tolist() for made in (0, 2, 4)] == [[0, 1], [4, 5], [2, 3]]


def test_chunks_count_from_the_end_of_the_warm_up_until_the_time_is_over():
    chunks = [(10.0, 0), (10.5, 40), (11.0, 100), (12.0, 300), (13.0, 700), (14.0, 1_200), (15.0, 9_999)]
    assert scaling.chunk_rates(iter(chunks)) == [200.0, 400.0, 500.0]


def test_a_chunk_longer_than_the_time_still_counts():
    assert scaling.chunk_rates(iter([(5.0, 100), (25.0, 200), (45.0, 400), (65.0, 600)])) == [10.0]


def test_rollouts_are_shortened_only_where_the_batch_would_grow_beyond_its_limit():
    lengths = {num_envs: scaling.num_steps(num_envs) for num_envs in (1, 4, 64, 256, 1024, 4096)}
    assert lengths == {1: 128, 4: 128, 64: 128, 256: 32, 1024: 8, 4096: 8}


@pytest.mark.parametrize("cores", [1, 2, 6, 20, 64])
def test_every_device_of_every_setting_has_a_core_and_a_block_of_seeds(cores):
    axes = scaling.all_axes(cores)
    settings = scaling.settings_of(axes)
    assert len(settings) == len(set(settings))
    for setting in settings:
        assert 1 <= setting.devices <= cores and setting.devices * setting.width < setting.seeds + setting.width
    (counts,) = axes["devices"].lines.values()
    assert {1, cores} <= counts.keys()
    assert all(setting.seeds % count == 0 and setting.devices == count for count, setting in counts.items())


def test_axes_hold_what_they_say():
    axes = scaling.all_axes(2)
    assert list(axes["envs"].lines[""]) == [1, 4, 16, 64, 256, 1024, 4096]
    assert list(axes["seeds"].lines[""]) == [1, 2, 4, 8, 16, 32, 64]
    assert list(axes["network"].lines[""]) == [16, 32, 64, 128, 256, 512]
    assert {name: list(line) for name, line in axes["width"].lines.items()} == {
        "10 seeds": [1, 2, 5, 10],
        "1 seed": [1, 2, 5, 10],
    }
    assert axes["width"].lines["10 seeds"][5] == scaling.Setting(seeds=10, width=5, devices=2)


def test_speeds_are_written_short():
    speeds = (8_930, 9_960, 165_432, 999_400, 999_600, 1_234_567)
    assert [scaling.short(speed) for speed in speeds] == ["8.9k", "10k", "165k", "999k", "1.0M", "1.2M"]
