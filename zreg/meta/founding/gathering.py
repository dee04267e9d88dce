"""Empty meta nodes agree on the list of founders of their cluster, without being told it.

Each node asks the others at their announced addresses, and states which list it would write. The
list is agreed on in two phases, so that one set of nodes never founds two clusters:

1. *Prepare.* A node writes the list to its journal, and never writes another one. The node with
   the smallest id is the coordinator: it writes first, once every node of the list has stated that
   it sees exactly this list. A node that sees itself in a written list writes the same list.
2. *Commit.* From then on the list is like one that was given with `--peer`: there is an election
   only while all founders are connected and have written this list (`Bootstrap`, ADR 0012).

All nodes of a list must have written it before it can found a cluster, and a journal holds one list
at most. So of two lists that share a journal at most one ever founds a cluster. What is announced
wrongly, late or never can only delay this.
"""

from collections.abc import Sequence
from typing import Final, TypeVar

from zreg.discovery.announcement import Announcement, Wanted
from zreg.discovery.sightings import Browse
from zreg.effects import (
    INFO,
    Effect,
    Emit,
    Link,
    Log,
    Peer,
    PeerIncompatible,
    PeerLost,
    PeerUp,
    Send,
)
from zreg.meta.founding.candidates import ASK_SECONDS, ASK_SELDOM_SECONDS, Candidates
from zreg.meta.founding.gathering_progress import progress_sentence, silent_text
from zreg.meta.founding.met_clusters import MetClusters
from zreg.meta.group.raft_driver import RaftDriver
from zreg.model import Role
from zreg.wire.records.meta_messages import (
    AskFounding,
    Founder,
    FoundingReply,
    FoundingStage,
    FoundingStatement,
)

_Statement = TypeVar("_Statement", bound=FoundingStatement)

# A node that has just started first looks for a cluster that exists, and for more nodes.
LISTEN_SECONDS: Final = 3.0


class Gathering:
    """What an empty meta node knows of the nodes with which it will found a cluster.

    A node without `bootstrap_expect` only answers. A node that knows its cluster looks for other
    clusters of the same name, and reports them.
    """

    def __init__(self, raft_driver: RaftDriver, cluster: str, *, now: float) -> None:
        self._raft_driver = raft_driver
        self._raft = raft_driver.raft
        self._me = raft_driver.peers.introductions.identity
        self._wanted = Wanted(role=Role.META, cluster=cluster)
        self._candidates = Candidates(self._me)
        self.met_clusters = MetClusters()
        self._listens_until = now + LISTEN_SECONDS
        self._tick_at = now if self._me.bootstrap_expect else None
        self._logged = ""
        bootstrap = raft_driver.peers.introductions.bootstrap
        self._raft.ask_before_elections(
            lambda last_index: self.may_elect() and bootstrap.may_elect(last_index)
        )

    def __repr__(self) -> str:
        """Show the stage and the candidates."""
        return f"<Gathering {self.stage.name} {self._candidates!r}>"

    # --- queries -----------------------------------------------------------------------------

    @property
    def stage(self) -> FoundingStage:
        """How far this node is."""
        raft, me = self._raft, self._me
        if not raft.log.last_index:
            return FoundingStage.EMPTY
        is_listed = raft.log.last_index == 1 and bool(me.founders)
        return FoundingStage.LISTED if is_listed else FoundingStage.FOUNDED

    @property
    def is_gathering(self) -> bool:
        """Whether this node may still write a list; a node that heard of a term may not."""
        return bool(self._me.bootstrap_expect) and not (
            self._raft.term or self._raft.log.last_index
        )

    def may_elect(self) -> bool:
        """Return whether this node may help to found its cluster: it has met no other one."""
        return self.stage is not FoundingStage.LISTED or not self.met_clusters

    def sentence(self) -> str:
        """Return how far the gathering is, and what it waits for; empty if there is none."""
        if not self.is_gathering:
            return ""
        return self._progress() + silent_text(self._candidates.silent())

    def other_clusters(self) -> str:
        """Return the nodes of other clusters of this name, for people; empty if there are none."""
        return "" if self.is_gathering else self.met_clusters.sentence()

    def statement(self, kind: type[_Statement], request_id: int = 0) -> _Statement:
        """Return what this node says of itself."""
        me = self._me
        return kind(
            request_id=request_id,
            sender=me.node_id,
            address=me.address,
            journal_id=me.journal_id,
            stage=self.stage,
            expect=me.bootstrap_expect,
            founders=self._stated_list(),
            founders_digest=me.founders,
            cluster_id=self._raft_driver.peers.introductions.cluster_id,
        )

    def next_tick_at(self) -> float | None:
        """When `tick` is due."""
        return self._tick_at

    # --- the list ----------------------------------------------------------------------------

    def _stated_list(self) -> tuple[Founder, ...]:
        match self.stage:
            case FoundingStage.EMPTY:
                return self._seen_list() if self.is_gathering and not self.met_clusters else ()
            case FoundingStage.LISTED:
                return tuple(Founder(*each) for each in self._raft.configuration.addresses.items())
            case _:
                return ()

    def _companions(self) -> list[FoundingReply]:
        """Return the other nodes that gather, or that have written a list, as this one expects."""
        me = self._me
        return [
            said
            for said in self._candidates.statements()
            if said.stage is not FoundingStage.FOUNDED
            and said.journal_id != me.journal_id
            and (said.expect == me.bootstrap_expect or self._is_named_by(said))
        ]

    def _is_named_by(self, said: FoundingReply) -> bool:
        """Return whether a node has written a list in which this node stands."""
        me = self._me
        is_mine = Founder(me.node_id, me.address) in said.founders
        return said.stage is FoundingStage.LISTED and is_mine

    def _seen_list(self) -> tuple[Founder, ...]:
        """Return the list that this node would write now; empty if there is none."""
        me = self._me
        seen = {each.sender: each.address for each in self._companions()} | {me.node_id: me.address}
        if len(seen) != 1 + len(self._companions()) or len(seen) != me.bootstrap_expect:
            return ()
        return tuple(Founder(*each) for each in sorted(seen.items()))

    def _list_to_write(self) -> tuple[Founder, ...]:
        """Return the list that this node must write now; empty if there is none."""
        companions = self._companions()
        written = [each for each in companions if each.stage is FoundingStage.LISTED]
        for each in written:
            if self._is_named_by(each) and len(set(each.founders)) == self._me.bootstrap_expect:
                return each.founders
        seen = self._seen_list()
        if written or not seen or seen[0].node_id != self._me.node_id:
            return ()
        return seen if all(each.founders == seen for each in companions) else ()

    # --- inputs ------------------------------------------------------------------------------

    def start(self) -> list[Effect]:
        """Have the LAN watched, for other founders and for members that have moved."""
        return [Emit(Browse(is_wanted=True))] if self._me.address else []

    def on_sighted(self, announcement: Announcement, now: float) -> list[Effect]:
        """Take an announcement.

        That one is taken back is ignored: anyone can say so, and the connection tells the truth.
        """
        is_used = announcement.raft_address and self._wanted.objection(announcement) is None
        if not self._me.bootstrap_expect or not is_used:
            return []
        return [*self._candidates.on_sighted(announcement, now), *self._judge(now)]

    def on_ask_founding(self, peer: Peer, question: AskFounding, now: float) -> list[Effect]:
        """Answer a meta node that asks; a node that gathers asks it in turn."""
        reply = self.statement(FoundingReply, question.request_id)
        answer = Send(Link.RAFT_ANSWER, peer, reply)
        if not self._me.bootstrap_expect:
            return [answer]
        return [answer, *self._candidates.on_asked(question), *self._judge(now)]

    def on_founding_reply(self, peer: Peer, reply: FoundingReply, now: float) -> list[Effect]:
        """Take what a candidate says of itself."""
        return [*self._candidates.on_answer(str(peer), reply, now), *self._judge(now)]

    def on_refused(self, peer: Peer, detail: str, now: float) -> list[Effect]:
        """Note why a candidate does not count."""
        self._candidates.on_refused(str(peer), detail)
        return self._judge(now)

    def on_event(self, event: PeerUp | PeerLost | PeerIncompatible, now: float) -> list[Effect]:
        """Take an event of the connection to a candidate."""
        peer = str(event.peer)
        effects: list[Effect] = []
        if isinstance(event, PeerUp):
            self._candidates.on_peer_up(peer, now)
        elif isinstance(event, PeerLost):
            effects += self._candidates.on_peer_lost(peer, now)
        else:
            self._candidates.on_refused(peer, event.detail)
        return [*effects, *self._judge(now)]

    def tick(self, now: float) -> list[Effect]:
        """Dial and ask the candidates, and see whether a list can be written."""
        if self._tick_at is None or now < self._tick_at:
            return []
        is_founded = self.stage is FoundingStage.FOUNDED
        self._candidates.ask_seconds = ASK_SELDOM_SECONDS if is_founded else ASK_SECONDS
        effects = self._candidates.tick(now, self.statement(AskFounding))
        return [*effects, *self._judge(now)]

    # --- decisions ---------------------------------------------------------------------------

    def _judge(self, now: float) -> list[Effect]:
        """Note other clusters, write a list if that is due, and log what has changed."""
        due = [self._candidates.next_tick_at()]
        if self.is_gathering and now < self._listens_until:
            due.append(self._listens_until)
        self._tick_at = min((each for each in due if each is not None), default=None)
        effects = self._meet_clusters()
        if not self.is_gathering:
            return effects
        if now >= self._listens_until and not self.met_clusters:
            founders = self._list_to_write()
            if founders:
                return [*effects, *self._write(founders)]
        return [*effects, *self._log_progress()]

    def _write(self, founders: Sequence[Founder]) -> list[Effect]:
        names = ", ".join(each.node_id for each in founders)
        fields: dict[str, str | int | float] = {"node_id": self._me.node_id, "founders": names}
        written = self._raft_driver.found({each.node_id: each.address for each in founders})
        return [*written, Log(INFO, "bootstrap.agreed", fields)]

    def _meet_clusters(self) -> list[Effect]:
        if self.stage is FoundingStage.FOUNDED:
            # What was met before may have been the cluster that has added this node.
            self.met_clusters.forget()
        founded = [
            said
            for said in self._candidates.statements()
            if said.stage is FoundingStage.FOUNDED and self._is_of_another_cluster(said)
        ]
        return self.met_clusters.take(founded, self._me.node_id)

    def _is_of_another_cluster(self, said: FoundingReply) -> bool:
        """Return whether a node of a cluster is surely not of the cluster of this node."""
        if self.stage is FoundingStage.EMPTY:
            return True
        mine = self._me.founders, self._raft_driver.peers.introductions.cluster_id
        theirs = said.founders_digest, said.cluster_id
        if mine[1] and theirs[1]:
            return mine[1] != theirs[1]
        return bool(mine[0] and theirs[0]) and mine[0] != theirs[0]

    def _log_progress(self) -> list[Effect]:
        sentence = self._progress()
        if sentence == self._logged:
            return []
        self._logged = sentence
        return [Log(INFO, "bootstrap.waiting", {"node_id": self._me.node_id, "detail": sentence})]

    def _progress(self) -> str:
        companions = self._companions()
        strangers = [
            said
            for said in self._candidates.statements()
            if said.stage is not FoundingStage.FOUNDED
            and said not in companions
            and said.journal_id != self._me.journal_id
        ]
        return progress_sentence(self._me, companions, strangers, self.met_clusters)
