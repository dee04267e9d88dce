"""Floor 4: the only place with sockets. A `Reactor` runs one core on the links of a table."""

from zreg.reactor.doors import Doors
from zreg.reactor.loop import Reactor
from zreg.reactor.table import LinkTable

__all__ = ["Doors", "LinkTable", "Reactor"]
