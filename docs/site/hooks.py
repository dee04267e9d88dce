"""Hooks of mkdocs: the site shows the pages as the repository shows them.

Files outside of docs/ become a part of the site, and relative links are rewritten to where the site
has the file that they point to. Two differences between the Markdown of the repository and that of
mkdocs are made up for: a list right after a paragraph, and an escaped bar in a table.
"""

import posixpath
import re
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).parents[2]
# Where the site has each file that is outside of docs/, by its path in the repository.
OUTSIDE: Final = {
    "README.md": "index.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "LICENSE": "LICENSE",
    "bench/README.md": "bench/README.md",
    "examples/consumer.py": "examples/consumer.py",
    "examples/producer.py": "examples/producer.py",
    "examples/register.sh": "examples/register.sh",
    "systemd/README.md": "systemd/README.md",
}
_FENCE: Final = "```"
_ITEM: Final = re.compile(r"- |\d+\. ")
_CELL: Final = re.compile(r"<td\b.*?</td>", re.DOTALL)
_INSIDE: Final = {place: path for path, place in OUTSIDE.items()}
_FETCHED: Final = re.compile(
    r"<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//"
)
_LINK: Final = re.compile(r"\]\((?![a-z]+:|#)([^()#\s]+)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List all decisions in the navigation, the index first."""
    pages = sorted((ROOT / "docs/adr").glob("[0-9]*.md"))
    found = ["adr/README.md", *(f"adr/{page.name}" for page in pages)]
    for section in config.nav or []:
        for pages_of_section in section.values():
            for entry in pages_of_section if isinstance(pages_of_section, list) else []:
                for title in [title for title, target in entry.items() if target == "adr/"]:
                    entry[title] = found
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the files that are outside of docs/."""
    for path, place in OUTSIDE.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 -- the signature of mkdocs
    """Write a page as mkdocs reads it; code blocks stay as they are."""
    lines: list[str] = []
    is_code, was_text = False, False
    for line in markdown.splitlines():
        is_code ^= line.lstrip().startswith(_FENCE)
        is_item = not is_code and _ITEM.match(line) is not None
        if is_item and was_text:
            lines.append("")
        lines.append(line if is_code else _with_site_links(line, page.file.src_uri))
        # A line that continues an item is indented.
        was_text = bool(line) and not is_code and not is_item and not line[0].isspace()
    return "\n".join(lines)


def _with_site_links(line: str, place: str) -> str:
    """Return a line of the page at this place, its relative links leading to places of the site."""
    folder = posixpath.dirname(_INSIDE.get(place, f"docs/{place}"))

    def rewritten(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, link[1]))
        target = OUTSIDE.get(path, path.removeprefix("docs/"))
        return f"]({posixpath.relpath(target, posixpath.dirname(place) or '.')}"

    return _LINK.sub(rewritten, line)


def on_page_content(html: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 -- the signature of mkdocs
    """Show a bar that is escaped in a table as a bar."""
    return _CELL.sub(lambda cell: cell[0].replace("\\|", "|"), html)


def on_post_page(output: str, *, page: Page, config: MkDocsConfig) -> str:  # noqa: ARG001 -- the signature of mkdocs
    """Refuse a page that loads something from another host."""
    if fetched := _FETCHED.search(output):
        raise PluginError(f"{page.file.src_uri} loads from another host: {fetched[0]}")
    return output
