"""Estimates sizes on the wire, and splits publishers into parts that fit into a frame."""

from collections.abc import Iterable, Iterator
from typing import Final

from zreg.config import Limits
from zreg.model import Change, Publisher

# The most bytes that each takes on the wire, without its elements, texts and body.
_CHANGE_BYTES: Final = 46
_PUBLISHER_BYTES: Final = 73
_REMOVAL_BYTES: Final = 42
# The same for a publisher with its texts: four labels of four-byte characters.
_PUBLISHER_BYTES_MAX: Final = _PUBLISHER_BYTES + 4 * 4 * Limits.label_characters_max


def change_size(change: Change) -> int:
    """Return an upper estimate of the bytes that a change takes on the wire."""
    removals = sum(
        _REMOVAL_BYTES + _text_size(removal.session.node_id) for removal in change.removals
    )
    return _CHANGE_BYTES + sum(_size(publisher) for publisher in change.publishers) + removals


def fits_inline(change: Change) -> bool:
    """Return whether a change is small enough to be sent inside its hint."""
    if len(change.publishers) == 1 and not change.removals:
        # The usual change: the bound on labels shows that it fits without measuring them.
        bytes_max = len(change.publishers[0].body) + _CHANGE_BYTES + _PUBLISHER_BYTES_MAX
        if bytes_max <= Limits.inline_change_bytes_max:
            return True
    return change_size(change) <= Limits.inline_change_bytes_max


def _size(publisher: Publisher) -> int:
    return (
        _PUBLISHER_BYTES
        + len(publisher.body)
        + _text_size(publisher.zone)
        + _text_size(publisher.data_center)
        + _text_size(publisher.app)
        + _text_size(publisher.session.node_id)
    )


def _text_size(text: str) -> int:
    # Clients choose the labels; in UTF-8 a character takes up to four bytes.
    return len(text) if text.isascii() else 4 * len(text)


def in_parts(publishers: Iterable[Publisher]) -> Iterator[tuple[Publisher, ...]]:
    """Split publishers into parts of about `Limits.part_bytes_max`; none make one empty part."""
    part: list[Publisher] = []
    size = 0
    for publisher in publishers:
        item_size = _size(publisher)
        if part and size + item_size > Limits.part_bytes_max:
            yield tuple(part)
            part, size = [], 0
        part.append(publisher)
        size += item_size
    yield tuple(part)
