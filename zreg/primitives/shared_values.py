"""Equal values held once: a decoder makes a new object of each value in each record.

What a node holds for long has many equal parts: names, labels, sessions. Without sharing they take
more than half of its memory.
"""

import sys
from functools import lru_cache
from typing import Final

from zreg.model import Incarnation, Publisher

# So many sessions and clients are known. A client registers its publishers together, so it is
# among the latest ones.
_SESSIONS_MAX: Final = 1024
_CLIENTS_MAX: Final = 4096
# In these versions of Python an interned string is never freed (gh-113993), so clients that choose
# new names for ever would fill the memory.
_KEEPS_INTERNED: Final = sys.version_info[:2] == (3, 12)


@lru_cache(maxsize=_SESSIONS_MAX)
def _session(session: Incarnation) -> Incarnation:
    return session


@lru_cache(maxsize=_CLIENTS_MAX)
def _client_id(client_id: bytes) -> bytes:
    return client_id


def shared_text(text: str) -> str:
    """Return an equal text, the same object for equal ones as long as one of them is held."""
    return text if _KEEPS_INTERNED else sys.intern(text)


def shared_publisher(publisher: Publisher, old: Publisher | None) -> Publisher:
    """Return an equal publisher that shares its parts with others, and its id with `old`."""
    return Publisher(
        publisher.publisher_id if old is None else old.publisher_id,
        publisher.version,
        _client_id(publisher.client_id),
        _session(publisher.session),
        shared_text(publisher.zone),
        shared_text(publisher.data_center),
        shared_text(publisher.app),
        publisher.body,
    )
