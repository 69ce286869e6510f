"""What an exception in a user's loss means, in one line, and which line of the user's files it comes from."""

import dataclasses
import difflib
import traceback
from collections.abc import Iterable
from pathlib import Path

import jax

KEPT = (
    "an array of an earlier call is used, that Python kept (in a global, in self, in a list): hand on what a later call "
    "needs, an environment in its state"
)


def raised_at(error: BaseException, files: Iterable[Path]) -> str | None:
    """Returns FILE:LINE of the innermost frame of the error that lies in one of the files; None where none does."""
    names = {str(path) for path in files}
    if isinstance(error, SyntaxError) and error.filename in names:
        return f"{error.filename}:{error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in names]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None


def reason(error: BaseException) -> str:
    """Returns what the exception means, in one line: in words where JAX's own are about JAX and not about the loss."""
    if isinstance(error, AttributeError) and dataclasses.is_dataclass(error.obj):
        return _unknown_name(error)
    if isinstance(error, jax.errors.TracerBoolConversionError):
        return (
            "a Python if, while, and, or, not, min or max decides on a value that is known only when it runs, "
            "an array or a hyperparameter: use jnp.where"
        )
    if isinstance(error, jax.errors.UnexpectedTracerError):
        return KEPT
    if isinstance(error, jax.errors.TracerArrayConversionError):
        return "numpy is called on a traced array: use jax.numpy"
    if isinstance(error, jax.errors.TracerIntegerConversionError):
        return "an array or a hyperparameter, known only when it runs, stands where Python needs a whole number"
    if isinstance(error, jax.errors.ConcretizationTypeError):
        return "float(), int(), .item() or a shape of a value that is known only when it runs: leave it an array"
    return error_text(error)


def error_text(error: BaseException) -> str:
    """Returns the first line of what the error says, after its name."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _unknown_name(error: AttributeError) -> str:
    """Returns which names the object has in place of the one that it lacks: fields, and the methods of a policy."""
    kind = type(error.obj)
    fields = [field.name for field in dataclasses.fields(kind)]
    methods = [name for name, x in vars(kind).items() if callable(x) and not name.startswith("_") and name != "replace"]
    near = difflib.get_close_matches(error.name, [*fields, *methods], n=1)
    guess = f"; did you mean {near[0]!r}?" if near else "."
    what = "field or method" if methods else "field"
    return f"{kind.__name__} has no {what} {error.name!r}{guess} It has: {', '.join([*fields, *methods])}"
