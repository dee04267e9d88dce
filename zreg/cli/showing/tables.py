"""Tables for people; rich, which draws them, takes longer to load than most commands run."""

import io
import sys
from collections.abc import Sequence
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from zreg.cli.showing.printable_text import encodable, printable

_ASCII_HEAD: Final = box.Box(str(box.SIMPLE_HEAD).replace("\u2500", "-"), ascii=True)


def table_text(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; published values appear as plain text, never as markup of the terminal."""
    table = Table(*columns, box=_box(), pad_edge=False, show_edge=False)
    for row in rows:
        table.add_row(*(Text(encodable(printable(cell)), overflow="fold") for cell in row))
    # A pipe has no width, so no cell is cut there.
    width = None if sys.stdout.isatty() else 10_000
    text = io.StringIO()
    Console(width=width, file=text, force_terminal=sys.stdout.isatty()).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().rstrip("\n").split("\n"))


def _box() -> box.Box:
    """Return a line below the heads, of a character that stdout can encode."""
    line = encodable("\u2500")
    return box.SIMPLE_HEAD if line == "\u2500" else _ASCII_HEAD
