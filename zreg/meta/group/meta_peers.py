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
from zreg.errors import DeniedError, ForeignClusterError, UnknownNodeError
from zreg.membership.cluster_member import NodeFailed
from zreg.meta.group.bootstrap import Bootstrap
from zreg.raft.configuration import VOTER_COUNT_MAX
from zreg.raft.consensus import RaftCore
from zreg.raft.quorum import majority
from zreg.wire.common_messages import Refused
from zreg.wire.meta_messages import IntroduceMeta, Introduction, MetaDeclined, MetaIntroduced

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


class MetaPeers:
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
        self.founding = Bootstrap(identity, raft, self._up, self.known)
        # Who said who it is and may ask.
        self._askers: dict[str, Introduction] = {}
        # Who says that this node is no member (any more).
        self._decliners: dict[str, None] = {}
        self._troubles: dict[str, str] = {}

    def __repr__(self) -> str:
        """Show how many of them are connected."""
        return f"<MetaPeers {len(self._up)}/{len(self._addresses)}>"

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
        """Whether a sender of requests has said who it is, and is of this cluster."""
        asker = self._askers.get(sender)
        # It may have come before this node knew its own cluster.
        return asker is not None and not self._is_of_another_cluster(asker)

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
        self._decliners.pop(peer, None)
        # It may come back as another one.
        self.known.pop(peer, None)

    # --- introductions -----------------------------------------------------------------------

    def _introduce(self, peer: str, now: float) -> Effect:
        self._introduce_at[peer] = now + _INTRODUCE_SECONDS
        self._request_id += 1
        request = IntroduceMeta(self._request_id, *self._about_me(peer))
        return Send(Link.RAFT_ASK, peer, request)

    def _about_me(self, peer: str) -> tuple[str, str, str, str, str, bytes, int, int, bool, str]:
        me, (term, index) = self.identity, self._raft.log.configuration_position
        return (
            me.node_id,
            peer,
            me.address,
            me.journal_id,
            me.founders,
            self.cluster_id,
            index,
            term,
            self.founding.is_fresh,
            self._raft.configuration.journals.get(peer, ""),
        )

    def answer(self, asker: Peer, request: IntroduceMeta) -> list[Effect]:
        """Answer a node that says who it is; from then on its requests are taken, or not."""
        self._askers.pop(request.sender, None)
        objection = self._objection(request)
        if objection is not None:
            no = MetaDeclined(request.request_id, *self._about_me(request.sender), *objection)
            return [Send(Link.RAFT_ANSWER, asker, no)]
        if len(self._askers) >= _ASKERS_MAX:
            self._forget_asker()
        self._askers[request.sender] = request
        if request.sender in self._addresses:
            self.known[request.sender] = request
            self.founding.note(request)
        reply = MetaIntroduced(request.request_id, *self._about_me(request.sender))
        effects: list[Effect] = [Send(Link.RAFT_ANSWER, asker, reply)]
        if self.founding.is_forgetful(request):
            why = _without_journal(self.identity.node_id, self.identity.address)
            effects.append(Emit(NodeFailed(why)))
        return effects

    def _forget_asker(self) -> None:
        """Forget the stranger that came first: there are never so many members."""
        members = self._raft.configuration.members
        del self._askers[next(each for each in self._askers if each not in members)]

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
        self._decliners.pop(peer, None)
        self._up[peer] = None
        self.known[peer] = reply
        self.founding.note(reply)
        if self._missed.pop(peer, self) is None:
            return [Log(INFO, "raft.peer.restored", {"peer": peer})]
        return []

    def refused(self, peer: str, refusal: Refused, now: float) -> list[Effect]:
        """Take a no to a request: it is asked again who this is."""
        if peer not in self._addresses:
            return []
        if peer in self._up:
            return self.doubt(peer, now)
        return self._object(peer, refusal.detail)

    def strange(self, peer: str, detail: str) -> list[Effect]:
        """Note that whoever is at a peer's address is none of this cluster."""
        return self._object(peer, detail) if peer in self._addresses else []

    def declined(self, peer: str, no: MetaDeclined) -> list[Effect]:
        """Take a no to an introduction: a node that is none of meta's any more must end."""
        if peer not in self._introduce_at or no.request_id > self._request_id:
            return []
        detail = no.detail
        if no.sender == peer and self._foreignness(no) is None and no.code == UnknownNodeError.code:
            self._decliners[peer] = None
            if self._is_final(no):
                self._up.pop(peer, None)
                return [Emit(NodeFailed(detail))]
        return self._object(peer, detail)

    def _is_final(self, no: MetaDeclined) -> bool:
        """Whether who says that this is no member knows enough to say so.

        One that was away does not know of an addition yet, nor does a node that is being added.
        """
        known = self._raft.configuration.journals.get(self.identity.node_id)
        was_member = known == self.identity.journal_id
        if self._raft.leader is not None and not was_member:
            # A leader sends it the log: it would not if this were no member.
            return False
        was_told_nothing = bool(self.identity.founders) and self.founding.is_fresh
        is_later = no.position > self._raft.log.configuration_position
        if (was_member or was_told_nothing) and is_later:
            return True
        voters = self._raft.configuration.voters
        is_agreed = sum(voter in self._decliners for voter in voters) >= majority(len(voters))
        return is_agreed or no.configuration_term > self._raft.term

    def _object(self, peer: str, detail: str) -> list[Effect]:
        self._up.pop(peer, None)
        if self._troubles.get(peer) == detail:
            return []
        self._troubles[peer] = detail
        return [Log(WARNING, "raft.peer.refused", {"peer": peer, "detail": detail})]

    def _objection(self, them: Introduction) -> tuple[int, str] | None:
        """Return why a node is no peer of this one: a code, and a sentence for its operator."""
        foreignness = self._foreignness(them)
        if foreignness is not None:
            return foreignness
        configuration = self._raft.configuration
        my_position = self._raft.log.configuration_position
        if them.position > my_position:
            # It knows of changes that this one does not: of its own removal and return, perhaps.
            return None
        journal_id = configuration.journals.get(them.sender, them.journal_id)
        if journal_id != them.journal_id:
            return UnknownNodeError.code, _without_journal(them.sender, them.address)
        is_known_removed = (
            self._raft.is_configuration_committed and (0, 0) < them.position < my_position
        )
        if is_known_removed and them.sender not in configuration.members:
            return UnknownNodeError.code, (
                f"{them.sender} was removed from the nodes of meta: stop it; to take it in again, "
                "empty its directory, run `zreg meta add` and start it with --join"
            )
        return self.founding.objection(them)

    def _foreignness(self, them: Introduction) -> tuple[int, str] | None:
        is_other = self._is_of_another_cluster(them)
        return _foreignness(self.identity, them, is_of_another_cluster=is_other)

    def _is_of_another_cluster(self, them: Introduction) -> bool:
        return bool(them.cluster_id and self.cluster_id and them.cluster_id != self.cluster_id)


def _without_journal(node_id: str, address: str) -> str:
    return (
        f"{node_id} comes without the journal that it had, and has forgotten what it promised: run "
        f"`zreg meta rm {node_id}`, then `zreg meta add {node_id}={address.removeprefix('tcp://')}`"
        ", and start it with --join on an empty directory; if most nodes have lost theirs, see "
        "`zreg meta recover`"
    )


def _foreignness(
    me: Identity, them: Introduction, *, is_of_another_cluster: bool
) -> tuple[int, str] | None:
    """Return why two nodes never were of one cluster."""
    if them.receiver != me.node_id:
        return DeniedError.code, (
            f"this is {me.node_id}, not {them.receiver}: correct the address of {them.receiver}"
        )
    if is_of_another_cluster:
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
    return None
