"""The only place with sockets. A `Reactor` runs one core on the links of a `LinkTable`."""

from zreg.reactor.link_table import LinkTable
from zreg.reactor.loop import Reactor
from zreg.reactor.outgoing.effect_runner import Disk, EventCallback
from zreg.reactor.sockets.socket_set import SocketSet

__all__ = ["Disk", "EventCallback", "LinkTable", "Reactor", "SocketSet"]
