"""The local events between a core and what watches the LAN for it.

The core emits `Browse`. From then on it receives `Sighted` for each announcement, again when its
node has announced it again, and `Withdrawn` when its node takes it back. A node announces itself
again within `ANNOUNCED_SECONDS` as long as any machine of the LAN browses.
"""

from typing import Final

import msgspec

from zreg.discovery.announcement import Announcement, Interface
from zreg.effects import Local

# The time to live of all records of an announcement.
ANNOUNCED_SECONDS: Final = 60.0


class Browse(msgspec.Struct, frozen=True):
    """Event: the core wants to be told what is announced from now on, or no longer."""

    is_wanted: bool


class Sighted(Local, frozen=True):
    """An announcement was seen, or seen again; `name` tells it from others of its interface."""

    name: str
    interface: Interface
    announcement: Announcement


class BrowseFailed(Local, frozen=True):
    """The LAN cannot be looked at; `reason` says why and what to do, for people."""

    reason: str


class Withdrawn(Local, frozen=True):
    """An announcement was taken back, or has expired."""

    name: str
    interface: Interface


LanEvent = Sighted | Withdrawn | BrowseFailed
