"""The table of fingerprints in docs/hardware.md: what the bits of short runs are on each kind of processor, a line each."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.lab.commands.cli import typed
from experiments.lab.machine.hardware import processor, told
from experiments.lab.recording.manifest import versions

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "hardware.md"
HEAD = ("processor", "versions", "code")  # the columns before those of the runs
DECIDE = ("jax", "jaxlib", "flax", "optax", "gymnax", "numpy")  # packages
CODE = ("algos", "envs", "experiments/lab/definition", "experiments/lab/machine", "experiments/lab/running")
WIDEST = (("avx512f", "AVX-512"), ("avx2", "AVX2"), ("avx", "AVX"), ("asimd", "NEON"))  # as Linux and as people call it


class Line(NamedTuple):
    """What short runs came to on one kind of processor."""

    processor: str  # its name as manifests have it, then what tells kinds of one name apart
    versions: str
    code: str  # the digest of the source files that decide bits
    digests: dict[str, str]  # by run, "as they come / with --portable"

    def __str__(self) -> str:
        return f"| {' | '.join([self.processor, self.versions, self.code, *self.digests.values()])} |"


def line(digests: dict[str, str]) -> Line:
    """Returns the line of this processor, these versions and this code."""
    found = versions()
    packages = ", ".join(f"{name} {found[name]}" for name in DECIDE if name in found)
    return Line(kind(), packages, code(), digests)


def kind() -> str:
    """Returns the processor's name with its family, model and widest instructions, as far as the system tells."""
    features = (told("flags") or told("Features")).split()
    widest = next((name for feature, name in WIDEST if feature in features), "")
    family, model = told("cpu family"), told("model")
    parts = [processor(), f"family {family}, model {model}" if family else "", widest]
    return "; ".join(part for part in parts if part).replace("|", "/")


def code() -> str:
    """Returns the digest of the source files that decide bits, their first eight digits."""
    found = hashlib.sha256()
    for folder in CODE:
        for path in sorted((ROOT / folder).rglob("*.py")):
            found.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return found.hexdigest()[:8]


def table(page: Path | None = None) -> list[Line]:
    """Returns the lines of the table, none where the page is not there."""
    page = page or PAGE
    lines = page.read_text(encoding="utf-8").splitlines() if page.is_file() else []
    cells = [[cell.strip() for cell in text.strip("|").split("|")] for text in lines if text.startswith("|")]
    place = next((place for place, row in enumerate(cells) if tuple(row[: len(HEAD)]) == HEAD), len(cells))
    names = cells[place][len(HEAD) :] if place < len(cells) else []
    rows = [row for row in cells[place + 2 :] if len(row) == len(HEAD) + len(names)]
    return [Line(*row[: len(HEAD)], dict(zip(names, row[len(HEAD) :]))) for row in rows]


def append(new: Line, page: Path | None = None) -> None:
    """Adds the line to the page, whose last table is that of fingerprints; of one kind, versions and code the new replaces
    the old."""
    page = page or PAGE
    kept = [text for text in page.read_text(encoding="utf-8").splitlines() if not text.startswith(_begins(new))]
    page.write_text("\n".join([*kept, str(new)]) + "\n", encoding="utf-8")


def _begins(one: Line) -> str:
    return f"| {' | '.join(one[: len(HEAD)])} |"


def shared(one: Line, other: Line) -> tuple[list[str], list[str]]:
    """Returns (the runs whose bits are the same in both lines as they come, those whose are with --portable)."""
    both = [(name, one.digests[name].split(" / "), other.digests[name].split(" / ")) for name in one.digests]
    normal, portable = ([name for name, a, b in both if a[place] == b[place] != "-"] for place in (0, 1))
    return normal, portable


def compared(one: Line, others: Iterable[Line]) -> list[str]:
    """Returns in words how many bits the line shares with each of the same versions and code."""
    alike = [other for other in others if other[1:3] == one[1:3] and other.digests.keys() == one.digests.keys()]
    return [f"{other.processor}: {_in_words(one, other)}" for other in alike]


def _in_words(one: Line, other: Line) -> str:
    normal, portable = map(len, shared(one, other))
    return f"of {len(one.digests)} short runs {normal} have the same bits as they come, {portable} with --portable"


def reason(rows: Sequence) -> str:
    """Returns why bits may differ where the surroundings that differ are a reason: rows of `difference.surroundings`. ""
    where they are none."""
    by_name = {row.what: row for row in rows}
    if "device machine" in by_name:
        _, first, second = by_name["device machine"]
        return (
            f"bits belong to the kind of processor, unless both runs are --portable: {of_both(first, second, table())}"
        )
    if "flags options" in by_name:
        return "bits belong to XLA's options, --portable among them: docs/hardware.md"
    return ""


def of_both(first: str, second: str, lines: Sequence[Line]) -> str:
    """Returns in words what the table says of two processors, named as manifests do."""
    pairs = [
        (one, other)
        for one in lines
        for other in lines
        if one.processor.startswith(f"{first};")
        and other.processor.startswith(f"{second};")
        and other[1:3] == one[1:3]
        and other.digests.keys() == one.digests.keys()
    ]
    if not pairs:
        return (
            f"docs/hardware.md has no fingerprints of both; {typed('fingerprint')} on each says which bits they share"
        )
    return f"docs/hardware.md: {_in_words(*pairs[-1])}"
