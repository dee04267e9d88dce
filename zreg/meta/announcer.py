"""Announces the membership to nodes, and answers their fetches, from the state applied here."""

from typing import Final

from zreg.effects import MEMBERSHIP_TOPIC, Broadcast, Effect, Link, Peer, Send
from zreg.errors import NotReadyError
from zreg.meta.group.quorum_alarm import QuorumAlarm
from zreg.meta.state.meta_state import MetaState
from zreg.model import EMPTY_MEMBERSHIP
from zreg.wire.parts import cut_detail
from zreg.wire.records.common_messages import Refused
from zreg.wire.records.membership_messages import (
    FetchMembership,
    MembershipChanged,
    MembershipReply,
)

# Each announcement makes all sessions and data nodes fetch. Changes of settings, which may come in
# quick succession, are announced together.
_ANNOUNCE_SECONDS: Final = 0.05


class MembershipAnnouncer:
    """Announces changes of members at once, and changes of settings together.

    Every meta node has one, since every meta node serves the membership.
    """

    def __init__(
        self, state: MetaState, quorum_alarm: QuorumAlarm, beat_seconds: float, *, now: float
    ) -> None:
        self._state = state
        self._quorum_alarm = quorum_alarm
        self._beat_seconds = beat_seconds
        self._announced = EMPTY_MEMBERSHIP
        self._announced_at = now
        self._beat_at = now

    def next_tick_at(self) -> float:
        """When the beat or an announcement is due."""
        due_at = self._change_at()
        return self._beat_at if due_at is None else min(self._beat_at, due_at)

    def tick(self, now: float) -> list[Effect]:
        """Announce the epoch with each beat, also an unchanged one: announcements may be lost."""
        if now < self._beat_at:
            return []
        self._beat_at = now + self._beat_seconds
        return self._announce(now)

    def settle(self, now: float) -> list[Effect]:
        """Announce a change that is due."""
        change_at = self._change_at()
        return [] if change_at is None or now < change_at else self._announce(now)

    def on_fetch_membership(self, link: Link, peer: Peer, request: FetchMembership) -> Send:
        """Answer with what changed since the node's epoch, or with the whole membership."""
        alarm = cut_detail(self._quorum_alarm.sentence())
        if not self._state.is_founded:
            detail = alarm or "this meta node knows no members yet: ask again"
            return Send(link, peer, Refused(request.request_id, NotReadyError.code, detail))
        membership = self._state.membership
        changes = self._state.history.answer(request, membership)
        if changes is not None:
            return Send(link, peer, changes)
        return Send(link, peer, MembershipReply(request.request_id, membership, trouble=alarm))

    def _change_at(self) -> float | None:
        """When to announce a change: of members at once, of settings after a pause."""
        announced, membership = self._announced, self._state.membership
        if announced is membership or announced.epoch == membership.epoch:
            return None
        are_members_new = announced.members is not membership.members
        return self._announced_at + (0.0 if are_members_new else _ANNOUNCE_SECONDS)

    def _announce(self, now: float) -> list[Effect]:
        membership = self._state.membership
        self._announced, self._announced_at = membership, now
        if not self._state.is_founded:
            return []
        message = MembershipChanged(membership.cluster_id, membership.epoch)
        return [Broadcast(Link.MEMBERSHIP, MEMBERSHIP_TOPIC, message)]
