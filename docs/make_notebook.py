"""Writes docs/python.ipynb, the lines of docs/python.md run by a kernel (needs: pip install nbclient ipykernel):

python docs/make_notebook.py
"""

import os
import re
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

DOCS = Path(__file__).resolve().parent
FENCE = re.compile(r"```python\n(.*?)```", re.DOTALL)
LEFT_OUT = re.compile(r"^## What there is$.*?(?=^## )", re.DOTALL | re.MULTILINE)  # tables of names
POINTER = re.compile(r" *\[`python\.ipynb`\].*?\n")


def cells(page: str) -> list:
    """Returns the page's words and its Python as the cells of a notebook."""
    parts = FENCE.split(POINTER.sub("\n", LEFT_OUT.sub("", page)))
    made = [(nbformat.v4.new_code_cell if place % 2 else nbformat.v4.new_markdown_cell) for place in range(len(parts))]
    found = [make(part.strip()) for make, part in zip(made, parts) if part.strip()]
    for place, cell in enumerate(found):
        cell["id"] = f"cell-{place}"
    return found


def main() -> None:
    """Runs the cells one after another in an empty folder, and writes the notebook."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(DOCS.parent), os.environ.get("PYTHONPATH", "")])
    book = nbformat.v4.new_notebook(cells=cells((DOCS / "python.md").read_text(encoding="utf-8")))
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(book, timeout=600, resources={"metadata": {"path": folder}}).execute()
    for cell in book.cells:
        cell["metadata"] = {}  # when each line ran
    text = nbformat.writes(book, indent=1, sort_keys=True)
    (DOCS / "python.ipynb").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
