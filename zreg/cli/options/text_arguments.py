"""Arguments that are free text, patterns and values: a shell may pass bytes that are none."""

from zreg.config import Limits
from zreg.errors import UsageError


def checked_pattern(pattern: str) -> str:
    """Return a pattern for names if a node can take it; raises `UsageError`."""
    _check_encodable("the pattern", pattern)
    if len(pattern) > Limits.id_part_characters_max:
        raise UsageError(
            f"the pattern has {len(pattern)} characters: write at most "
            f"{Limits.id_part_characters_max}"
        )
    return pattern


def checked_setting_value(value: str) -> str:
    """Return a value for a setting if meta can keep it; raises `UsageError`."""
    _check_encodable("the value", value)
    if len(value) > Limits.setting_characters_max:
        raise UsageError(
            f"the value has {len(value)} characters: a setting holds at most "
            f"{Limits.setting_characters_max}; set it to a place where large data can be found"
        )
    return value


def _check_encodable(what: str, text: str) -> None:
    """Raise `UsageError` for bytes that are no text: they arrive as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{what} {text[:80]!r} is no text in UTF-8: write it as UTF-8") from None
