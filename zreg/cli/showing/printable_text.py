"""Text that a terminal shows as it is, and that stdout can encode."""

import codecs
import sys


def printable(text: str) -> str:
    """Return the text with control characters escaped, so that it cannot control a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def output_encoding() -> str:
    """Return the encoding of stdout by its standard name."""
    return codecs.lookup(sys.stdout.encoding or "utf-8").name


def encodable(text: str) -> str:
    """Return the text with each character escaped that stdout cannot encode.

    Stdout would do it by itself, but only after the width of a table was computed.
    """
    return text.encode(output_encoding(), "backslashreplace").decode(output_encoding())
