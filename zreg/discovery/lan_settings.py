"""Whether a node announces itself on its LAN, and looks for others there."""

from typing import Literal

import msgspec

Switch = Literal["auto", "on", "off"]


class LanSettings(msgspec.Struct, frozen=True):
    """What a node does on its LAN.

    `auto`: a node that is bound beyond loopback looks for meta if it has no meta addresses, and
    announces itself if it depends on announcements.
    """

    announce: Switch = "auto"
    discover: Switch = "auto"
    # The interfaces to use; empty: all over which the node is reached.
    interfaces: tuple[str, ...] = ()
