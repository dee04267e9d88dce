"""Floor 4: the only place with sockets. A `Reactor` runs one core on the links of a table."""

from zreg.reactor.link_table import LinkTable
from zreg.reactor.loop import Reactor
from zreg.reactor.socket_set import SocketSet

__all__ = ["LinkTable", "Reactor", "SocketSet"]
