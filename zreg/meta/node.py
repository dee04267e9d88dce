"""Join the meta core to a reactor: ROUTER for nodes, PUB for the membership, REQ and REP for Raft.

With a directory its journal is there, and a restarted node goes on from it. Without one it is a
lone node that forgets, as `zreg dev` runs it.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from random import SystemRandom
from typing import Final

import msgspec

from zreg.effects import Link, Save
from zreg.errors import UsageError
from zreg.meta.agreement import first_persisted, first_save, new_raft
from zreg.meta.core import MetaCore
from zreg.model import Role
from zreg.raft.configuration import decode_configuration
from zreg.raft.ready import Persisted
from zreg.reactor.journal import Journal, JournalError
from zreg.reactor.node import Node, NodeSettings, clock, new_member, opened_doors
from zreg.reactor.perform import Disk, EventCallback
from zreg.reactor.table import LinkTable
from zreg.wire.raft_messages import EntryKind

DEFAULT_ADDRESS: Final = "tcp://127.0.0.1:9610"
DEFAULT_MEMBERSHIP_ADDRESS: Final = "tcp://127.0.0.1:9612"
JOURNAL_NAME: Final = "raft.db"
_PEER_COUNTS: Final = (1, 3, 5)


class Forgetful:
    """The disk of a node that has none: it may forget, as nobody else relies on it."""

    def save(self, step: Save) -> None:
        """Keep nothing."""


class MetaPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where a meta node is, and who else is one."""

    address: str = DEFAULT_ADDRESS
    membership_address: str = DEFAULT_MEMBERSHIP_ADDRESS
    # Where its journal is; None: it has none, and forgets.
    directory: Path | None = None
    # Raft's address of each meta node by id, this one included; empty: it is alone.
    peers: Mapping[str, str] = {}


class MetaNode(Node):
    """One meta node; its sockets are bound and its journal is open when this returns."""

    def __init__(
        self,
        settings: NodeSettings,
        place: MetaPlace,
        *,
        on_event: EventCallback | None = None,
    ) -> None:
        _check(settings, place)
        self._journal: Journal | None = None
        with opened_doors(_table(settings, place), settings) as doors:
            member = new_member(Role.META, doors, settings, Link.NODES, Link.MEMBERSHIP)
            peers = place.peers or {member.node_id: place.address}
            disk: Disk = Forgetful()
            persisted = first_persisted(peers)
            if place.directory is not None:
                identity = {"node_id": member.node_id, "cluster": settings.config.cluster}
                disk = self._journal = _opened(place.directory, identity)
                persisted = _loaded(self._journal, peers, place.directory)
            core = MetaCore(
                member,
                settings.config,
                raft=new_raft(member.node_id, persisted, SystemRandom()),
                cluster_id=os.urandom(16),
                now=clock(),
                peers=peers,
                is_forgetful=self._journal is None,
            )
        super().__init__(core, doors, member, settings, on_event, disk)

    async def run(self) -> None:
        """Serve until `stop`; raises `NodeEndError` when this node must not go on."""
        try:
            await super().run()
        finally:
            self._close_journal()

    def close(self) -> None:
        """Close what a node that is never run holds."""
        super().close()
        self._close_journal()

    def _close_journal(self) -> None:
        if self._journal is not None:
            self._journal.close()


def _check(settings: NodeSettings, place: MetaPlace) -> None:
    if len(place.peers) not in (0, *_PEER_COUNTS):
        raise UsageError(
            f"{len(place.peers)} meta nodes are named: name all of them, 1, 3 or 5, on each of "
            "them in the same way (an even number fails as easily as one less)"
        )
    if len(place.peers) > 1 and place.directory is None:
        raise UsageError("meta nodes that have peers must remember: say where with --dir")
    if place.peers and settings.node_id not in place.peers:
        raise UsageError(
            f"the peers {', '.join(place.peers)} do not include this node, "
            f"{settings.node_id or 'which has no --id'}: give it the --id of one of them"
        )


def _table(settings: NodeSettings, place: MetaPlace) -> LinkTable:
    routers = {Link.NODES: place.address}
    pubs = {Link.MEMBERSHIP: place.membership_address}
    if len(place.peers) <= 1:
        return LinkTable(routers=routers, pubs=pubs, checks=(Link.CHECKS,))
    # On the host that the other links bind to, at the port that peers are told.
    host = place.address.rpartition(":")[0]
    port = place.peers[settings.node_id].rpartition(":")[2]
    answers = {Link.RAFT_ANSWER: f"{host}:{port}"}
    return LinkTable(
        routers=routers,
        pubs=pubs,
        asks=(Link.RAFT_ASK,),
        answers=answers,
        checks=(Link.CHECKS,),
    )


def _opened(directory: Path, identity: Mapping[str, str]) -> Journal:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{directory} cannot be used: {error.strerror}; name another") from error
    return Journal(directory / JOURNAL_NAME, identity=identity)


def _loaded(journal: Journal, peers: Mapping[str, str], directory: Path) -> Persisted:
    """Return what the journal holds; one that is new begins the cluster with these peers."""
    if journal.contents.term == 0:
        journal.save(first_save(peers))
        return first_persisted(peers)
    persisted = Persisted.of(journal.contents)
    voters = _voters(persisted)
    if voters != tuple(sorted(peers)):
        journal.close()
        raise JournalError(
            f"The journal in {directory} is of the meta nodes {', '.join(voters)}, and now "
            f"{', '.join(sorted(peers))} are named: name the same ones, or give a new node another "
            "--dir."
        )
    return persisted


def _voters(persisted: Persisted) -> tuple[str, ...]:
    kept = [e.data for e in persisted.entries if e.kind is EntryKind.CONFIGURATION]
    if persisted.snapshot is not None:
        kept.insert(0, persisted.snapshot.configuration)
    return decode_configuration(kept[-1]).voters
