"""What mkdocs needs to build a site from pages that also read well in the repository: pages that lie outside docs/ join in,
links to them follow, and links to code become the code's place."""

import posixpath
import re

from mkdocs.structure.files import File

OUTSIDE = {
    "README.md": "readme.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "experiments/benchmarks/README.md": "benchmarks.md",
}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
FENCE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)


def on_files(files, config):
    """Returns the files with those that lie outside docs/."""
    root = posixpath.dirname(config.config_file_path)
    for place, page in OUTSIDE.items():
        with open(posixpath.join(root, place), encoding="utf-8") as file:
            files.append(File.generated(config, page, content=rewritten(file.read(), place, page)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Returns a page's text with its links as the site has them."""
    path = page.file.src_uri
    return markdown if path in OUTSIDE.values() else rewritten(markdown, f"docs/{path}", path)


def rewritten(text: str, place: str, page: str) -> str:
    """Returns the text of the page at `place` in the repository as that of `page` in the site."""
    parts = FENCE.split(text)
    parts[::2] = [LINK.sub(lambda found: _link(found, place, page), part) for part in parts[::2]]
    return "".join(parts)


def _link(found: re.Match, place: str, page: str) -> str:
    image, words, target = found.groups()
    file, _, anchor = target.partition("#")
    if "://" in target or not file:
        return found.group()
    reached = posixpath.normpath(posixpath.join(posixpath.dirname(place), file))
    there = OUTSIDE.get(reached) or (reached.removeprefix("docs/") if reached.startswith("docs/") else None)
    if there is None or there.endswith(".py"):  # of code: its place, if the words do not say it
        return words if reached in words or posixpath.basename(reached) in words else f"{words} (`{reached}`)"
    if there == "docs":
        return words
    there = posixpath.relpath(there, posixpath.dirname(page) or ".")
    return f"{image}[{words}]({there}{'#' + anchor if anchor else ''})"
