"""Join the client's core to a reactor with one link, the one to the session."""

from collections.abc import Callable, Iterable, Sequence
from random import SystemRandom

import msgspec

from zreg.client.core.core import ClientCore
from zreg.client.locating.client_lan import ClientLan
from zreg.config import Config
from zreg.discovery.sightings import Browse
from zreg.effects import Link, Local
from zreg.reactor.link_table import LinkTable
from zreg.reactor.log_lines import LogLines
from zreg.reactor.loop import Reactor
from zreg.reactor.sockets.link_socket import ZmqContext
from zreg.reactor.sockets.socket_set import SocketSet


class ClientNode:
    """One client on the asyncio loop that runs `run()`; only that loop's thread may call it."""

    def __init__(  # noqa: PLR0913 -- one argument for each thing that it joins
        self,
        config: Config,
        context: ZmqContext,
        *,
        client_id: bytes,
        addresses: Sequence[str],
        app: str,
        on_event: Callable[[msgspec.Struct], None],
        log_lines: LogLines,
        discovers: bool = False,
    ) -> None:
        self.core = ClientCore(
            config,
            client_id=client_id,
            addresses=addresses,
            app=app,
            rng=SystemRandom(),
            discovers=discovers,
        )
        self._on_event = on_event
        sockets = SocketSet(LinkTable(dealers=(Link.SESSION,)), context)
        self._reactor = Reactor(
            self.core,
            config.cluster,
            sockets,
            on_event=self._take_event if discovers else on_event,
            log_lines=log_lines,
        )
        self._lan = ClientLan(self._reactor.post, log_lines)

    async def run(self) -> None:
        """Serve until `stop` is called and the goodbye has left."""
        try:
            await self._reactor.run()
        finally:
            if not self._reactor.is_of_parent:
                await self._lan.close()

    def _take_event(self, event: msgspec.Struct) -> None:
        """Look at the LAN for the core; pass every other event on."""
        if isinstance(event, Browse):
            self._lan.browse(is_wanted=event.is_wanted)
        else:
            self._on_event(event)

    def hand_over(self, commands: Iterable[Local]) -> None:
        """Hand commands to the core; the reactor sends at once what it asks for."""
        self._reactor.hand_over(commands)

    def stop(self) -> None:
        """Say goodbye and end `run`."""
        self._reactor.stop()

    def leave_to_parent(self) -> None:
        """Do nothing any more in this forked child."""
        self._reactor.leave_to_parent()

    def statistics(self) -> dict[str, int | float | str]:
        """Return the counters of the core and of the reactor."""
        return {**self._reactor.statistics(), **self.core.statistics()}

    def __repr__(self) -> str:
        """Show the core."""
        return f"<ClientNode {self.core!r}>"
