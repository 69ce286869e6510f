"""What a run computes on: cores and memory, flags and settings, the cache of compiled programs, whatever the machine."""

import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from algos import a2c
from experiments.lab.commands.cli import BadInput
from experiments.lab.definition.blocks import with_width
from experiments.lab.definition.experiment import Contender, Experiment, Task, trials_held
from experiments.lab.machine import compiled_programs, devices, flags, folders, hardware, products
from experiments.lab.recording import difference
from experiments.lab.running import programs

NOWHERE = Path("/proc/nowhere")  # which not even root can make


def groups(tmp_path, own, **files):
    """Returns (where control groups are mounted, the file that says which are this process's), made of the files."""
    for name, content in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (tmp_path / "own").write_text(own)
    return tmp_path / "cgroup", tmp_path / "own"


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, math.inf),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/a/b\n", {"a/b/cpu.max": "400000 100000\n", "a/cpu.max": "200000 100000\n"}, 2.0),
        ("0::/not/seen/from/here\n", {"cpu.max": "50000 100000\n"}, 0.5),
        ("4:cpu,cpuacct:/x\n", {"cpu/x/cpu.cfs_quota_us": "300000\n", "cpu/x/cpu.cfs_period_us": "100000\n"}, 3.0),
        ("4:cpu:/docker/x\n", {"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "50000\n"}, 2.0),
        ("4:cpu:/x\n", {"cpu/x/cpu.cfs_quota_us": "-1\n", "cpu/x/cpu.cfs_period_us": "100000\n"}, math.inf),
        ("5:memory:/x\n", {"memory/x/cpu.max": "100 100\n"}, math.inf),
        ("0::/\n", {"cpu.max": "nonsense\n"}, math.inf),
    ],
)
def test_the_quota_is_the_least_of_the_processs_own_groups_and_those_above_in_either_version(
    own, files, expected, tmp_path
):
    assert hardware.quota(*groups(tmp_path, own, **files)) == expected


def test_where_there_are_no_control_groups_there_is_no_quota():
    assert hardware.quota(NOWHERE, NOWHERE) == math.inf


@pytest.mark.parametrize(("quota", "cores"), [(math.inf, 8), (2.0, 2), (1.5, 2), (0.3, 1), (64.0, 8)])
def test_a_part_of_a_core_counts_as_one_and_no_quota_adds_cores(quota, cores, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(hardware, "quota", lambda: quota)
    assert hardware.cores() == cores


def test_no_more_lanes_than_cores_and_blocks_and_each_a_client_of_its_own(monkeypatch):
    monkeypatch.setattr(devices, "cores", lambda: 3)
    assert [len(devices.lanes(blocks)) for blocks in (1, 2, 3, 9)] == [1, 2, 3, 3]
    assert len({id(device.client) for device in [*devices.lanes(3), jax.devices()[0]]}) == 4
    assert os.environ["NPROC"] == "1"


def test_where_the_system_does_not_say_how_much_memory_is_free_there_is_no_limit(monkeypatch):
    monkeypatch.delattr(os, "sysconf")
    assert hardware.free_memory(NOWHERE) == sys.maxsize
    assert hardware.free_memory() < sys.maxsize


def test_the_users_own_xla_flags_win_and_ours_are_added(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=/x --xla_cpu_prefer_vector_width=256")
    monkeypatch.setattr(devices, "started", lambda: False)
    devices.prepare()
    devices.prepare()
    assert os.environ["XLA_FLAGS"] == (
        "--xla_dump_to=/x --xla_cpu_prefer_vector_width=256 "
        "--xla_cpu_multi_thread_eigen=false --xla_backend_optimization_level=1 "
        "--xla_cpu_experimental_ynn_fusion_type=LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT "
        "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=32768"
    )
    assert flags.beside_ours(os.environ["XLA_FLAGS"]) == "--xla_dump_to=/x"
    assert flags.options() == {**flags.OPTIONS, "xla_cpu_prefer_vector_width": 256}
    found = flags.in_force("cpu")
    assert found["XLA_FLAGS"] == "--xla_dump_to=/x" and "width=256" in found["options"]
    monkeypatch.setenv("XLA_FLAGS", flags.of({"flags": found}))
    assert flags.in_force("cpu") == found


ASKED = "--xla_cpu_max_isa=AVX --xla_cpu_enable_platform_dependent_math=false"


def test_a_portable_run_asks_for_it_before_jax_starts_and_in_every_program_and_the_manifest_says_so(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=/x")
    monkeypatch.setattr(devices, "started", lambda: False)
    monkeypatch.setattr(devices, "portable_in_force", lambda: True)
    asked = []
    monkeypatch.setattr(products, "in_one_form", lambda: asked.append("products"))
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "")
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    assert not flags.PORTABLE.keys() & flags.options().keys() and not flags.is_portable(os.environ["XLA_FLAGS"])
    devices.start()
    assert not asked
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=/x")
    devices.start(portable=True)
    devices.start()  # as whatever runs afterwards does
    assert asked == ["products"] * 2
    assert os.environ["XLA_FLAGS"].startswith(f"--xla_dump_to=/x {ASKED} --xla_cpu_multi_thread_eigen=false")
    assert flags.options() == {**flags.OPTIONS, **flags.PORTABLE}
    assert compiled_with()[0] == [{**flags.OPTIONS, **flags.PORTABLE}] * 3
    found = flags.in_force("cpu")
    assert found["XLA_FLAGS"] == "--xla_dump_to=/x" and found["options"].endswith(ASKED)
    assert found["ONEDNN_MAX_CPU_ISA"] == os.environ["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    assert flags.is_portable(flags.of({"flags": found})) and flags.options("gpu") == flags.GPU_OPTIONS
    monkeypatch.setenv("XLA_FLAGS", flags.of({"flags": found}))
    assert flags.in_force("cpu") == found


def test_a_portable_run_is_refused_where_it_would_not_be_one(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", f"--xla_dump_to=/x {ASKED}")
    with pytest.raises(BadInput, match="jax started without what a portable run asks of it"):
        devices.start(portable=True)
    assert os.environ["XLA_FLAGS"] == "--xla_dump_to=/x"
    monkeypatch.setattr(devices, "started", lambda: False)
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_max_isa=AVX512")
    with pytest.raises(BadInput, match="XLA_FLAGS sets --xla_cpu_max_isa=AVX512, and --portable needs AVX"):
        devices.prepare(portable=True)
    monkeypatch.delenv("XLA_FLAGS")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE")
    with pytest.raises(BadInput, match="ONEDNN_MAX_CPU_ISA is AVX512_CORE, and --portable needs AVX2"):
        devices.prepare(portable=True)
    monkeypatch.setattr(devices, "told", lambda _: "fpu avx avx2")
    with pytest.raises(BadInput, match="needs a processor with fma$"):
        devices.prepare(portable=True)
    monkeypatch.setattr(devices.machine, "machine", lambda: "aarch64")
    with pytest.raises(BadInput, match="x86 processors, and this is aarch64"):
        devices.prepare(portable=True)
    assert "XLA_FLAGS" not in os.environ


def test_a_portable_run_is_one_of_cpus(monkeypatch):
    monkeypatch.setattr(devices, "platform", lambda: "gpu")
    with pytest.raises(BadInput, match="--portable is for CPUs, and this is a gpu"):
        devices.start(portable=True)


def test_whether_jax_started_portable_can_be_told():
    script = "from experiments.lab.machine import devices as d; d.start({}); print(d.portable_in_force())"
    plain = {name: value for name, value in os.environ.items() if name not in flags.FROM_US}
    for portable in (False, True):
        command = [sys.executable, "-c", script.format(portable)]
        assert subprocess.run(command, env=plain, capture_output=True, text=True).stdout == f"{portable}\n"


def test_once_jax_has_started_no_flags_are_set_that_it_would_not_read_and_programs_have_theirs_all_the_same(
    monkeypatch,
):
    monkeypatch.delenv("XLA_FLAGS")
    devices.prepare()
    assert "XLA_FLAGS" not in os.environ and "XLA_FLAGS" not in flags.in_force("cpu")
    assert compiled_with() == ([flags.OPTIONS] * 3, [None] * 3)


def compiled_with(once=()):
    """Returns (the options that three programs are compiled with, the precision of products that they are traced with)."""
    options, precisions = [], []

    def compile(compiler_options):
        options.append(compiler_options)

    def lower(*_):
        precisions.append(jax.config.jax_default_matmul_precision)
        return SimpleNamespace(compile=compile)

    function = SimpleNamespace(lower=lower)
    functions = {name: (function, (np.zeros(1),)) for name in ("begin", "advance", "judge")}
    programs.compile_on(jax.devices()[:1], functions, once)
    return options, precisions


def test_what_runs_once_is_compiled_without_making_it_fast_on_cpus_alone(monkeypatch):
    options, _ = compiled_with({"begin"})
    ours = flags.options()
    assert len(options) == 3 and all(one in options for one in (ours, ours | flags.ONCE))
    assert options.count(ours) == 2
    monkeypatch.setattr(devices, "platform", lambda: "gpu")
    assert compiled_with({"begin"})[0] == [flags.GPU_OPTIONS] * 3


def test_xla_takes_the_options_of_what_runs_once_and_computes_the_same():
    x = np.linspace(-2.0, 2.0, 64, dtype=np.float32).reshape(8, 8)
    program = jax.jit(lambda x: jnp.tanh(x @ x).sum(axis=0)).lower(x).compile(compiler_options=flags.options_of_once())
    np.testing.assert_allclose(program(x), np.tanh(x.astype(float) @ x).sum(axis=0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("steps", "is_light", "once"),
    [
        (0, True, {"begin", "begin_evaluation"}),
        (programs.FEW_STEPS, True, {"begin", "begin_evaluation"}),
        (programs.FEW_STEPS + 1, True, {"begin_evaluation"}),
        (0, False, set()),
    ],
)
def test_what_begins_is_made_fast_where_a_replay_memory_is_filled_or_the_environment_is_not_ours(
    steps, is_light, once, monkeypatch
):
    asked = []
    monkeypatch.setattr(programs, "compile_on", lambda lanes, functions, once: asked.append(once) or [])
    env = envs.make("CartPole-v1")
    algorithm = a2c.make(env)._replace(steps_in_init=steps)
    programs.compile_programs(env, algorithm, a2c.HParams(), jax.devices()[:1], 1, 4, is_light)
    assert asked == [once]


def test_on_a_gpu_programs_are_deterministic_with_products_in_float32_unless_the_user_says_else(monkeypatch):
    monkeypatch.setattr(devices, "platform", lambda: "gpu")
    assert compiled_with() == ([{"xla_gpu_deterministic_ops": True}] * 3, ["float32"] * 3)
    found = flags.in_force("gpu")
    assert found["options"] == "--xla_gpu_deterministic_ops=true" and found["products"] == "float32"
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_deterministic_ops=false")
    with jax.default_matmul_precision("tensorfloat32"):
        assert compiled_with() == ([{"xla_gpu_deterministic_ops": False}] * 3, ["tensorfloat32"] * 3)
        assert flags.in_force("gpu")["products"] == "tensorfloat32"


def test_on_a_device_that_xlas_gpu_options_mean_nothing_to_programs_have_none(monkeypatch):
    monkeypatch.setattr(devices, "platform", lambda: "tpu")
    assert compiled_with() == ([{}] * 3, ["float32"] * 3)


def test_xla_knows_the_options_of_every_platform():
    for options in (*flags.OF_PLATFORM.values(), flags.PORTABLE):
        jax.jit(lambda x: x + 1).lower(0.0).compile(compiler_options=options)


@pytest.mark.parametrize(
    ("told", "plugins", "alone"),
    [("cpu", True, True), ("", True, False), ("", False, True), ("cuda", False, False), ("cuda,cpu", True, False)],
)
def test_where_jax_may_find_a_gpu_xla_is_not_told_a_level_below_those_it_can_write_gpu_code_at(
    told, plugins, alone, monkeypatch
):
    monkeypatch.setenv("JAX_PLATFORMS", told)
    monkeypatch.delenv("XLA_FLAGS")
    monkeypatch.delenv("NPROC")
    monkeypatch.setattr(devices, "started", lambda: False)
    monkeypatch.setattr(devices.importlib.util, "find_spec", lambda name: plugins and name == "jax_plugins")
    monkeypatch.setattr(devices.metadata, "entry_points", lambda group: ())
    devices.prepare()
    assert ("optimization_level" in os.environ["XLA_FLAGS"]) == ("NPROC" in os.environ) == alone
    assert "--xla_cpu_multi_thread_eigen=false" in os.environ["XLA_FLAGS"]


def test_starting_on_an_accelerator_sets_the_precision_of_every_product(monkeypatch):
    monkeypatch.setattr(devices, "platform", lambda: "gpu")
    try:
        devices.start()
        assert jax.config.jax_default_matmul_precision == "float32"
    finally:
        jax.config.update("jax_default_matmul_precision", None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JAX_ENABLE_X64", "1"),
        ("JAX_ENABLE_X64", "True"),
        ("JAX_DISABLE_JIT", "on"),
        ("JAX_DEFAULT_PRNG_IMPL", "rbg"),
        ("JAX_DEFAULT_PRNG_IMPL", "nonsense"),
        ("JAX_THREEFRY_PARTITIONABLE", "0"),
        ("JAX_NUMPY_DTYPE_PROMOTION", "strict"),
        ("JAX_NUMPY_RANK_PROMOTION", "raise"),
    ],
)
def test_a_variable_under_which_a_run_would_be_another_is_named(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    with pytest.raises(BadInput, match=f"{name} is {value}"):
        devices.prepare()


@pytest.mark.parametrize(("name", "value"), [("JAX_ENABLE_X64", "0"), ("JAX_THREEFRY_PARTITIONABLE", "true")])
def test_a_variable_that_says_what_jax_does_anyway_is_no_matter(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    devices.prepare()


def test_a_setting_that_a_users_code_changed_is_named_too():
    with jax.enable_x64(True), pytest.raises(BadInput, match="JAX_ENABLE_X64 is True"):
        devices.start()


@pytest.mark.parametrize("error", [RuntimeError("no backend foo\nmore"), AssertionError()])
def test_where_jax_cannot_start_the_platform_asked_for_is_named_in_one_line(error, monkeypatch):
    def fail():
        raise error

    monkeypatch.setenv("JAX_PLATFORMS", "foo")
    monkeypatch.setattr(jax, "devices", fail)
    with pytest.raises(BadInput, match="JAX_PLATFORMS=foo: (no backend foo|AssertionError)$"):
        devices.start()


def test_programs_are_kept_apart_by_the_version_of_jaxlib_and_the_kind_of_processor(monkeypatch):
    found = {compiled_programs.folder()}
    monkeypatch.setattr(compiled_programs, "told", {"model name": "same", "flags": "fpu avx2"}.get)
    found.add(compiled_programs.folder())
    monkeypatch.setattr(compiled_programs, "told", {"model name": "same", "flags": "fpu avx512f"}.get)
    found.add(compiled_programs.folder())
    monkeypatch.setattr(compiled_programs.metadata, "version", lambda _: "0.0")
    found.add(compiled_programs.folder())
    assert len(found) == 4


def test_a_program_without_a_time_of_use_is_deleted_only_when_no_process_can_be_writing_it_still(tmp_path):
    for name in ("killed-cache", "writing-cache", "whole-cache", "whole-atime"):
        (tmp_path / name).touch()
    for name in ("killed-cache", "whole-cache"):
        os.utime(tmp_path / name, (0, 0))
    compiled_programs.mend(tmp_path, os.stat(tmp_path / "writing-cache").st_mtime + 60)
    assert {path.name for path in tmp_path.iterdir()} == {"writing-cache", "whole-cache", "whole-atime"}


def test_where_home_cannot_be_written_programs_and_matplotlibs_settings_are_kept_for_the_process(monkeypatch):
    set_before = jax.config.jax_compilation_cache_dir
    for name in ("JAX_COMPILATION_CACHE_DIR", "MPLCONFIGDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(compiled_programs, "folder", lambda: NOWHERE / "programs")
    monkeypatch.setattr(folders.platformdirs, "user_config_dir", lambda name: str(NOWHERE / name))
    monkeypatch.setattr(compiled_programs, "sys", SimpleNamespace(modules={}))  # jax's own setting stays
    compiled_programs.keep()
    folders.give_matplotlib_one()
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == str(folders.temporary() / "programs")
    assert os.environ["MPLCONFIGDIR"] == str(folders.temporary()) and folders.temporary().is_dir()
    assert jax.config.jax_compilation_cache_dir == set_before
    os.environ.pop("JAX_COMPILATION_CACHE_DIR"), os.environ.pop("MPLCONFIGDIR")


@pytest.mark.parametrize(
    ("on_cpu", "trials", "width"),
    [(True, None, 1), (True, "map", 1), (True, "vmap", 5), (False, None, 32), (False, "map", 1), (False, "vmap", 32)],
)
@pytest.mark.parametrize("seeds", [1, 10, 100])
def test_the_width_follows_from_the_kind_of_device_and_never_from_the_number_of_seeds(
    on_cpu, trials, width, seeds, monkeypatch
):
    monkeypatch.setattr(devices, "on_cpu", lambda: on_cpu)
    one = Contender("a", None, None, None)
    chosen = with_width(Experiment((Task("x", (one,)),), tuple(range(seeds)), 1), trials)
    assert chosen.width == width and trials_held(chosen, (one,)) == -(-seeds // width) * width


def test_surroundings_that_decide_speed_alone_are_no_reason_for_other_bits():
    here = {"device": {"count": 2, "machine": "a"}, "flags": {"NPROC": "1", "options": "--x"}}
    there = {"device": {"count": 1, "machine": "b"}, "flags": {"NPROC": "2", "options": "--y"}}
    rows = difference.surroundings(here, there)
    assert [row.what for row in rows] == ["device count", "device machine", "flags NPROC", "flags options"]
    assert [row.what for row in difference.deciding(rows)] == ["device machine", "flags options"]


def test_registering_an_environment_and_importing_an_experiment_start_no_jax_and_import_no_gymnax():
    script = """
import sys, envs
envs.register("mine", lambda: None)
import experiments.cartpole
from experiments.lab.machine import devices
assert "mine" in envs.ids() and "gymnax" not in sys.modules and not devices.started()
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_ids_that_are_told_without_gymnax_are_gymnaxs():
    assert {*envs.IDS, envs.NEEDS_NETWORK} == set(gymnax.registered_envs)
