"""The other meta nodes: connections to them, and whether they are who they should be.

Nothing of Raft passes a connection before both ends have introduced themselves. A node behind the
wrong address, of another cluster, told of other founders, or back without the journal that keeps
its votes, is no peer: counting it could lose what was acknowledged. Who the members are is Raft's
configuration; a node that was added is told nothing else, and takes whoever the leader is.
"""

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from zreg.effects import (
    INFO,
    WARNING,
    Connect,
    Disconnect,
    Effect,
    Emit,
    Link,
    Log,
    Peer,
    Send,
)
from zreg.enrolment import NodeFailed
from zreg.errors import DeniedError, ForeignClusterError, UnknownNodeError
from zreg.raft.configuration import VOTER_COUNT_MAX
from zreg.raft.consensus import RaftCore
from zreg.raft.quorum import majority
from zreg.wire.messages import Refused
from zreg.wire.meta_messages import IntroduceMeta, Introduction, MetaIntroduced

# A peer that cannot be reached is tried again so often: half of the shortest election timeout.
_RECONNECT_SECONDS: Final = 0.25
# One that does not say who it is, or was refused, is asked again so often.
_INTRODUCE_SECONDS: Final = 1.0
# More senders than there are members of any two configurations are not remembered.
_ASKERS_MAX: Final = 2 * VOTER_COUNT_MAX


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who this node is to other meta nodes; the journal's name and founders never change."""

    node_id: str
    # Where others reach its Raft; empty: nowhere, it is alone for good.
    address: str
    journal_id: str
    # A digest of the list of peers that the cluster began with; empty: it was added later.
    founders: str = ""


class Peers:
    """All other meta nodes that this one knows of."""

    def __init__(self, identity: Identity, raft: RaftCore) -> None:
        self.identity = identity
        self.cluster_id = b""
        self._raft = raft
        # Where the members are that are, or should be, connected.
        self._addresses: dict[str, str] = {}
        self._connect_at: dict[str, float] = {}
        # When a connected peer that is no peer yet is asked (again) who it is.
        self._introduce_at: dict[str, float] = {}
        self._request_id = 0
        self._up: dict[str, None] = {}
        # Who was connected, and is told of when it is back.
        self._missed: dict[str, None] = {}
        # Who said who it is since its connection stands, in either direction; the last word counts.
        self.known: dict[str, Introduction] = {}
        self._askers: dict[str, None] = {}
        self._troubles: dict[str, str] = {}

    def __repr__(self) -> str:
        """Show how many of them are connected."""
        return f"<Peers {len(self._up)}/{len(self._addresses)}>"

    # --- what others ask ---------------------------------------------------------------------

    @property
    def is_alone(self) -> bool:
        """Whether there are none."""
        return not self._addresses

    @property
    def up_count(self) -> int:
        """How many are connected, and are who they should be."""
        return len(self._up)

    def is_up(self, peer: str) -> bool:
        """Whether requests may be sent to a peer."""
        return peer in self._up

    def may_ask(self, sender: str) -> bool:
        """Whether a sender of requests has said who it is."""
        return sender in self._askers

    def troubles(self) -> Mapping[str, str]:
        """Return why no connection stands to each peer to whom none does."""
        return {
            peer: self._troubles.get(peer, "not reached")
            for peer in self._addresses
            if peer not in self._up
        }

    # --- connections -------------------------------------------------------------------------

    def follow(self) -> list[Effect]:
        """Connect to the members as they are now, and to nobody else."""
        members = self._raft.configuration.addresses
        wanted = {peer: at for peer, at in members.items() if peer != self.identity.node_id}
        effects: list[Effect] = []
        for peer, address in list(self._addresses.items()):
            if wanted.get(peer) != address:
                self._forget(peer)
                self._missed.pop(peer, None)
                del self._addresses[peer]
                # Whoever was removed must say again who it is, and learns of it by that.
                self._askers.pop(peer, None)
                effects.append(Disconnect(Link.RAFT_ASK, peer))
        for peer, address in wanted.items():
            if peer not in self._addresses:
                self._addresses[peer] = address
                effects.append(Connect(Link.RAFT_ASK, peer, address))
        return effects

    def tick(self, now: float) -> list[Effect]:
        """Try those again who are not connected, or have not said who they are."""
        effects: list[Effect] = []
        for peer, connect_at in list(self._connect_at.items()):
            if now >= connect_at:
                del self._connect_at[peer]
                effects.append(Connect(Link.RAFT_ASK, peer, self._addresses[peer]))
        for peer, introduce_at in list(self._introduce_at.items()):
            if now >= introduce_at:
                effects.append(self._introduce(peer, now))
        return effects

    def next_tick_at(self) -> float | None:
        """When `tick` is due."""
        if not (self._connect_at or self._introduce_at):
            return None
        return min(*self._connect_at.values(), *self._introduce_at.values(), math.inf)

    def connected(self, peer: str, now: float) -> list[Effect]:
        """Say who this is to a peer whose connection stands."""
        return [self._introduce(peer, now)] if peer in self._addresses else []

    def lost(self, peer: str, now: float) -> list[Effect]:
        """Note that a connection is gone, or could not be made."""
        if peer not in self._addresses:
            return []
        was_up = peer in self._up
        self._forget(peer)
        self._connect_at[peer] = now + _RECONNECT_SECONDS
        if not was_up:
            return [Disconnect(Link.RAFT_ASK, peer)]
        self._missed[peer] = None
        fields: dict[str, str | int | float] = {"peer": peer, "more_may_fail": self._spare_count()}
        return [Disconnect(Link.RAFT_ASK, peer), Log(WARNING, "raft.peer.lost", fields)]

    def _spare_count(self) -> int:
        """Return how many more voters may fail, as far as this node sees."""
        voters = self._raft.configuration.voters
        here = sum(voter in self._up or voter == self.identity.node_id for voter in voters)
        return max(0, here - majority(len(voters)))

    def doubt(self, peer: str, now: float) -> list[Effect]:
        """Ask a peer again who it is: it did not take a request, or nobody leads."""
        if peer not in self._up:
            return []
        del self._up[peer]
        return [self._introduce(peer, now)]

    def introduce_all(self, now: float) -> list[Effect]:
        """Ask all peers again who they are; a node that was removed learns it by this."""
        return [self._introduce(peer, now) for peer in self._up]

    def _forget(self, peer: str) -> None:
        self._up.pop(peer, None)
        self._connect_at.pop(peer, None)
        self._introduce_at.pop(peer, None)
        self._troubles.pop(peer, None)
        # It may come back as another one.
        self.known.pop(peer, None)

    # --- introductions -----------------------------------------------------------------------

    def _introduce(self, peer: str, now: float) -> Effect:
        self._introduce_at[peer] = now + _INTRODUCE_SECONDS
        self._request_id += 1
        request = IntroduceMeta(self._request_id, self.identity.node_id, peer, *self._about_me())
        return Send(Link.RAFT_ASK, peer, request)

    def _about_me(self) -> tuple[str, str, str, bytes, int]:
        me = self.identity
        return (
            me.address,
            me.journal_id,
            me.founders,
            self.cluster_id,
            self._raft.configuration_index,
        )

    def answer(self, asker: Peer, request: IntroduceMeta) -> list[Effect]:
        """Answer a node that says who it is; from then on its requests are taken, or not."""
        self._askers.pop(request.sender, None)
        objection = self._objection(request)
        if objection is not None:
            code, detail = objection
            return [Send(Link.RAFT_ANSWER, asker, Refused(request.request_id, code, detail))]
        if len(self._askers) >= _ASKERS_MAX:
            del self._askers[next(iter(self._askers))]
        self._askers[request.sender] = None
        if request.sender in self._addresses:
            self.known[request.sender] = request
        me = self.identity.node_id
        reply = MetaIntroduced(request.request_id, me, request.sender, *self._about_me())
        return [Send(Link.RAFT_ANSWER, asker, reply)]

    def take(self, peer: str, reply: MetaIntroduced) -> list[Effect]:
        """Take the answer of a peer that says who it is."""
        if peer not in self._introduce_at or reply.request_id > self._request_id:
            return []
        if reply.sender != peer:
            detail = f"at {self._addresses[peer]} is {reply.sender}: correct one of the addresses"
            return self._object(peer, detail)
        objection = self._objection(reply)
        if objection is not None:
            return self._object(peer, objection[1])
        del self._introduce_at[peer]
        self._troubles.pop(peer, None)
        self._up[peer] = None
        self.known[peer] = reply
        if self._missed.pop(peer, self) is None:
            return [Log(INFO, "raft.peer.restored", {"peer": peer})]
        return []

    def refused(self, peer: str, refusal: Refused, now: float) -> list[Effect]:
        """Take a no: a node that is none of meta's any more must end, any other asks again."""
        if peer not in self._addresses:
            return []
        if refusal.code == UnknownNodeError.code and not self._is_being_taken_in:
            return [Emit(NodeFailed(refusal.detail))]
        if peer in self._up:
            return self.doubt(peer, now)
        return self._object(peer, refusal.detail)

    def strange(self, peer: str, detail: str) -> list[Effect]:
        """Note that whoever is at a peer's address is none of this cluster."""
        return self._object(peer, detail) if peer in self._addresses else []

    @property
    def _is_being_taken_in(self) -> bool:
        """Whether a leader sends the log, in which this node has not come to its own journal yet.

        The leader would not if this were no member; another one may know less than the leader.
        """
        known = self._raft.configuration.journals.get(self.identity.node_id)
        return self._raft.leader is not None and known != self.identity.journal_id

    def _object(self, peer: str, detail: str) -> list[Effect]:
        self._up.pop(peer, None)
        if self._troubles.get(peer) == detail:
            return []
        self._troubles[peer] = detail
        return [Log(WARNING, "raft.peer.refused", {"peer": peer, "detail": detail})]

    def _objection(self, them: Introduction) -> tuple[int, str] | None:
        """Return why a node is no peer of this one: a code, and a sentence for its operator."""
        me, configuration = self.identity, self._raft.configuration
        if them.receiver != me.node_id:
            return DeniedError.code, (
                f"this is {me.node_id}, not {them.receiver}: correct the address of {them.receiver}"
            )
        if them.cluster_id and self.cluster_id and them.cluster_id != self.cluster_id:
            return ForeignClusterError.code, (
                f"{them.sender} and {me.node_id} belong to two clusters: correct the address of "
                "one of them; one that was to be added is started again with --join, on an empty "
                "directory"
            )
        if them.founders and me.founders and them.founders != me.founders:
            return DeniedError.code, (
                f"{them.sender} and {me.node_id} were first started with different lists of peers: "
                "start those with the wrong list again, on empty directories, with the right one"
            )
        if them.configuration_index > self._raft.configuration_index:
            # It knows of changes that this one does not: of its own removal and return, perhaps.
            return None
        journal_id = configuration.journals.get(them.sender, them.journal_id)
        if journal_id != them.journal_id:
            return UnknownNodeError.code, (
                f"{them.sender} comes without the journal that it had, and has forgotten what it "
                f"promised: run `zreg meta rm {them.sender}`, then `zreg meta add "
                f"{them.sender}={them.address.removeprefix('tcp://')}`, and start it with --join "
                "on an empty directory; if most nodes have lost theirs, see `zreg meta recover`"
            )
        is_known_removed = (
            self._raft.is_configuration_committed
            and 0 < them.configuration_index < self._raft.configuration_index
        )
        if is_known_removed and them.sender not in configuration.members:
            return UnknownNodeError.code, (
                f"{them.sender} was removed from the nodes of meta: stop it; to take it in again, "
                "empty its directory, run `zreg meta add` and start it with --join"
            )
        return None
