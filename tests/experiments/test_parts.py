"""The benchmarks' own arithmetic: where a kernel comes from, what an update's products are, and how speeds are read."""

import importlib
import sys
from collections import Counter

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from algos import ppo
from experiments.benchmarks import parts, scaling, updates

HLO = f"""HloModule one

FileNames
1 "{parts.HERE}/algos/ppo.py"
2 "{parts.HERE}/algos/core/losses.py"
3 "/elsewhere/jax/numpy.py"

FunctionNames
1 "loss"
2 "mean"
3 "sum"

FileLocations
1 {{file_name_id=1 function_name_id=1 line=4 end_line=4 column=1 end_column=2}}
2 {{file_name_id=2 function_name_id=2 line=9 end_line=9 column=1 end_column=2}}
3 {{file_name_id=3 function_name_id=3 line=1 end_line=1 column=1 end_column=2}}

StackFrames
1 {{file_location_id=1 parent_frame_id=1}}
2 {{file_location_id=2 parent_frame_id=2}}
3 {{file_location_id=3 parent_frame_id=3}}
4 {{file_location_id=3 parent_frame_id=1}}


ENTRY %main (x: f32[4]) -> f32[4] {{
  %x = f32[4]{{0}} parameter(0)
  %product = f32[4]{{0}} multiply(%x, %x), metadata={{op_name="a" stack_frame_id=1}}
  %sum_fusion = f32[] fusion(%product), kind=kLoop, calls=%f, metadata={{op_name="b" stack_frame_id=3}}
  %while.1 = (s32[], f32[4]{{0}}) while(%t), condition=%c, body=%b, metadata={{op_name="c" stack_frame_id=2}}
  ROOT %other = f32[4]{{0}} negate(%product), metadata={{op_name="d" stack_frame_id=4}}
}}
"""


def test_a_kernel_belongs_to_the_innermost_function_of_ours_and_a_loop_to_none():
    found = parts.sources(HLO)
    expected = {"x": "elsewhere", "product": "algos/ppo.py loss", "sum_fusion": "algos/core/losses.py mean"}
    assert found == expected | {"other": "elsewhere"}


def test_the_frames_of_a_compiled_loss_are_read_as_this_version_of_xla_writes_them():
    observation, ones = jnp.ones((4, 3)), jnp.ones(4)

    def summed(x):
        return ppo.losses.mean(ppo.losses.squared(x), ones) + 0.0 * jnp.sum(observation)

    found = parts.sources(jax.jit(summed).lower(ones).compile().as_text())
    assert any(place.startswith("algos/core/losses.py ") for place in found.values())


def test_what_is_no_kernel_of_the_program_is_not_counted():
    kernels = Counter({"product": 2.0, "sum_fusion": 3.0, "while.1": 50.0, "python": 9.0})
    counted = parts.by_function(kernels, parts.sources(HLO))
    assert counted == {"algos/ppo.py loss": 2.0, "algos/core/losses.py mean": 3.0}


def test_the_table_has_the_largest_first_and_what_is_beyond_its_rows_in_one():
    shown = parts.table("one", Counter({"a": 10.0, "b": 60.0, "c": 20.0, "d": 10.0}), 120.0, 2, 10)
    rows = list(zip(*(column.cells for column in shown.columns)))
    assert [row[0] for row in rows[:3]] == ["b", "c", "2 others"]
    assert rows[0][1:] == ("60.0", "60.0%", "6.000") and rows[2][1:] == ("20.0", "20.0%", "2.000")
    assert rows[4][1:] == ("120.0", "", "12.000")


def test_the_arithmetic_of_products_is_counted_in_loops_calls_and_gradients():
    def one(weights, x):
        return jnp.sum(x @ weights)  # 2 * 4 * 3 * 5

    def many(weights, x):
        total, _ = lax.scan(lambda total, _: (total + jax.jit(one)(weights, x), None), 0.0, length=7)
        return total

    given = jnp.ones((3, 5)), jnp.ones((4, 3))
    assert updates.flops(jax.make_jaxpr(one)(*given).jaxpr) == 120.0
    assert updates.flops(jax.make_jaxpr(many)(*given).jaxpr) == 840.0
    assert updates.flops(jax.make_jaxpr(jax.grad(one))(*given).jaxpr) == 240.0


def test_another_checkouts_algorithm_is_another_module_and_ours_stays(tmp_path):
    for folder in ("algos", "envs"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
    (tmp_path / "algos" / "ppo.py").write_text("WHOSE = 'theirs'\n")
    (tmp_path / "envs" / "late.py").write_text("WHOSE = 'theirs'\n")
    with updates.loaded(tmp_path, "algos.ppo") as (theirs, envs):
        assert theirs.WHOSE == "theirs" and envs.__file__ == str(tmp_path / "envs" / "__init__.py")
        assert importlib.import_module("envs.late").WHOSE == "theirs"
    with updates.loaded(updates.HERE, "algos.ppo") as (ours, _):
        assert ours is ppo and sys.modules["algos.ppo"] is ppo and "envs.late" not in sys.modules


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--algos", "pop"], "unknown algorithm 'pop'"),
        (["--against", "/nowhere"], "/nowhere is no checkout"),
        (["--options", "xla_cpu_max_isa"], "options are name=value"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(words, what):
    given = {"--algos": ("algos", tuple), "--against": ("against", updates.Path), "--options": ("options", tuple)}
    name, kind = given[words[0]]
    args = updates.Args(**{name: kind([words[1]]) if kind is tuple else kind(words[1])})
    with pytest.raises(updates.BadInput, match=what):
        updates.main(args)


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
