"""A judge by the name that a command line gives: one of ours, or a user's own."""

from experiments.lab.judging.criterion import Criterion
from experiments.lab.judging.equilibrium import nash_conv
from experiments.lab.judging.judges import Judge, exact_return, value_rms
from experiments.lab.outside.user_files import load
from experiments.lab.outside.user_loss import is_reference

OURS = {"exact_return": exact_return, "value_rms": value_rms, "nash_conv": nash_conv}


def named(name: str) -> Judge | None:
    """Returns the judge of that name, or that FILE.py:FUNCTION returns; None: by evaluation return. Raises ValueError."""
    if name == Criterion().metric:
        return None
    if name in OURS:
        return OURS[name]()
    if not is_reference(name):
        raise ValueError(f"unknown judge {name!r}: write {', '.join([Criterion().metric, *OURS])} or FILE.py:FUNCTION")
    judge = load(name)
    judge = judge() if callable(judge) and not isinstance(judge, Judge) else judge
    if not isinstance(judge, Judge):
        raise ValueError(f"{name} must give an experiments.lab.judging.judges.Judge, not {type(judge).__name__}")
    return judge
