"""The connections to the other meta nodes.

Raft sends nothing over a connection before both ends have introduced themselves and accepted each
other (`Introductions`). The members are those of Raft's configuration, and so are their addresses.

A member that is not reached there may have moved: after the addresses of all machines have changed,
no majority could agree on the new ones. So it is also tried where it was announced, and where it
said itself that it is. There it counts only if it has the id and the journal that the configuration
names.
"""

from collections.abc import Mapping
from typing import Final

from zreg.discovery.announcement import why_no_ip_address
from zreg.effects import (
    Connect,
    Disconnect,
    Effect,
    Emit,
    Link,
    Peer,
    Send,
)
from zreg.errors import UnknownNodeError
from zreg.membership.cluster_member import NodeFailed
from zreg.meta.peers.identity import Identity
from zreg.meta.peers.introduction_requests import IntroductionRequests
from zreg.meta.peers.introductions import Introductions, without_journal
from zreg.meta.peers.peer_reports import PeerReports
from zreg.meta.peers.removal_claims import RemovalClaims
from zreg.meta.peers.suggested_addresses import SuggestedAddresses
from zreg.raft.consensus import RaftCore
from zreg.raft.leader.quorum import majority
from zreg.tcp_address import why_no_address, with_host
from zreg.wire.records.common_messages import Refused
from zreg.wire.records.meta_messages import IntroduceMeta, MetaDeclined, MetaIntroduced

# How long until an unreachable peer is tried again: half of the shortest election timeout.
_RECONNECT_SECONDS: Final = 0.25
# How long a process at a suggested address may take to accept, and to say who it is.
_SUGGESTED_SECONDS: Final = 1.0


class MetaPeers:
    """All other members, and how far the connection to each of them is.

    A peer with an address is being dialled, waits in `_connect_at` to be dialled again, has an
    introduction under way (`IntroductionRequests`), or is up: connected and accepted. `PeerReports`
    holds what operators are told about it.
    """

    def __init__(self, identity: Identity, raft: RaftCore) -> None:
        self._raft = raft
        self._addresses: dict[str, str] = {}
        self._connect_at: dict[str, float] = {}
        self._suggested = SuggestedAddresses()
        # The address of the present or last attempt; and until when it is tried if it is suggested.
        self._dialled: dict[str, str] = {}
        self._give_up_at: dict[str, float] = {}
        self._up: dict[str, None] = {}
        self._reports = PeerReports()
        self.introductions = Introductions(identity, raft, self._up)
        self._introduction_requests = IntroductionRequests(self.introductions)
        self._removal_claims = RemovalClaims(identity, raft, self.introductions.bootstrap)

    def __repr__(self) -> str:
        """Show how many of them are connected."""
        return f"<MetaPeers {len(self._up)}/{len(self._addresses)}>"

    # --- queries -----------------------------------------------------------------------------

    @property
    def is_alone(self) -> bool:
        """Whether there are no other members."""
        return not self._addresses

    @property
    def up_count(self) -> int:
        """How many peers are connected and accepted."""
        return len(self._up)

    def is_up(self, peer: str) -> bool:
        """Return whether requests may be sent to a peer."""
        return peer in self._up

    def missing(self) -> Mapping[str, str]:
        """Return the peers that are not up, and why."""
        return {
            peer: self._reports.reason(peer) for peer in self._addresses if peer not in self._up
        }

    def spare_voter_count(self) -> int:
        """Return how many more voters may fail, as far as this node sees."""
        voters = self._raft.configuration.voters
        me = self.introductions.identity.node_id
        running = sum(voter in self._up or voter == me for voter in voters)
        return max(0, running - majority(len(voters)))

    def next_tick_at(self) -> float | None:
        """When `tick` is due."""
        due = [*self._connect_at.values(), *self._give_up_at.values()]
        introduce_at = self._introduction_requests.next_tick_at()
        return min(due if introduce_at is None else [*due, introduce_at], default=None)

    # --- connections -------------------------------------------------------------------------

    def follow_configuration(self) -> list[Effect]:
        """Connect to the members of the present configuration, and to no other node."""
        members = self._raft.configuration.addresses
        me = self.introductions.identity.node_id
        wanted = {peer: at for peer, at in members.items() if peer != me}
        effects: list[Effect] = []
        for peer, address in list(self._addresses.items()):
            if peer in wanted and wanted[peer] == self._dialled.get(peer) != address:
                # It has moved, and is reached there already.
                self._addresses[peer] = wanted[peer]
                self._give_up_at.pop(peer, None)
                self._suggested.forget(peer)
            elif wanted.get(peer) != address:
                self._reset(peer)
                self._reports.forget(peer)
                self._suggested.forget(peer)
                del self._addresses[peer]
                # A removed node must introduce itself again, and learns of its removal by that.
                self.introductions.drop_asker(peer)
                effects.append(Disconnect(Link.RAFT_ASK, peer))
        for peer, address in wanted.items():
            if peer not in self._addresses:
                self._addresses[peer] = self._dialled[peer] = address
                effects.append(Connect(Link.RAFT_ASK, peer, address))
        return effects

    def suggest(self, peer: str, address: str) -> None:
        """Try another address for a member, if it is not reached at its own."""
        known = self._raft.configuration.addresses.get(peer)
        me = self.introductions.identity.node_id
        if not known or peer == me or address in (known, self._dialled.get(peer)):
            return
        is_new = self._suggested.add(peer, address, is_peer_up=peer in self._up)
        if is_new and peer in self._connect_at:
            self._connect_at[peer] = 0.0

    def on_announced(self, node_id: str, address: str, journal_id: str) -> None:
        """Take where a node is announced; it must have the journal that it had."""
        named = self._raft.configuration.journals.get(node_id)
        if journal_id and journal_id == named and why_no_ip_address(address) is None:
            self.suggest(node_id, address)

    def _is_elsewhere(self, peer: str) -> bool:
        """Return whether the present attempt is at a suggested address."""
        return self._dialled.get(peer) != self._addresses[peer]

    def tick(self, now: float) -> list[Effect]:
        """Dial unreachable peers again, and repeat unanswered introductions."""
        effects: list[Effect] = []
        for peer, connect_at in list(self._connect_at.items()):
            if now >= connect_at:
                del self._connect_at[peer]
                effects.append(self._dial(peer, now))
        for peer, give_up_at in list(self._give_up_at.items()):
            if now >= give_up_at:
                effects += self._move_on(peer, now)
        return effects + self._introduction_requests.tick(now)

    def _dial(self, peer: str, now: float) -> Connect:
        configured = self._addresses[peer]
        address = self._suggested.next(peer, configured, self._dialled.get(peer))
        self._dialled[peer] = address
        if address != configured:
            self._give_up_at[peer] = now + _SUGGESTED_SECONDS
        return Connect(Link.RAFT_ASK, peer, address)

    def _move_on(self, peer: str, now: float) -> list[Effect]:
        """Leave a process that is not the member which it was to be; try the next address."""
        self._suggested.note_failed(peer, self._dialled[peer])
        self._reset(peer)
        self._connect_at[peer] = now + _RECONNECT_SECONDS
        return [Disconnect(Link.RAFT_ASK, peer)]

    def on_peer_up(self, peer: str, now: float) -> list[Effect]:
        """Introduce this node to a peer that was reached."""
        return [self._introduction_requests.send(peer, now)] if peer in self._addresses else []

    def on_peer_lost(self, peer: str, now: float) -> list[Effect]:
        """Dial a peer again later: its connection ended, or could not be made."""
        if peer not in self._addresses:
            return []
        was_up = peer in self._up
        self._suggested.note_failed(peer, self._dialled[peer])
        self._reset(peer)
        self._connect_at[peer] = now + _RECONNECT_SECONDS
        if not was_up:
            return [Disconnect(Link.RAFT_ASK, peer)]
        return [
            Disconnect(Link.RAFT_ASK, peer),
            self._reports.on_lost(peer, self.spare_voter_count()),
        ]

    def on_peer_incompatible(self, peer: str, detail: str, now: float) -> list[Effect]:
        """Note why the process at a peer's address cannot be a peer."""
        return self._not_accepted(peer, detail, now) if peer in self._addresses else []

    def on_refused(self, peer: str, refusal: Refused, now: float) -> list[Effect]:
        """Introduce this node again to a peer that refused a request."""
        if peer not in self._addresses:
            return []
        if peer in self._up:
            return self.introduce_again(peer, now)
        return self._not_accepted(peer, refusal.detail, now)

    def introduce_again(self, peer: str, now: float) -> list[Effect]:
        """Treat a peer as not accepted until it answers another introduction."""
        if peer not in self._up:
            return []
        del self._up[peer]
        if self._is_elsewhere(peer):
            self._give_up_at[peer] = now + _SUGGESTED_SECONDS
        return [self._introduction_requests.send(peer, now)]

    def introduce_to_all(self, now: float) -> list[Effect]:
        """Introduce this node to all peers again: if it was removed, their answers tell."""
        return [self._introduction_requests.send(peer, now) for peer in self._up]

    def change_host(self, host: str, now: float) -> list[Effect]:
        """Tell all peers that this node is at another host: the leader makes it known."""
        me = self.introductions.identity
        if not me.address:
            return []
        me.address = with_host(me.address, host)
        return self.introduce_to_all(now)

    def _reset(self, peer: str) -> None:
        self._up.pop(peer, None)
        self._connect_at.pop(peer, None)
        self._give_up_at.pop(peer, None)
        self._introduction_requests.end(peer)
        self._reports.forget_reason(peer)
        self._removal_claims.drop(peer)
        self.introductions.drop(peer)

    # --- introductions -----------------------------------------------------------------------

    def on_introduce_meta(self, asker: Peer, request: IntroduceMeta) -> list[Effect]:
        """Answer a node that introduces itself; its requests are taken from then on, or not."""
        introductions = self.introductions
        introductions.drop_asker(request.sender)
        about = introductions.about_me(request.sender)
        objection = introductions.objection(request)
        if objection is not None:
            no = MetaDeclined(request.request_id, *about, *objection)
            return [Send(Link.RAFT_ANSWER, asker, no)]
        introductions.accept_asker(request)
        if request.sender in self._addresses:
            introductions.accept(request)
            self._note_stated(request)
        reply = MetaIntroduced(request.request_id, *about)
        effects: list[Effect] = [Send(Link.RAFT_ANSWER, asker, reply)]
        if introductions.bootstrap.lost_journal(request):
            me = introductions.identity
            effects.append(Emit(NodeFailed(without_journal(me.node_id, me.address))))
        return effects

    def _note_stated(self, request: IntroduceMeta) -> None:
        """Go at once to where an accepted member says that it is, if it is not reached."""
        peer, address = request.sender, request.address
        is_named = self._raft.configuration.journals.get(peer) == request.journal_id
        is_known = address in (self._addresses[peer], self._dialled.get(peer))
        if is_known or not is_named or why_no_address(address) is not None:
            return
        self.suggest(peer, address)
        if peer not in self._up and address in self._suggested.of(peer):
            self._dialled.pop(peer, None)
            self._connect_at[peer] = 0.0

    def on_meta_introduced(self, peer: str, reply: MetaIntroduced, now: float) -> list[Effect]:
        """Take the answer of a peer that accepts this node, if this node accepts it too."""
        if not self._introduction_requests.awaits(peer, reply.request_id):
            return []
        if reply.sender != peer:
            detail = f"at {self._addresses[peer]} is {reply.sender}: correct one of the addresses"
            return self._not_accepted(peer, detail, now)
        objection = self.introductions.objection(reply)
        if objection is not None:
            return self._not_accepted(peer, objection[1], now)
        named = self._raft.configuration.journals.get(peer)
        is_elsewhere = self._is_elsewhere(peer)
        if is_elsewhere and reply.journal_id != named:
            return self._not_accepted(peer, "it has another journal", now)
        self._introduction_requests.end(peer)
        self._removal_claims.drop(peer)
        self._give_up_at.pop(peer, None)
        self._up[peer] = None
        self.introductions.accept(reply)
        effects = self._reports.on_accepted(peer)
        if not is_elsewhere:
            self._suggested.forget(peer)
            return effects
        return [*effects, self._reports.found(peer, self._dialled[peer], self._addresses[peer])]

    def on_meta_declined(self, peer: str, no: MetaDeclined, now: float) -> list[Effect]:
        """Take a peer's refusal of this node; a node that was removed from meta must end."""
        if not self._introduction_requests.awaits(peer, no.request_id):
            return []
        is_peer = no.sender == peer and self.introductions.foreignness(no) is None
        if is_peer and not self._is_elsewhere(peer) and no.code == UnknownNodeError.code:
            self._removal_claims.note(peer)
            if self._removal_claims.are_certain(no):
                self._up.pop(peer, None)
                return [Emit(NodeFailed(no.detail))]
        return self._not_accepted(peer, no.detail, now)

    def _not_accepted(self, peer: str, detail: str, now: float) -> list[Effect]:
        self._up.pop(peer, None)
        if self._is_elsewhere(peer):
            return self._move_on(peer, now)
        effects = self._reports.on_not_accepted(peer, detail)
        return [*effects, *self._move_on(peer, now)] if self._suggested.of(peer) else effects
