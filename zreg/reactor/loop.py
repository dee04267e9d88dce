"""Join one core to its sockets on one asyncio loop: when turns run, and how the last one ends.

`turn.py` says what a turn does. Nothing that comes from outside, or out of a core, raises past a
`Reactor`. Only the thread of the loop may call a reactor.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from zreg.effects import Core, Link, Local, Log, Stop
from zreg.reactor.core_calls import CoreCalls
from zreg.reactor.descriptor_watch import EpollWatch, ReaderWatch
from zreg.reactor.intake import Intake
from zreg.reactor.link_table import LinkTable
from zreg.reactor.log_lines import LOG_AT_ONCE, LogLines, write_failure
from zreg.reactor.outgoing.effect_runner import Disk, EffectRunner, EventCallback, Hooks
from zreg.reactor.outgoing.headers import Headers
from zreg.reactor.peer_events import ConnectionPhases, PeerEvents
from zreg.reactor.sockets.socket_set import SocketSet
from zreg.reactor.turn import RETRY_SECONDS, Turn
from zreg.reactor.wakeups import Wakeups
from zreg.storage.failures import NodeEndError
from zreg.wire.envelope import Envelope

# For the goodbye of a core whose task is cancelled: one turn does it.
GOODBYE_SECONDS_MAX: Final = 0.5


class Reactor:
    """Runs one core on the sockets of one link table, on one asyncio loop."""

    def __init__(  # noqa: PLR0913 -- one argument for each thing that a core may reach
        self,
        core: Core,
        cluster: str,
        links: LinkTable | SocketSet,
        *,
        on_event: EventCallback | None = None,
        disk: Disk | None = None,
        log_lines: LogLines = LOG_AT_ONCE,
        on_log: Callable[[Log], None] | None = None,
    ) -> None:
        self._core = core
        self._log_lines = log_lines
        self._socket_set = links if isinstance(links, SocketSet) else SocketSet(links)
        self._counts: Counter[str] = Counter()
        watch = EpollWatch() if self._socket_set.has_many else ReaderWatch()
        self._wakeups = Wakeups(self._run_turn, watch)
        envelope = Envelope(cluster)
        headers = Headers(core, envelope, cluster)
        phases = ConnectionPhases(self._wakeups)
        used = self._wakeups.used
        hooks = Hooks(headers.of, phases, self.post, used, on_event, disk, log_lines, on_log)
        self._runner = runner = EffectRunner(self._socket_set, self._counts, hooks)
        self._core_calls = calls = CoreCalls(
            core, runner, self._counts, has_disk=disk is not None, log_lines=log_lines
        )
        intake = Intake(core, envelope, runner, calls, self._counts)
        peer_events = PeerEvents(phases, self._wakeups, runner, calls, headers, self._counts)
        self._turn = Turn(calls, runner, intake, peer_events, self._wakeups, self._socket_set)
        self._loop: asyncio.AbstractEventLoop | None = None
        # What `run` waits for; its result is the error that ends the node, or None.
        self._finished: asyncio.Future[NodeEndError | None] | None = None
        self._is_stopping = False
        self._is_stopped = False
        # Whether this is a forked child, and all of it is the parent's.
        self.is_of_parent = False

    @property
    def addresses(self) -> Mapping[Link, str]:
        """The real address of each link that binds; known before the core starts."""
        return self._socket_set.addresses

    async def run(self) -> None:
        """Start the core and serve it until `stop` was called, then close everything.

        Raises `NodeEndError` if the node must not go on.
        """
        self._loop = loop = asyncio.get_running_loop()
        self._finished = loop.create_future()
        self._wakeups.start(loop)
        try:
            for socket in self._socket_set.sockets():
                self._wakeups.watch(socket)
            self._core_calls.call(self._core.start, loop.time())
            self._run_turn()
            if (error := await self._wait_finished()) is not None:
                raise error
        finally:
            await self._close(loop)

    def stop(self) -> None:
        """Hand `Stop` to the core; `run` returns when what the core then asks for has left."""
        if not self._is_stopping:
            self._is_stopping = True
            self.post(Stop())

    def leave_to_parent(self) -> None:
        """Do nothing any more in this forked child: sockets and the loop's epoll are the parent's.

        libzmq would answer a read here with EINTR for ever, and to unwatch a descriptor here would
        unwatch it in the parent.
        """
        self._is_stopped = self.is_of_parent = True

    def post(self, message: Local) -> None:
        """Hand a local message to the core in the next turn."""
        self._turn.posted.append(message)
        self._wakeups.schedule()

    def hand_over(self, messages: Iterable[Local]) -> None:
        """Hand local messages to the core in a turn that runs now; no turn may be under way.

        A turn in the next round of the loop would cost a burst of them one more wait of the loop.
        """
        self._turn.posted.extend(messages)
        self._wakeups.run_now()

    def close(self) -> None:
        """Close the sockets of a reactor that was never run."""
        self._socket_set.close()
        self._socket_set.terminate(lambda: None)

    def statistics(self) -> dict[str, int]:
        """Return counters and sizes. Errors of peers are counted by their code."""
        routers = self._socket_set.routers.values()
        return {
            **self._counts,
            **self._runner.sends.retry_queue.statistics(),
            "connections": len(self._wakeups),
            "routed_peers": sum(len(router.peers) for router in routers),
        }

    def __repr__(self) -> str:
        """Show the state."""
        return f"<Reactor {self._core!r} addresses={self.addresses}>"

    def _run_turn(self) -> None:
        """Run one turn. A bug of the reactor costs one turn; `NodeEndError` ends the node."""
        assert self._loop is not None
        if self._is_stopped:
            return
        now = self._loop.time()
        turn = self._turn
        self._counts["turns"] += 1
        try:
            turn.run(now)
            if turn.has_told_stop:
                self._finish(None)
            turn.arm(now)
        except NodeEndError as error:
            self._finish(error)
        except Exception:  # noqa: BLE001 -- a bug may raise anything
            self._counts["reactor_errors"] += 1
            write_failure(self._log_lines, "reactor.turn.failed")
            if turn.has_told_stop:
                self._finish(None)
            # A socket that could not be read may keep its descriptor readable: without a pause a
            # lasting bug would run turn after turn.
            self._wakeups.pause(RETRY_SECONDS)

    async def _wait_finished(self) -> NodeEndError | None:
        """Wait for the end. A task that is cancelled meanwhile has the core say goodbye first."""
        assert self._finished is not None
        try:
            return await asyncio.shield(self._finished)
        except asyncio.CancelledError:
            if self.is_of_parent:
                raise
            self.stop()
            await asyncio.wait([self._finished], timeout=GOODBYE_SECONDS_MAX)
            raise

    def fail(self, error: NodeEndError) -> None:
        """Have `run` raise this error, which was found outside a turn."""
        if self._finished is not None:
            self._finish(error)

    def _finish(self, error: NodeEndError | None) -> None:
        """Have `run` return, or raise: no further turn is run, nothing more leaves."""
        self._is_stopped = True
        assert self._finished is not None
        if not self._finished.done():
            self._finished.set_result(error)

    async def _close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close everything; what the sockets have taken may leave within the linger time."""
        if self.is_of_parent:
            return
        self._is_stopped = True
        self._wakeups.stop()
        self._runner.connections.stop()
        if loop.is_closed():
            # The program has closed the loop of its client: nothing can be waited for.
            self._socket_set.close()
        else:
            await self._socket_set.end(loop)
