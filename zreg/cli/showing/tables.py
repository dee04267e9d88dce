"""Tables for people; rich, which draws them, takes longer to load than most commands run."""

import io
import sys
from collections.abc import Sequence
from typing import Final

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from zreg.cli.showing.printable_text import encodable, printable

_PIPE_WIDTH: Final = 10_000
# A longer cell is folded on a narrow terminal. Shorter ones stay whole, and the terminal wraps the
# line: an id in pieces could be neither read nor copied.
_FOLDED_FROM: Final = 24
# Between two columns.
_GAP: Final = 3
_ASCII_HEAD: Final = box.Box(str(box.SIMPLE_HEAD).replace("\u2500", "-"), ascii=True)


def table_text(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; published values appear as plain text, never as markup of the terminal."""
    table = Table(box=_box(), pad_edge=False, show_edge=False)
    shown = [[encodable(printable(cell)) for cell in row] for row in rows]
    widths = [max(map(cell_len, cells)) for cells in zip(columns, *shown, strict=True)]
    least = [min(width, _FOLDED_FROM) for width in widths]
    for head, width in zip(columns, least, strict=True):
        table.add_column(head, min_width=width)
    for row in shown:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    text = io.StringIO()
    console = Console(file=text, force_terminal=sys.stdout.isatty())
    # A pipe has no width, so no cell is cut there.
    width_min = sum(least) + _GAP * len(columns) if sys.stdout.isatty() else _PIPE_WIDTH
    console.width = max(console.width, width_min)
    console.print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().rstrip("\n").split("\n"))


def _box() -> box.Box:
    """Return a line below the heads, of a character that stdout can encode."""
    line = encodable("\u2500")
    return box.SIMPLE_HEAD if line == "\u2500" else _ASCII_HEAD
