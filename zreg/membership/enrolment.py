"""A node's side of meta: join, renew, follow the membership.

Session and data nodes each hold one `Enrolment` in their core. It keeps one connection to one
meta node at a time and moves on when that one is silent; it fetches the membership whenever
anybody shows a higher epoch; it says who this process is (`incarnation`), and knows when it is
nobody any more. When meta is away, the last membership stays. A process whose node keeps it on disk
starts with it; who it is, it still hears from meta alone.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from zreg.config import Config
from zreg.effects import (
    INFO,
    MEMBERSHIP_TOPIC,
    WARNING,
    Connect,
    Disconnect,
    Effect,
    Emit,
    EpochSeen,
    Link,
    Listen,
    Local,
    Log,
    MembershipTaken,
    Peer,
    PeerIncompatible,
    PeerLost,
    PeerUp,
    Send,
)
from zreg.errors import (
    ForeignClusterError,
    NodeIdInUseError,
    NotLeaderError,
    UnknownMessageError,
    UnknownNodeError,
)
from zreg.membership.changes import changed
from zreg.membership.leader_outage import NO_ANSWER, LeaderOutage
from zreg.model import EMPTY_MEMBERSHIP, ZERO, Incarnation, Member, Membership, Role, Version
from zreg.primitives.backoff import Backoff
from zreg.primitives.mirror import MEMBERS, Mirror, Verdict
from zreg.wire.common_messages import Refused
from zreg.wire.membership_messages import (
    FetchMembership,
    Join,
    Leave,
    MembershipChanged,
    MembershipChanges,
    MembershipReply,
    Renew,
    Renewed,
    ReportGone,
)
from zreg.wire.messages import Message

if TYPE_CHECKING:
    from random import Random

_Fields = dict[str, str | int | float]
_INFO: Final = INFO
_WARNING: Final = WARNING
# Who was itself away for more than this share of a lease judges nobody.
_STALL_SHARE: Final = 0.25
# Meta nodes that send a node round in a circle wait for an election: so does the node then.
_REDIRECTS_MAX: Final = 3


class NodeFailed(msgspec.Struct, frozen=True):
    """The node cannot go on; `reason` is for the person who started it."""

    reason: str


class Enrolment:
    """One node's seat in the membership.

    `kept` is the membership on the node's disk, empty if there is none yet; None: it has no disk.
    """

    def __init__(
        self,
        member: Member,
        config: Config,
        *,
        rng: "Random",
        now: float,
        kept: Membership | None = None,
    ) -> None:
        self.membership: Membership = kept or EMPTY_MEMBERSHIP
        self.incarnation: Incarnation | None = None
        self._member = member
        self._config = config
        self._mirror: Mirror[Incarnation, Member] = Mirror(MEMBERS)
        self._is_keeping = kept is not None
        # Until meta has said one, the membership is what the disk says.
        self.is_remembered = self.membership.epoch > 0
        if self.is_remembered:
            self._mirror.snapshot(Version(self.membership.epoch, 0), self.membership.members)
        self._backoff = Backoff(config.reconnect_seconds_min, config.reconnect_seconds_max, rng=rng)
        self._round = _Round(config.meta_addresses)
        self._meta: str | None = None
        self._lost: str | None = None
        # Whether the connection stands, and the leader has answered over it that I am a member.
        self._is_up = self._is_seated = False
        self._away, self._redirect_count = LeaderOutage(now), 0
        self.absence = self._away.absence
        self._announcements = _Announcements()
        self._request_id = 0
        # The fetch of the membership that is under way; 0: none.
        self._fetch_id = 0
        self._heard_at = self._ask_at = now
        self._connect_at: float | None = now
        self._in_use_since: float | None = None

    # --- the door: effects in, effects out ----------------------------------------------------

    def start(self) -> list[Effect]:
        """Ask for the announcements; connecting begins with the first tick."""
        listen = Listen(Link.MEMBERSHIP, MEMBERSHIP_TOPIC)
        return [listen, _remembered(self.membership)] if self.is_remembered else [listen]

    def receive(
        self, link: Link, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        """Take what came on the META and MEMBERSHIP links, or happened to them."""
        match message:
            case PeerUp(link=Link.META) if message.peer == self._meta:
                self._is_up, self._is_seated = True, False
                self._heard_at = self._ask_at = now
                return self._ask(now)
            case PeerLost(link=Link.META) if message.peer == self._meta:
                return self._go_on(now, message.reason)
            case PeerIncompatible(link=Link.META) if message.peer == self._meta:
                return self._leave(now, message.detail)
            case PeerLost(link=Link.MEMBERSHIP):
                self._announcements.lose(message.peer)
                return []
            case EpochSeen():
                return self._hear_of(message.epoch)
            case MembershipChanged() if message.cluster_id == self.membership.cluster_id:
                return self._hear_of(message.epoch)
            case MembershipReply() if link is Link.REQUESTS:
                return self._take(message, now)
            case _ if link is Link.META and peer == self._meta and isinstance(message, Message):
                self._heard_at = now
                return self._receive_answer(message, now)
            case _:
                return []

    def tick(self, now: float) -> list[Effect]:
        """Connect, renew, or give up on a meta node that does not answer."""
        if self._connect_at is not None and now >= self._connect_at:
            return self._connect()
        if now - self._ask_at > self._config.lease_seconds * _STALL_SHARE:
            self._heard_at = now
        if self._is_up and now - self._heard_at > self._config.lease_seconds / 2:
            return self._leave(now, NO_ANSWER)
        if self._is_up and now >= self._ask_at:
            return self._ask(now)
        return []

    def next_tick_at(self) -> float | None:
        """Return when `tick` is due; None while an attempt to connect is under way."""
        if self._connect_at is not None:
            return self._connect_at
        return self._ask_at if self._is_up else None

    def leave(self) -> list[Effect]:
        """Say that this node stops."""
        if not self._is_up or self.incarnation is None or self._meta is None:
            return []
        return [Send(Link.META, self._meta, Leave(self.next_request_id(), self.incarnation))]

    def report_gone(self, gone: Incarnation) -> list[Effect]:
        """Tell the leader that a connection to a member ended; nothing if it cannot be told now."""
        if not (self.leader and self.incarnation and self.membership.has_living(gone)):
            return []
        report = ReportGone(self.incarnation, gone, self.membership.cluster_id)
        return [Send(Link.META, self.leader, report)]

    def lose_incarnation(self, now: float) -> list[Effect]:
        """Act on being told that this incarnation is gone: join again, as a new one."""
        if self.incarnation is None:
            return []
        self.incarnation = None
        self._ask_at = now
        return self._ask(now) if self._is_up else []

    @property
    def leader(self) -> str | None:
        """Return the meta node that has answered over this connection that this node is in."""
        return self._meta if self._is_seated else None

    @property
    def trouble(self) -> str:
        """Return what stands in the way of any change, for people; mostly empty."""
        return self._away.sentence(self._member.node_id, is_remembered=self.is_remembered)

    def statistics(self) -> dict[str, int | float | str]:
        """Return what people want to know of it."""
        return {
            "epoch": self.membership.epoch,
            "incarnation": str(self.incarnation or "-"),
            "meta": self.leader or "-",
        }

    # --- connecting ---------------------------------------------------------------------------

    def _connect(self) -> list[Effect]:
        self._connect_at = None
        self._meta = self._round.next(self.membership, self._lost)
        if self._round.is_new:
            self.absence.begin_round()
        return [Connect(Link.META, self._meta, self._meta)]

    def _leave(self, now: float, reason: str) -> list[Effect]:
        return [Disconnect(Link.META, str(self._meta)), *self._go_on(now, reason)]

    def _go_on(self, now: float, reason: str, *, is_answer: bool = False) -> list[Effect]:
        self._lost, self._meta = self._meta, None
        self._is_up = self._is_seated = False
        self._away.note(str(self._lost), reason, now, is_answer=is_answer)
        self._in_use_since = None
        # Pauses grow from round to round: one that lives must not be found later than a lease.
        pause = self._config.reconnect_seconds_min
        if self._round.is_over:
            pause = self._backoff.next_seconds()
        pause = min(pause, self._config.renew_seconds) if self.absence.is_electing else pause
        self._connect_at = now + pause
        return list(self._away.tell_lost(now, is_round_over=self._round.is_over))

    def _ask_elsewhere(self, refused: Refused, now: float) -> list[Effect]:
        """Go to the leader at once, or on to the next meta node where nobody knows one."""
        former, address = str(self._meta), refused.address
        self.absence.hear(refused.detail, refused.address)
        leave, self._redirect_count = Disconnect(Link.META, former), self._redirect_count + 1
        if address in ("", former) or self._redirect_count > _REDIRECTS_MAX:
            self._redirect_count = 0
            return [leave, *self._go_on(now, refused.detail, is_answer=True)]
        self._meta = address
        self._is_up = self._is_seated = False
        return [leave, Connect(Link.META, address, address)]

    # --- asking and answers -------------------------------------------------------------------

    def next_request_id(self) -> int:
        """Return an id for a request to meta; whoever asks, no two are the same."""
        self._request_id += 1
        return self._request_id

    def _ask(self, now: float) -> list[Effect]:
        """Renew, or join if there is nothing to renew; again after the usual time."""
        assert self._meta is not None
        self._ask_at = now + self._config.renew_seconds
        self._fetch_id = 0
        epoch, cluster_id = self.membership.epoch, self.membership.cluster_id
        request_id = self.next_request_id()
        if self.incarnation is None:
            message: Message = Join(request_id, self._member, cluster_id, epoch)
        else:
            message = Renew(request_id, self.incarnation, cluster_id, epoch)
        out: list[Effect] = [Send(Link.META, self._meta, message)]
        # A lost announcement connection is renewed here: its own attempts end with the first loss.
        return out + self._announcements.follow(self.membership)

    def _hear_of(self, epoch: int) -> list[Effect]:
        verdict = self._mirror.hint(ZERO, Version(epoch, 0), None)
        return [] if verdict is Verdict.IGNORED else self._fetch()

    def _fetch(self, *, is_whole: bool = False) -> list[Effect]:
        """Ask what came since; once, until the answer is here or the next renewal is due."""
        if not self._is_up or self._meta is None or self._fetch_id:
            return []
        self._fetch_id = self.next_request_id()
        cluster_id, epoch = _version_of(self.membership)
        fetch = FetchMembership(self._fetch_id, cluster_id, 0 if is_whole else epoch)
        return [Send(Link.META, self._meta, fetch)]

    def _receive_answer(self, message: Message, now: float) -> list[Effect]:
        match message:
            case Renewed():
                self._redirect_count, self._is_seated = 0, True
                self._backoff.reset()
                return [*self._away.end(), *self._hear_of(message.epoch)]
            case MembershipReply():
                self._backoff.reset()
                return self._take(message, now)
            case MembershipChanges():
                self._backoff.reset()
                return self._take_changes(message, now)
            case FetchMembership():
                # A meta node that lost its memory asks those who still remember.
                reply = MembershipReply(message.request_id, self.membership)
                return [Send(Link.META, str(self._meta), reply)]
            case Refused(code=UnknownNodeError.code):
                self.incarnation = None
                self._ask_at = now
                return [Log(_WARNING, "node.incarnation.gone", {"detail": message.detail})]
            case Refused(code=NotLeaderError.code):
                return self._ask_elsewhere(message, now)
            case Refused(code=NodeIdInUseError.code):
                return self._wait_for_id(message.detail, now)
            case Refused(code=ForeignClusterError.code):
                # Whoever starts this node again means the cluster that it then comes to.
                return [*self._keep(EMPTY_MEMBERSHIP), Emit(NodeFailed(message.detail))]
            case Refused():
                return self._refused(message, now)
            case _:
                return []

    def _refused(self, refused: Refused, now: float) -> list[Effect]:
        code, detail = refused.code, refused.detail
        if self._is_seated:
            return [Log(_INFO, "meta.refused", {"code": code, "detail": detail})]
        if code == UnknownMessageError.code and not refused.request_id:
            # A session or a data node: whoever wrote the address took it for meta's.
            return self._leave(now, f"no meta node is there, but one that says {detail!r}")
        return list(self._away.refused(str(self._meta), code, detail, now))

    def _take(self, reply: MembershipReply, now: float) -> list[Effect]:
        """Take a membership, unless it is older or of another cluster than the one I am in."""
        if reply.request_id == self._fetch_id:
            self._fetch_id = 0
        membership, former_epoch = reply.membership, self.membership.epoch
        is_join = reply.incarnation.epoch > 0
        if membership.cluster_id != self.membership.cluster_id:
            if not is_join:
                return []
            self._mirror.clear()
        if not self._mirror.snapshot(Version(membership.epoch, 0), membership.members):
            return []
        is_news = _version_of(membership) != _version_of(self.membership)
        self.membership = membership
        self.is_remembered = False
        out = self._announcements.follow(membership)
        if is_news:
            out += self._keep(membership)
        if is_join:
            # What was asked twice is answered twice.
            is_told = reply.incarnation == self.incarnation
            self.incarnation, self._is_seated, self._in_use_since = reply.incarnation, True, None
            out += self._away.end()
            fields: _Fields = {"incarnation": str(reply.incarnation), "epoch": membership.epoch}
            out += [] if is_told else [Log(_INFO, "node.joined", fields)]
        elif self.incarnation is not None and not membership.has_living(self.incarnation):
            # Meta would refuse the next renewal; a predecessor of somebody must act on it now.
            self.incarnation = None
            self._ask_at = now
            out.append(Log(_WARNING, "node.incarnation.gone", {"epoch": membership.epoch}))
        if self._mirror.is_behind and membership.epoch > former_epoch:
            out += self._fetch()
        return out

    def _take_changes(self, changes: MembershipChanges, now: float) -> list[Effect]:
        """Take what came since; if it was asked for and does not fit, the whole is needed."""
        membership = changed(self.membership, changes)
        if membership is not None:
            return self._take(MembershipReply(changes.request_id, membership), now)
        if not self._fetch_id or changes.request_id != self._fetch_id:
            return []
        self._fetch_id = 0
        return self._fetch(is_whole=True) if self._mirror.is_behind else []

    def _keep(self, membership: Membership) -> list[Effect]:
        return [Emit(MembershipTaken(membership))] if self._is_keeping else []

    def _wait_for_id(self, detail: str, now: float) -> list[Effect]:
        """Wait one lease for a dead predecessor to be noticed, then say who must act."""
        if self._in_use_since is None:
            self._in_use_since = now
        if now - self._in_use_since <= self._config.lease_seconds + 1.0:
            return []
        return [Emit(NodeFailed(detail))]


class _Round:
    """Which meta node is tried next: those of the configuration, then those it learned of."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses
        self._next = 0
        # Whether all were tried.
        self.is_over = False
        # Whether the one of now is the first of a round.
        self.is_new = False

    def next(self, membership: Membership, lost: str | None) -> str:
        """Return the next one; not the one that was just lost, if there are others."""
        known = [m.address for m in membership.of(Role.META)]
        addresses = list(dict.fromkeys([*self._addresses, *known]))
        # A connection to one that is frozen hangs for as long as a lease.
        self._next += addresses[self._next % len(addresses)] == lost
        place = self._next % len(addresses)
        self.is_new = place == 0
        self._next += 1
        self.is_over = self._next % len(addresses) == 0
        return addresses[place]


class _Announcements:
    """Which of the meta nodes that announce is listened to."""

    def __init__(self) -> None:
        self._address: str | None = None
        # Raised with every loss, so that the next of several announcing nodes is listened to.
        self._loss_count = 0

    def lose(self, address: Peer) -> None:
        """Hear that a connection ended."""
        if address == self._address:
            self._address = None
            self._loss_count += 1

    def follow(self, membership: Membership) -> list[Effect]:
        """Stay with one that announces, or go to the next."""
        announcing = [m.changes_address for m in membership.of(Role.META) if m.changes_address]
        if not announcing or self._address in announcing:
            return []
        out: list[Effect] = []
        if self._address is not None:
            out.append(Disconnect(Link.MEMBERSHIP, self._address))
        self._address = announcing[self._loss_count % len(announcing)]
        return [*out, Connect(Link.MEMBERSHIP, self._address, self._address)]


def _remembered(membership: Membership) -> Log:
    fields: dict[str, str | int | float] = {
        "epoch": membership.epoch,
        "members": len(membership.members),
    }
    return Log(_INFO, "membership.remembered", fields)


def _version_of(membership: Membership) -> tuple[bytes, int]:
    return membership.cluster_id, membership.epoch
