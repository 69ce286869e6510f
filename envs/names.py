"""What is said of a name that there is not."""

import difflib
from collections.abc import Sequence


def unknown(what: str, name: str, there: Sequence[str]) -> str:
    """Returns, in one line, that there is no such thing, which names come near, and all that there are."""
    spelled = {one.casefold(): one for one in there}
    near = [spelled[one] for one in difflib.get_close_matches(name.casefold(), spelled, 3, 0.7)]
    meant = f"did you mean {', '.join(near)}? " if near else ""
    return f"unknown {what} {name!r}; {meant}choose from: {', '.join(there)}"
