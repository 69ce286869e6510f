"""XLA's options and jax's settings: what a run needs, what the user's variables say, and what is in force.

Imports no jax by itself: XLA reads XLA_FLAGS once, as jax starts.
"""

import os
from collections.abc import Mapping
from typing import Any

FROM_US = ("XLA_FLAGS", "NPROC")  # variables that `devices.prepare` sets, unless the user did
# What decides bits goes with every program of a run on CPU, whatever started jax before.
OPTIONS = {
    "xla_cpu_multi_thread_eigen": False,
    "xla_cpu_prefer_vector_width": 512,
    "xla_backend_optimization_level": 1,
}
# What programs are written for; jax reads each from the variable of the same name in capitals.
SETTINGS = {
    "jax_enable_x64": False,
    "jax_disable_jit": False,
    "jax_default_prng_impl": "threefry2x32",
    "jax_threefry_partitionable": True,
    "jax_numpy_dtype_promotion": "standard",
    "jax_numpy_rank_promotion": "allow",
}
UNREAD = "jax was started before the run, which set XLA_FLAGS too late"
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


def with_ours(flags: str) -> str:
    """Returns XLA_FLAGS with those of OPTIONS added that they do not name."""
    rest = {name: value for name, value in OPTIONS.items() if name not in named(flags)}
    return " ".join([flags, *_as_flags(rest)]).strip()


def options() -> dict[str, bool | int]:
    """Returns the options that a program of a run is compiled with on CPU: OPTIONS, where XLA_FLAGS say nothing else."""
    theirs = named(os.environ.get("XLA_FLAGS", ""))
    return {name: _as(value, theirs[name]) if name in theirs else value for name, value in OPTIONS.items()}


def _as(ours: bool | int, word: str) -> bool | int:
    return _plain(word) == "true" if isinstance(ours, bool) else int(word)


def _as_flags(options: Mapping[str, Any]) -> list[str]:
    return [f"--{name}={str(value).lower()}" for name, value in options.items()]


def in_force(on_cpu: bool) -> dict[str, str]:
    """Returns the variables that jax and XLA read and, on CPU, the options of a run's programs, which are not named twice.
    Jax has started."""
    found = {name: value for name, value in os.environ.items() if name.startswith(("XLA_", "JAX_", "NPROC"))}
    if on_cpu:
        found |= {"XLA_FLAGS": beside_ours(found.get("XLA_FLAGS", "")), "options": " ".join(_as_flags(options()))}
    elif unread():
        found["unread"] = UNREAD
    return {name: value for name, value in found.items() if value}


def beside_ours(flags: str) -> str:
    """Returns XLA_FLAGS without those that say what `options` says."""
    return " ".join(word for word in flags.split() if word.removeprefix("--").partition("=")[0] not in OPTIONS)


def of(manifest: Mapping[str, Any]) -> str:
    """Returns the XLA_FLAGS by which a run computes as that of the manifest did."""
    then = manifest.get("flags", {})
    return f"{then.get('XLA_FLAGS', '')} {then.get('options', '')}".strip()


def unread() -> bool:
    """Returns whether jax was started, by a notebook or a user's file, before `devices.prepare` could set XLA's flags."""
    from jaxlib import xla_client

    # The one of OPTIONS that jaxlib shows as XLA read it.
    read = xla_client.CompileOptions().executable_build_options.debug_options.xla_backend_optimization_level
    return read != options()["xla_backend_optimization_level"]
