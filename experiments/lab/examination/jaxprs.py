"""Reading a loss as the program that JAX traces it to: what it uses, where a value arises, and at which line."""

import numpy as np
from jax.extend.core import ClosedJaxpr, Literal, jaxpr_as_fun

CALLS = ("jit", "pjit")


def line_of(equation, path) -> int | None:
    """Returns the line of the user's file that the equation comes from, the innermost one; None: from elsewhere."""
    trace = equation.source_info.traceback
    lines = [frame.line_num for frame in (trace.frames if trace else ()) if frame.file_name == str(path)]
    return lines[0] if lines else None


def needed(jaxpr, wanted: list[bool]) -> tuple[list, list[bool]]:
    """Returns (the equations that the wanted outputs depend on, for each input whether they depend on it)."""
    live = {var for var, is_wanted in zip(jaxpr.outvars, wanted) if is_wanted and not isinstance(var, Literal)}
    kept = []
    for equation in reversed(jaxpr.eqns):
        used = [var in live for var in equation.outvars]
        if not any(used):
            continue
        kept.append(equation)
        inputs = [True] * len(equation.invars)
        if equation.primitive.name in CALLS:
            inputs = needed(equation.params["jaxpr"].jaxpr, used)[1]
        live |= {var for var, is_used in zip(equation.invars, inputs) if is_used and not isinstance(var, Literal)}
    return kept[::-1], [var in live for var in jaxpr.invars]


def run(closed, arguments, stopped=lambda value: value, seen=None) -> list:
    """Returns the outputs, computed equation by equation.

    stopped: called with the value of each stop_gradient, in order; what it returns takes the value's place.
    seen: a dictionary that every variable's value is written to; calls are then not entered.
    """
    known = {} if seen is None else seen
    known.update(zip(closed.jaxpr.constvars, closed.consts))
    known.update(zip(closed.jaxpr.invars, arguments))
    for equation in closed.jaxpr.eqns:
        inputs = [read(known, var) for var in equation.invars]
        if equation.primitive.name in CALLS and seen is None:
            outputs = run(equation.params["jaxpr"], inputs, stopped)
        else:
            outputs = alone(closed.jaxpr, equation, inputs)
        if equation.primitive.name == "stop_gradient":
            outputs = [stopped(outputs[0])]
        known.update(zip(equation.outvars, outputs))
    return [read(known, var) for var in closed.jaxpr.outvars]


def alone(jaxpr, equation, inputs) -> list:
    """Returns the outputs of one equation of the program."""
    values = {var: value for var, value in zip(equation.invars, inputs) if not isinstance(var, Literal)}
    program = jaxpr.replace(constvars=[], invars=list(values), outvars=list(equation.outvars), eqns=[equation])
    return jaxpr_as_fun(ClosedJaxpr(program, ()))(*values.values())


def read(known: dict, var):
    """Returns the value of a variable, or of a constant that stands in its place."""
    return var.val if isinstance(var, Literal) else known[var]


def not_finite(value) -> str | None:
    """Returns what a value has that is no number: "nan", "inf", or None."""
    value = np.asarray(value)
    if not np.issubdtype(value.dtype, np.inexact) or np.isfinite(value).all():
        return None
    return "nan" if np.isnan(value).any() else "inf"


def origin(closed, arguments, path) -> int | None:
    """Returns the line at which the first NaN or infinity that spoils an output arises from finite numbers."""
    known: dict = {}
    run(closed, arguments, seen=known)
    makers = {var: equation for equation in closed.jaxpr.eqns for var in equation.outvars}
    spoilt = [var for var in closed.jaxpr.outvars if not_finite(read(known, var))]
    line = None
    while spoilt and spoilt[0] in makers:
        equation = makers[spoilt[0]]
        line = line_of(equation, path) or line
        inputs = [var for var in equation.invars if not isinstance(var, Literal) and not_finite(known[var])]
        spoilt = sorted(inputs, key=lambda var: not_finite(known[var]) != "nan")
    return line


def parting(closed, arguments, others, path) -> int | None:
    """Returns the line of the first scalar on the way to the first output that differs between two sets of arguments."""
    first, second = {}, {}
    run(closed, arguments, seen=first)
    run(closed, others, seen=second)
    wanted = [index == 0 for index in range(len(closed.jaxpr.outvars))]
    for equation in needed(closed.jaxpr, wanted)[0]:
        for var in equation.outvars:
            if var in first and np.shape(first[var]) == () and not np.allclose(first[var], second[var], 1e-7, 0.0):
                return line_of(equation, path)
    return None
