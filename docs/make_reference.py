"""Writes docs/reference.md, every public name of `algos` and `envs` with the first sentence of its docstring:

python docs/make_reference.py
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference.md"
TOP = """# Every public name

Functions and classes of `algos` and `envs`, a line each, from their docstrings; `python docs/make_reference.py` writes this
page, and a test says when it is old. `experiments` is commands and what they are made with: the [README](../README.md) names
its rooms.
"""


def modules() -> list[Path]:
    """Returns the files of both packages that have something public, in order."""
    files = [path for room in ("algos", "envs") for path in (ROOT / room).rglob("*.py")]
    return sorted(path for path in files if any(public(path)))


def public(path: Path) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """Yields what a file defines at its top without an underscore."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node


def first_sentence(docstring: str | None) -> str:
    """Returns a docstring to its first full stop or blank line, as one line of a table; "" for none."""
    paragraph = " ".join((docstring or "").split("\n\n")[0].split())
    sentence = re.split(r"(?<! al)\.(?= [A-Z`])", paragraph)[0].rstrip(".:;")
    return sentence.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;").replace("[", "\\[")


def signature(node: ast.FunctionDef | ast.ClassDef) -> str:
    """Returns a name with its arguments, or with the fields of a class."""
    if isinstance(node, ast.ClassDef):
        fields = [part.target.id for part in node.body if isinstance(part, ast.AnnAssign)]
        return f"{node.name}({', '.join(fields)})" if fields else node.name
    given = node.args
    names = [one.arg for one in (*given.posonlyargs, *given.args)]
    names += [f"*{given.vararg.arg}"] if given.vararg else ["*"] if given.kwonlyargs else []
    names += [one.arg for one in given.kwonlyargs] + ([f"**{given.kwarg.arg}"] if given.kwarg else [])
    return f"{node.name}({', '.join(names)})"


def page() -> str:
    """Returns the text of the page."""
    parts = [TOP]
    for path in modules():
        place = path.relative_to(ROOT).as_posix()
        said = first_sentence(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))))
        rows = [f"| `{signature(node)}` | {first_sentence(ast.get_docstring(node))} |" for node in public(path)]
        parts.append("\n".join([f"## {place}", "", f"{said}.", "", "| name | what it is |", "|---|---|", *rows, ""]))
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
