"""XLA's options and jax's settings: what a run needs, what the user's variables say, and what is in force.

Imports no jax by itself: XLA reads XLA_FLAGS once, as jax starts.
"""

import os
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

FROM_US = ("XLA_FLAGS", "NPROC")  # variables that `devices.prepare` sets, unless the user did
# What decides bits goes with every program of a run on CPU, whatever started jax before.
OPTIONS = {
    "xla_cpu_multi_thread_eigen": False,
    "xla_cpu_prefer_vector_width": 512,
    "xla_backend_optimization_level": 1,
    # Products go to a library one by one, and sums of large arrays stay XLA's own, as those of small ones are: then the number
    # of trials in a block decides no bit. Products in chains, `..._DOT`, take a tenth longer.
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT",
}
# XLA of jax 0.11 has the emitters always, and does not know the option.
NO_EMITTERS = {"xla_cpu_use_fusion_emitters": False} if metadata.version("jaxlib").startswith("0.10.") else {}
# In place of those of OPTIONS, whatever XLA_FLAGS say, for what runs once a trial or an evaluation and takes milliseconds as it is: to
# make it fast would take a second.
ONCE = {"xla_backend_optimization_level": 0, "xla_cpu_parallel_codegen_split_count": 1} | NO_EMITTERS
# Asked for by --portable, so that bits belong to the program: no approximation that is one maker's own, and instructions of
# fewer kinds than the processor has. XLA then writes for one processor, Sandy Bridge, wherever it runs; with AVX2 it would on
# processors that have more, and on those that have just that weigh things as suits their model. `products.py` belongs to it.
PORTABLE = {"xla_cpu_max_isa": "AVX", "xla_cpu_enable_platform_dependent_math": False}
# In XLA_FLAGS alone, since no program can be given it: a loop whose step reads and writes fewer bytes is one function of machine code, and starts no kernel
# at each step, as a rollout in one environment. Speed alone is at stake, no bit.
SMALL_LOOPS = {"xla_backend_extra_options": "xla_cpu_small_while_loop_byte_threshold=32768"}
# A variable of the library whose products XLA takes for some shapes: its own for AVX-512 add up in another order.
PRODUCTS = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
ONE_FORM = "rows by columns"  # what `products.py` makes of all of them in a portable run
NEEDS = ("avx2", "fma")  # of a processor, as Linux calls it
LEVEL = "xla_backend_optimization_level"  # in XLA_FLAGS for CPU alone: XLA writes no code below level 2 for GPUs
# The same on GPUs: else a product is of whichever kernel was fastest when it was compiled, and sums come in any order.
GPU_OPTIONS = {"xla_gpu_deterministic_ops": True}
OF_PLATFORM: dict[str, dict[str, bool | int | str]] = {"cpu": OPTIONS, "gpu": GPU_OPTIONS}
PRECISION = "float32"  # of products on accelerators, whose own way is to round what is multiplied to 8 or 11 bits
# What programs are written for; jax reads each from the variable of the same name in capitals.
SETTINGS = {
    "jax_enable_x64": False,
    "jax_disable_jit": False,
    "jax_default_prng_impl": "threefry2x32",
    "jax_threefry_partitionable": True,
    "jax_numpy_dtype_promotion": "standard",
    "jax_numpy_rank_promotion": "allow",
}
TRUE, FALSE = ("1", "true", "yes", "on", "y", "t"), ("0", "false", "no", "off", "n", "f")


def unfit(found: Mapping[str, Any]) -> str:
    """Returns why a run would not be what it should be under the settings of jax that are given, "" where it would be."""
    for name, value in found.items():
        if _plain(value) != _plain(SETTINGS[name]):
            return f"{name.upper()} is {value}, and a run needs {SETTINGS[name]}, jax's default: unset it"
    return ""


def in_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns those of SETTINGS that the environment sets."""
    return {name: environment[name.upper()] for name in SETTINGS if environment.get(name.upper())}


def in_jax() -> dict[str, Any]:
    """Returns SETTINGS as jax has them now."""
    import jax

    return {name: getattr(jax.config, name) for name in SETTINGS}


def _plain(value: Any) -> str:
    word = str(value).lower()
    return "true" if word in TRUE else "false" if word in FALSE else word


def named(flags: str) -> dict[str, str]:
    """Returns what XLA_FLAGS say, by name."""
    words = [word.removeprefix("--").partition("=") for word in flags.split() if word.startswith("--")]
    return {name: value if equals else "true" for name, equals, value in words}


def with_ours(flags: str, cpu_alone: bool = True) -> str:
    """Returns XLA_FLAGS with those of OPTIONS and SMALL_LOOPS added that they do not name; LEVEL and SMALL_LOOPS only where
    jax can find CPUs alone."""
    ours = OPTIONS | SMALL_LOOPS if cpu_alone else {name: value for name, value in OPTIONS.items() if name != LEVEL}
    rest = {name: value for name, value in ours.items() if name not in named(flags)}
    return " ".join([flags, *_as_flags(rest)]).strip()


def portable(flags: str) -> str:
    """Returns XLA_FLAGS with PORTABLE in them. Raises ValueError where they say otherwise."""
    theirs = named(flags)
    for name, value in PRODUCTS.items():
        if os.environ.get(name, value) != value:
            raise ValueError(f"{name} is {os.environ[name]}, and --portable needs {value}: unset it")
    for name, value in PORTABLE.items():
        if name in theirs and _as(value, theirs[name]) != value:
            raise ValueError(f"XLA_FLAGS sets --{name}={theirs[name]}, and --portable needs {value}: unset it")
    return " ".join([flags, *_as_flags({name: x for name, x in PORTABLE.items() if name not in theirs})]).strip()


def without_portable(flags: str) -> str:
    """Returns XLA_FLAGS without PORTABLE."""
    return _without(flags, PORTABLE)


def unfit_processor(machine: str, features: str) -> str:
    """Returns why no portable run can be had on a processor, "" where one can. features: as Linux lists them, "" where it
    does not."""
    lacking = [name for name in NEEDS if features and name not in features.split()]
    if machine.lower() not in ("x86_64", "amd64"):
        return f"--portable is for x86 processors, and this is {machine}"
    return f"--portable needs a processor with {' and '.join(lacking)}" if lacking else ""


def portable_here() -> bool:
    """Returns whether this process's variables ask for all that a portable run does."""
    said = os.environ.items()
    return PRODUCTS.items() <= said and is_portable(os.environ.get("XLA_FLAGS", ""))


def is_portable(flags: str) -> bool:
    """Returns whether XLA_FLAGS ask for what PORTABLE does."""
    theirs = named(flags)
    return all(name in theirs and _as(value, theirs[name]) == value for name, value in PORTABLE.items())


def options(platform: str = "cpu") -> dict[str, bool | int | str]:
    """Returns the options that a program of a run is compiled with: the platform's, where XLA_FLAGS say nothing else, and
    those of PORTABLE that they name."""
    theirs, ours = named(os.environ.get("XLA_FLAGS", "")), OF_PLATFORM.get(platform, {})
    ours = ours | ({name: value for name, value in PORTABLE.items() if name in theirs} if platform == "cpu" else {})
    return {name: _as(value, theirs[name]) if name in theirs else value for name, value in ours.items()}


def options_of_once(platform: str = "cpu") -> dict[str, bool | int | str]:
    """Returns the options of a program that runs once: on CPUs ONCE among them."""
    return options(platform) | (ONCE if platform == "cpu" else {})


def _as(ours: bool | int | str, word: str) -> bool | int | str:
    if isinstance(ours, bool):
        return _plain(word) == "true"
    return int(word) if isinstance(ours, int) else word


def _as_flags(options: Mapping[str, Any]) -> list[str]:
    words = {name: str(value).lower() if isinstance(value, bool) else value for name, value in options.items()}
    return [f"--{name}={word}" for name, word in words.items()]


def in_force(platform: str) -> dict[str, str]:
    """Returns the variables that jax and XLA read, the options of a run's programs, which are not named twice, the form of
    products in a portable run, and on accelerators their precision. Jax has started."""
    found = {name: value for name, value in os.environ.items() if name.startswith(("XLA_", "JAX_", "NPROC", *PRODUCTS))}
    found |= {"XLA_FLAGS": beside_ours(found.get("XLA_FLAGS", "")), "options": " ".join(_as_flags(options(platform)))}
    found["products"] = precision() if platform != "cpu" else ONE_FORM if portable_here() else ""
    return {name: value for name, value in found.items() if value}


def precision() -> str:
    """Returns the precision of products on accelerators: PRECISION, where the user set none."""
    import jax

    return jax.config.jax_default_matmul_precision or PRECISION


def beside_ours(flags: str) -> str:
    """Returns XLA_FLAGS without those that say what `options` says, and without SMALL_LOOPS."""
    rest = " ".join(word for word in flags.split() if word not in _as_flags(SMALL_LOOPS))
    return _without(rest, {name for options in (*OF_PLATFORM.values(), PORTABLE) for name in options})


def _without(flags: str, names: Iterable[str]) -> str:
    return " ".join(word for word in flags.split() if word.removeprefix("--").partition("=")[0] not in names)


def restored(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Returns those of PRODUCTS that the run of the manifest had, which no flag asks for, and that the user did not set."""
    then = manifest.get("flags", {})
    return {name: then[name] for name in PRODUCTS if name in then and name not in os.environ}


def of(manifest: Mapping[str, Any]) -> str:
    """Returns the XLA_FLAGS by which a run computes as that of the manifest did."""
    then = manifest.get("flags", {})
    return f"{then.get('XLA_FLAGS', '')} {then.get('options', '')}".strip()
