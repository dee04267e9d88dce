"""A client core whose session the test plays."""

from collections.abc import Sequence
from random import Random

from zreg.client.core.commands import AddSubscription, ClientState, ConnectionChanged, ViewChanged
from zreg.client.core.core import LIBRARY, ClientCore
from zreg.config import Config
from zreg.effects import Effect, Emit, Link, Local, Log, PeerLost, PeerUp, Send
from zreg.model import ZERO, DataInfoId, Incarnation, Publisher, Removal, Scope, Version
from zreg.primitives.mirror import Difference
from zreg.wire.messages import Message
from zreg.wire.records.client_messages import CAPABILITIES, Hello, Push, PushAck, Welcome
from zreg.wire.records.common_messages import Accepted

ME = b"m" * 16
P1, P2 = b"1" * 16, b"2" * 16
PAY = DataInfoId("pay#@#I#@#G")
ORDERS = DataInfoId("orders#@#I#@#G")
A, B = "tcp://a:9600", "tcp://b:9600"
CLUSTER, OTHER_CLUSTER = b"c" * 16, b"o" * 16
SESSION = Incarnation(3, "s1")
V1, V2 = Version(1, 1), Version(1, 2)
CONFIG = Config(zone="z", data_center="d", request_retry_seconds=1.0)
HELLO = Hello(1, ME, "app", "z", "d", LIBRARY, CAPABILITIES)
WELCOME = Welcome(1, SESSION, CLUSTER, 3.0, 1.0)


class FixedRandom(Random):
    """Shuffles nothing and draws the middle, so that effects and times are known."""

    def random(self) -> float:
        return 0.5

    def shuffle(self, x: object) -> None:
        return


def make_core(*addresses: str, config: Config = CONFIG) -> ClientCore:
    return ClientCore(
        config, client_id=ME, addresses=addresses or (A,), app="app", rng=FixedRandom()
    )


def local(core: ClientCore, message: Local, now: float = 0.0) -> list[Effect]:
    return list(core.receive(Link.LOCAL, "", message, now))


def hear(
    core: ClientCore, message: Message, now: float = 0.0, peer: str = "session-1"
) -> list[Effect]:
    return list(core.receive(Link.SESSION, peer, message, now))


def connected(*addresses: str, config: Config = CONFIG, welcome: Welcome = WELCOME) -> ClientCore:
    """Return a core whose session has welcomed it at 0.0, and that wants nothing yet."""
    core = make_core(*addresses, config=config)
    core.start(0.0)
    local(core, PeerUp(Link.SESSION, "session-1"))
    hear(core, welcome)
    return core


def reconnect(
    core: ClientCore, welcome: Welcome = WELCOME, now: float = 1.0, peer: str = "session-2"
) -> list[Effect]:
    """Lose the connection and make the next one; return what the Welcome leads to."""
    before = f"session-{int(peer.removeprefix('session-')) - 1}"
    local(core, PeerLost(Link.SESSION, before, "gone"), now)
    core.tick(now + 0.1)
    local(core, PeerUp(Link.SESSION, peer), now + 0.1)
    return replayed(hear(core, welcome, now + 0.1, peer=peer))


def replayed(effects: Sequence[Effect]) -> list[Effect]:
    """Return the effects of a Welcome after its log lines and its event."""
    first = next(number for number, effect in enumerate(effects) if isinstance(effect, Emit))
    assert first
    assert {type(effect) for effect in effects[:first]} == {Log}
    return list(effects[first + 1 :])


def acts(effects: Sequence[Effect]) -> list[Effect]:
    """Return the effects without log lines."""
    return [effect for effect in effects if not isinstance(effect, Log)]


def next_act(core: ClientCore) -> tuple[float, list[Effect]]:
    """Tick the core when it wants to, until it does more than write a line."""
    while True:
        due_at = core.next_tick_at()
        assert due_at is not None
        if effects := acts(core.tick(due_at)):
            return due_at, effects


def say(message: Message, peer: str = "session-1") -> Send:
    return Send(Link.SESSION, peer, message)


def publisher(publisher_id: bytes = P1, version: int = 1, body: bytes = b"body") -> Publisher:
    return Publisher(publisher_id, version, ME, SESSION, "z", "d", "app", body)


def snapshot(*publishers: Publisher, version: Version = V1, name: DataInfoId = PAY) -> Push:
    return Push(name, Scope.GLOBAL, None, version, publishers)


def acked(version: Version = V1, *, needs_snapshot: bool = False) -> PushAck:
    return PushAck(PAY, Scope.GLOBAL, version, needs_snapshot)


def changed(
    *publishers: Publisher,
    feed_id: int = 1,
    source: Version = ZERO,
    version: Version = V1,
    removals: dict[bytes, Removal | None] | None = None,
    former: dict[bytes, Publisher] | None = None,
) -> Emit:
    upserts = {each.publisher_id: each for each in publishers}
    difference = Difference(source, version, upserts, removals or {}, former or {})
    return Emit(ViewChanged(feed_id, difference, is_confirmed=True))


def lost(detail: str, *, address: str = A, state: ClientState = ClientState.SUSPENDED) -> Emit:
    return Emit(ConnectionChanged(state, address, detail))


def lost_line(reason: str, address: str = A) -> Log:
    return Log(30, "client.session.lost", {"address": address, "reason": reason})


def following() -> ClientCore:
    """Return a core that follows PAY and knows one publisher of it, at version 1.1."""
    core = connected()
    local(core, AddSubscription(1, PAY, Scope.GLOBAL))
    hear(core, Accepted((1,)))
    hear(core, snapshot(publisher()))
    return core
