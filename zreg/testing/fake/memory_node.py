"""Run a client's core on its loop without sockets, beside a registry in the same process."""

import asyncio
import contextlib
import contextvars
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Final

import msgspec

from zreg.client.core.core import ClientCore
from zreg.config import Config
from zreg.effects import Connect, Disconnect, Effect, Emit, Link, Local, Log, Send, Stop
from zreg.reactor.log_lines import LogLines
from zreg.reactor.sockets.link_socket import ZmqContext
from zreg.testing.fake.exchange import Exchange
from zreg.wire.messages import Message

# How many ticks a turn makes at most: the clock of a core in a hurry passes many.
_TICKS_MAX: Final = 1000
# Longer than every pause of the client before it repeats a request or connects again.
_HURRY_SECONDS: Final = 61.0


class Hurry(Local, frozen=True):
    """What the core would do within a minute is to be done now."""


class MemoryNode:
    """One client's core, in place of a `ClientNode`.

    Invariants:
    - A turn takes all that has come, in its order, and settles; then come the ticks that are due.
    - `deliver` and `hurry` may be called on any thread, all else on the thread of the loop.
    - The core's clock is that of the loop, and ahead of it once it was moved on in a hurry.
    """

    def __init__(  # noqa: PLR0913 -- those of a `ClientNode`, and the registry
        self,
        exchange: Exchange,
        config: Config,
        context: ZmqContext,  # noqa: ARG002 -- there are no sockets
        *,
        client_id: bytes,
        addresses: Sequence[str],
        app: str,
        on_event: Callable[[msgspec.Struct], None],
        log_lines: LogLines,
    ) -> None:
        self.client_id = client_id
        # Chance only spreads attempts over time; a test wants the same at each run.
        rng = Random(0)  # noqa: S311 -- no secret
        self.core = ClientCore(config, client_id=client_id, addresses=addresses, app=app, rng=rng)
        self._exchange = exchange
        self._on_event = on_event
        self._log_lines = log_lines
        self._inbox: deque[tuple[Link, str, Message | Local]] = deque()
        self._ahead_seconds = 0.0
        # In a hurry: up to when the clock may be moved on, from tick to tick.
        self._hurry_until = -math.inf
        self._is_scheduled = False
        self._has_ended = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._context: contextvars.Context | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._finished: asyncio.Future[None] | None = None
        self._turn_count = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits for a turn, or no turn comes any more."""
        loop = self._loop
        return self._has_ended or loop is None or loop.is_closed() or not self._inbox

    @property
    def is_loop_running(self) -> bool:
        """Whether the loop makes turns."""
        return self._loop is not None and self._loop.is_running()

    async def run(self) -> None:
        """Serve until `stop` is called and the goodbye has left."""
        self._loop = loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._finished = loop.create_future()
        self._exchange.add(self)
        try:
            self._carry_out(self.core.start(loop.time()))
            self._turn()
            await self._finished
        except asyncio.CancelledError:
            # The task of a client that the program did not close: it says goodbye first.
            self.stop()
            raise
        finally:
            self._has_ended = True
            if self._timer is not None:
                self._timer.cancel()
            self._exchange.remove(self)

    def hand_over(self, commands: Iterable[Local]) -> None:
        """Hand commands to the core in a turn that runs now; no turn may be under way."""
        self._exchange.note_activity()
        self._inbox.extend((Link.LOCAL, "", command) for command in commands)
        # Before `run` there is no loop yet; its first turn takes them.
        if self._loop is not None:
            self._turn()

    def stop(self) -> None:
        """Say goodbye and end `run`."""
        self.hand_over([Stop()])

    def deliver(self, peer: str, message: Message | Local) -> None:
        """Hand a record, or a fact about a connection, to the core in its next turn."""
        link = Link.LOCAL if isinstance(message, Local) else Link.SESSION
        self._inbox.append((link, peer, message))
        self._schedule()

    def hurry(self) -> None:
        """Have the core do now what it would repeat or try again later."""
        self._inbox.append((Link.LOCAL, "", Hurry()))
        self._schedule()

    def leave_to_parent(self) -> None:
        """Do nothing: the registry of a forked child is a copy, and nothing is shared."""

    def statistics(self) -> dict[str, int | float | str]:
        """Return the counters of the core."""
        return {"turns": self._turn_count, **self.core.statistics()}

    def __repr__(self) -> str:
        """Show the core."""
        return f"<MemoryNode {self.core!r}>"

    # --- turns --------------------------------------------------------------------------------

    def _schedule(self) -> None:
        """Have the loop make a turn, unless one is to come."""
        if self._loop is None or self._is_scheduled or self._has_ended:
            return
        self._is_scheduled = True
        # A loop that has ended meanwhile has ended the client as well.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._turn, context=self._context)

    def _turn(self) -> None:
        """Make a turn; what fails in it ends the client."""
        # Before anything is taken: what comes from now on asks for another turn.
        self._is_scheduled = False
        if self._has_ended:
            return
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 -- a bug of the core may raise anything
            self._finish(error)

    def _work(self) -> None:
        self._turn_count += 1
        self._take_inbox()
        for _ in range(_TICKS_MAX):
            if self._has_ended or not self._is_due():
                break
            self._carry_out(self.core.tick(self._now()))
            self._take_inbox()
        self._hurry_until = -math.inf
        if not self._has_ended:
            self._arm()

    def _take_inbox(self) -> None:
        """Hand all that has come to the core, and settle; what it sends is answered at once."""
        while True:
            while self._inbox:
                self._take(*self._inbox.popleft())
                if self._has_ended:
                    return
            self._carry_out(self.core.settle(self._now()))
            if not self._inbox:
                return

    def _take(self, link: Link, peer: str, message: Message | Local) -> None:
        if isinstance(message, Hurry):
            self._hurry_until = self._now() + _HURRY_SECONDS
            return
        self._carry_out(self.core.receive(link, peer, message, self._now()))
        if isinstance(message, Stop):
            self._finish(None)

    def _is_due(self) -> bool:
        """Return whether a tick is due now; in a hurry, the clock is moved on to the next one."""
        due, now = self.core.next_tick_at(), self._now()
        if due is None or due > max(now, self._hurry_until):
            return False
        self._ahead_seconds += max(0.0, due - now)
        return True

    def _now(self) -> float:
        assert self._loop is not None
        return self._loop.time() + self._ahead_seconds

    def _arm(self) -> None:
        assert self._loop is not None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.core.next_tick_at()
        if due is not None:
            delay = max(0.0, due - self._now())
            self._timer = self._loop.call_later(delay, self._turn, context=self._context)

    def _finish(self, error: Exception | None) -> None:
        self._has_ended = True
        assert self._finished is not None
        if self._finished.done():
            return
        if error is None:
            self._finished.set_result(None)
        else:
            self._finished.set_exception(error)

    def _carry_out(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send():
                    self._exchange.receive(self, str(effect.peer), effect.message)
                case Connect():
                    self._exchange.connect(self, effect.peer)
                case Disconnect():
                    self._exchange.disconnect(self, str(effect.peer))
                case Emit():
                    self._on_event(effect.event)
                case Log():
                    self._log(effect)
                case _:
                    raise AssertionError(f"a client's core asks for {effect!r}")

    def _log(self, effect: Log) -> None:
        if self._log_lines.may_write("zreg.client", effect.level):
            fields = "".join(f" {name}={value!r}" for name, value in effect.fields.items())
            self._log_lines.write("zreg.client", effect.level, effect.event + fields)
