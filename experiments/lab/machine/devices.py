"""What a run computes on, made ready before jax starts: XLA's flags, the compilation cache, and a lane a core.

Imports no jax by itself. XLA reads its flags and starts its threads when the first device is asked for.
"""

import contextlib
import functools
import importlib.util
import os
import platform as machine
import sys
from importlib import metadata
from typing import Any

from experiments.lab.commands.cli import BadInput
from experiments.lab.machine import compiled_programs, flags, products
from experiments.lab.machine.hardware import cores, told


def prepare(portable: bool = False) -> None:
    """Sets XLA's flags, but for those that the user's XLA_FLAGS name, and the compilation cache. Raises BadInput, in one
    line, for variables under which a run would not be what it should be.

    portable: with flags.PORTABLE, for processors that have what they ask for.
    """
    _refuse(flags.unfit(flags.in_variables(os.environ)))
    if portable:
        _refuse(flags.unfit_processor(machine.machine(), told("flags")))
    if portable and not started():
        try:
            os.environ |= flags.PRODUCTS | {"XLA_FLAGS": flags.portable(os.environ.get("XLA_FLAGS", ""))}
        except ValueError as error:
            _refuse(str(error))
    if not started():
        os.environ["XLA_FLAGS"] = flags.with_ours(os.environ.get("XLA_FLAGS", ""), cpu_alone())
        if cpu_alone():  # XLA's threads: with more it hands small operations from one to another; for GPUs they compile
            os.environ.setdefault("NPROC", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # XLA's notes on how a cached program was compiled
    compiled_programs.keep()


def start(portable: bool = False) -> None:
    """Starts jax, before any user's code can. Raises BadInput, in one line, where it cannot start, or was given settings
    that a run cannot do with. portable: as in `prepare`."""
    prepare(portable)
    import jax

    _refuse(flags.unfit(flags.in_jax()))
    try:
        jax.devices()
    except Exception as error:  # an AssertionError without words, for one
        why = (str(error) or type(error).__name__).splitlines()[0]
        _refuse(f"jax cannot start with JAX_PLATFORMS={os.environ.get('JAX_PLATFORMS', '')}: {why}")
    if portable and not on_cpu():
        _refuse(f"--portable is for CPUs, and this is a {platform()}: JAX_PLATFORMS=cpu stays on the CPU")
    if portable and not portable_in_force():
        os.environ["XLA_FLAGS"] = flags.without_portable(os.environ.get("XLA_FLAGS", ""))
        _refuse("jax started without what a portable run asks of it: start it in a process of its own")
    if flags.portable_here() and portable_in_force():
        try:
            products.in_one_form()
        except (AttributeError, KeyError):
            _refuse(f"--portable does not know how jax {jax.__version__} writes products: take another version of jax")
    if not on_cpu():  # for what is compiled beside the runs' programs, too
        jax.config.update("jax_default_matmul_precision", flags.precision())


def portable_in_force() -> bool:
    """Returns whether jax started with the instructions that flags.PORTABLE asks for. Programs cannot be compiled with fewer
    than it started with: XLA takes the option and does nothing."""
    from jaxlib import xla_client

    options = xla_client.CompileOptions()
    options.executable_build_options.debug_options  # noqa: B018  XLA_FLAGS are in it once it is asked for
    started = options.SerializeAsString()
    word = str(flags.PORTABLE["xla_cpu_max_isa"]).encode()
    return bytes([len(word)]) + word in started  # behind its length: AVX512 begins so too


def _refuse(why: str) -> None:
    if why:
        raise BadInput(why)


def started() -> bool:
    """Returns whether jax has started: XLA reads no flags any more."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    return bridge is not None and bridge.backends_are_initialized()


def cpu_alone() -> bool:
    """Returns whether jax can find nothing but CPUs: it is told so, or has no plugin for anything else."""
    told = os.environ.get("JAX_PLATFORMS")
    if told:
        return told == "cpu"
    folders = any(importlib.util.find_spec(name) for name in ("jax_plugins", "libtpu"))
    return not folders and not metadata.entry_points(group="jax_plugins")


def on_cpu() -> bool:
    """Returns whether this process computes on CPU cores."""
    return platform() == "cpu"


def platform() -> str:
    """Returns the kind of device that this process computes on: cpu, gpu, tpu."""
    import jax

    return jax.devices()[0].platform


def exact_products() -> contextlib.AbstractContextManager:
    """Returns the context in which a run's programs are traced: on an accelerator, products as flags.precision() says."""
    import jax

    return contextlib.nullcontext() if on_cpu() else jax.default_matmul_precision(flags.precision())


def count() -> int:
    """Returns how many blocks of trials may be computed at the same time: one on every core or accelerator."""
    import jax

    return cores() if on_cpu() else jax.device_count()


def lanes(blocks: int) -> list[Any]:
    """Returns a device for each block of trials that is computed at the same time, no more than there are blocks.

    On CPU each is of an XLA of its own, which has one thread: with several, XLA adds up large products and sums by as
    many parts as there are threads, and the number of cores would decide bits.
    """
    import jax

    number = min(blocks, count())
    return [_own_core(lane) for lane in range(number)] if on_cpu() else jax.devices()[:number]


@functools.cache
def _own_core(lane: int) -> Any:
    from jaxlib import xla_client

    before = os.environ.get("NPROC")
    os.environ["NPROC"] = "1"
    try:
        return xla_client.make_cpu_client().devices()[0]
    finally:
        os.environ.pop("NPROC")
        os.environ |= {} if before is None else {"NPROC": before}
