"""The local events between a core and what watches the LAN for it.

The core emits `Browse`. From then on it receives `Sighted` for each announcement, again about every
`SEEN_AGAIN_SECONDS` while it is seen, and `Withdrawn` when its node takes it back.
"""

from typing import Final

import msgspec

from zreg.discovery.announcement import Announcement, Interface
from zreg.effects import Local

SEEN_AGAIN_SECONDS: Final = 30.0


class Browse(msgspec.Struct, frozen=True):
    """Event: the core wants to be told what is announced from now on, or no longer."""

    is_wanted: bool


class Sighted(Local, frozen=True):
    """An announcement was seen, or seen again; `name` tells it from others of its interface."""

    name: str
    interface: Interface
    announcement: Announcement


class Withdrawn(Local, frozen=True):
    """An announcement was taken back, or has expired."""

    name: str
    interface: Interface
