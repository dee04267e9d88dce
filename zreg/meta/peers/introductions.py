"""What meta nodes say of themselves, and whether this node accepts them as peers.

Counting the votes of a wrong node could lose what was acknowledged. A node is no peer if it is
behind the wrong address, of another cluster, started with another list of founders, or back without
the journal that holds its votes. The members are those of Raft's configuration. A node that was
added later knows no others, and follows the leader.
"""

from typing import Final

from zreg.errors import DeniedError, ForeignClusterError, UnknownNodeError
from zreg.meta.peers.bootstrap import Bootstrap
from zreg.meta.peers.identity import Identity
from zreg.raft.configuration import VOTER_COUNT_MAX
from zreg.raft.consensus import RaftCore
from zreg.wire.records.meta_messages import IntroduceMeta, Introduction

# Twice the members of a configuration: during a change two configurations may ask.
_ASKERS_MAX: Final = 2 * VOTER_COUNT_MAX

About = tuple[str, str, str, str, str, bytes, int, int, bool, str]
Objection = tuple[int, str]


class Introductions:
    """What other meta nodes said of themselves.

    `accepted` holds members only, since their connection stands; the last word counts. `_askers`
    holds all nodes whose requests are taken, members first.
    """

    def __init__(self, identity: Identity, raft: RaftCore, connected: dict[str, None]) -> None:
        self.identity = identity
        self.cluster_id = b""
        self.accepted: dict[str, Introduction] = {}
        self.bootstrap = Bootstrap(identity, raft, connected, self.accepted)
        self._raft = raft
        self._askers: dict[str, Introduction] = {}

    def __repr__(self) -> str:
        """Show which members were accepted."""
        return f"<Introductions of {', '.join(self.accepted)}>"

    def may_ask(self, sender: str) -> bool:
        """Return whether a node has introduced itself and is of this cluster."""
        asker = self._askers.get(sender)
        # It may have come before this node knew its own cluster.
        return asker is not None and not self._is_of_another_cluster(asker)

    def about_me(self, peer: str) -> About:
        """Return the fields of an introduction of this node to a peer, in the order of the wire."""
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
            self.bootstrap.is_fresh,
            self._raft.configuration.journals.get(peer, ""),
        )

    def accept(self, introduction: Introduction) -> None:
        """Take what an accepted member says of itself."""
        self.accepted[introduction.sender] = introduction
        self.bootstrap.on_introduction(introduction)

    def accept_asker(self, request: IntroduceMeta) -> None:
        """Take requests of a node from now on."""
        if len(self._askers) >= _ASKERS_MAX:
            # There are never so many members: drop the first node that is not a member.
            members = self._raft.configuration.members
            del self._askers[next(node_id for node_id in self._askers if node_id not in members)]
        self._askers[request.sender] = request

    def drop(self, peer: str) -> None:
        """Forget what a member said: another process may answer at its address next."""
        self.accepted.pop(peer, None)

    def drop_asker(self, sender: str) -> None:
        """Refuse the requests of a node until it has introduced itself again."""
        self._askers.pop(sender, None)

    # --- objections --------------------------------------------------------------------------

    def objection(self, them: Introduction) -> Objection | None:
        """Return why a node is no peer of this one: a code, and a sentence for its operator."""
        foreignness = self.foreignness(them)
        if foreignness is not None:
            return foreignness
        undecided = self.bootstrap.undecided(them)
        if undecided is not None:
            return undecided
        configuration = self._raft.configuration
        my_position = self._raft.log.configuration_position
        if them.position > my_position:
            # It knows of changes that this node does not: of its own removal and return, perhaps.
            return None
        journal_id = configuration.journals.get(them.sender, them.journal_id)
        if journal_id != them.journal_id:
            return UnknownNodeError.code, without_journal(them.sender, them.address)
        is_known_removed = (
            self._raft.is_configuration_committed and (0, 0) < them.position < my_position
        )
        if is_known_removed and them.sender not in configuration.members:
            return UnknownNodeError.code, (
                f"{them.sender} was removed from the nodes of meta: stop it; to take it in again, "
                "empty its directory, run `zreg meta add` and start it with --join"
            )
        return self.bootstrap.objection(them)

    def foreignness(self, them: Introduction) -> Objection | None:
        """Return why a node was never of this cluster: a code, and a sentence."""
        me = self.identity
        if them.receiver != me.node_id:
            return DeniedError.code, (
                f"this is {me.node_id}, not {them.receiver}: correct the address of {them.receiver}"
            )
        if self._is_of_another_cluster(them):
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

    def _is_of_another_cluster(self, them: Introduction) -> bool:
        return bool(them.cluster_id and self.cluster_id and them.cluster_id != self.cluster_id)


def without_journal(node_id: str, address: str) -> str:
    """Return the sentence for the operator of a node whose journal was lost."""
    return (
        f"{node_id} comes without the journal that it had, and has forgotten what it promised: run "
        f"`zreg meta rm {node_id}`, then `zreg meta add {node_id}={address.removeprefix('tcp://')}`"
        ", and start it with --join on an empty directory; if most nodes have lost theirs, see "
        "`zreg meta recover`"
    )
