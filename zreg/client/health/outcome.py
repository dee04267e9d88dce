"""What a check has found, as one line for people."""

from typing import Final

REASON_CHARACTERS_MAX: Final = 200
_CUT: Final = "…"


def reason_of_result(result: object) -> str | None:
    """Return why an instance is unhealthy whose check returned this; None if it is healthy."""
    if result is None or result is True:
        return None
    if result is False:
        return "its check returned False"
    if isinstance(result, str):
        return one_line(result) or None
    return one_line(
        f"its check returned {_shown(result)}: return None or True if it is healthy, else False or "
        "a text that says why"
    )


def reason_of_error(error: BaseException) -> str:
    """Return why an instance is unhealthy whose check raised this."""
    kind = type(error).__name__
    try:
        text = one_line(str(error))
    except Exception:  # noqa: BLE001 -- the text of an error of the program may raise anything
        text = ""
    return one_line(f"{kind}: {text}" if text else f"its check raised {kind}")


def one_line(text: str) -> str:
    """Return the text without line breaks and control characters, of a bounded length."""
    # Each character may be one that is dropped, so the bound comes first and has room.
    words = "".join(c if c.isprintable() else " " for c in text[: 4 * REASON_CHARACTERS_MAX])
    line = " ".join(words.split())
    return line if len(line) <= REASON_CHARACTERS_MAX else line[: REASON_CHARACTERS_MAX - 1] + _CUT


def _shown(result: object) -> str:
    try:
        return f"{result!r:.80}"
    except Exception:  # noqa: BLE001 -- as above
        return f"a {type(result).__name__}"
