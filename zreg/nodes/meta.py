"""Join the meta core to a reactor: ROUTER for nodes, PUB for the membership, REQ and REP for Raft.

Its journal is in its directory, and a restarted node goes on from it.
"""

import logging
import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from random import Random
from typing import Final

import msgspec

from zreg.effects import Link
from zreg.errors import UsageError
from zreg.meta.core import MetaCore
from zreg.meta.group.leader_handover import HandedOver, HandOver
from zreg.meta.group.raft_driver import new_raft
from zreg.meta.peers.identity import Identity, first_save, founders_of, persisted_of
from zreg.model import Role
from zreg.nodes.base import Node, NodeSettings, clock, new_member, opened_doors
from zreg.raft.ready import Persisted, configuration_of
from zreg.reactor.effect_runner import EventCallback
from zreg.reactor.link_table import LinkTable
from zreg.storage.directory_lock import DirectoryLock
from zreg.storage.journal import Journal

DEFAULT_ADDRESS: Final = "tcp://127.0.0.1:9610"
DEFAULT_MEMBERSHIP_ADDRESS: Final = "tcp://127.0.0.1:9612"
JOURNAL_NAME: Final = "raft.db"
# The fact that tells one journal from another.
JOURNAL_ID: Final = "journal_id"
_FOUNDER_COUNTS: Final = (1, 3, 5)

logger = logging.getLogger("zreg.meta")


class MetaPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where a meta node is, and who else is one."""

    address: str = DEFAULT_ADDRESS
    membership_address: str = DEFAULT_MEMBERSHIP_ADDRESS
    # Where its journal is.
    directory: Path
    # Raft's address of each meta node by id, this one included; empty: it is alone for good. After
    # the first start the journal knows them, and only this node's own is looked at.
    peers: Mapping[str, str] = {}
    # Whether, without a journal, it waits to be taken in and does not found a cluster.
    is_joining: bool = False


class _Origin(msgspec.Struct, frozen=True):
    """What a node starts from."""

    persisted: Persisted
    identity: Identity


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
        self._tell = on_event
        self._held: DirectoryLock | None = None
        self._journal: Journal | None = None
        with opened_doors(_table(settings, place), settings) as doors:
            member = new_member(Role.META, doors, settings, Link.NODES, Link.MEMBERSHIP)
            try:
                # Its journal has a lock of its own, which no session and no data node takes.
                self._held = DirectoryLock(place.directory)
                facts = {"node_id": member.node_id, "cluster": settings.config.cluster}
                self._journal = Journal(place.directory / JOURNAL_NAME, identity=facts)
                origin = _origin(self._journal, member.node_id, place)
            except BaseException:
                self._close_journal()
                raise
            core = MetaCore(
                member,
                settings.config,
                # Nothing of it is secret, and one of the system's would ask it once a request.
                raft=new_raft(member.node_id, origin.persisted, Random()),  # noqa: S311
                identity=origin.identity,
                cluster_id=os.urandom(16),
                now=clock(),
            )
        super().__init__(core, doors, member, settings, self._take_event, self._journal)

    async def run(self) -> None:
        """Serve until `stop`; raises `NodeEndError` when this node must not go on."""
        try:
            await super().run()
        finally:
            self._close_journal()

    def _say_goodbye(self) -> None:
        """Hand over the lead, if this node has it, and end."""
        self._reactor.post(HandOver())

    def close(self) -> None:
        """Close what a node that is never run holds."""
        super().close()
        self._close_journal()

    def _take_event(self, event: msgspec.Struct) -> None:
        if isinstance(event, HandedOver):
            self._reactor.stop()
        elif self._tell is not None:
            self._tell(event)

    def _close_journal(self) -> None:
        if self._journal is not None:
            self._journal.close()
        if self._held is not None:
            self._held.release()


def remembered_peers(directories: Iterable[Path]) -> dict[str, str]:
    """Return the nodes of meta as the first journal in these directories knows them: `HOST:PORT`.

    Nothing where there is none, or its node is alone. Raises `JournalError`.
    """
    for directory in directories:
        path = directory / JOURNAL_NAME
        if path.exists():
            journal = Journal(path, identity={})
            known = configuration_of(Persisted.of(journal.contents)).addresses
            journal.close()
            return {name: at.removeprefix("tcp://") for name, at in known.items() if at}
    return {}


def _check(settings: NodeSettings, place: MetaPlace) -> None:
    if place.peers and settings.node_id not in place.peers:
        raise UsageError(
            f"the peers {', '.join(place.peers)} do not include this node, "
            f"{settings.node_id or 'which has no --id'}: give it the --id of one of them"
        )
    if place.is_joining and not place.peers:
        raise UsageError(
            "a meta node that joins others needs --peer ID=HOST:PORT with its own id and the "
            "address at which they will reach it"
        )


def _table(settings: NodeSettings, place: MetaPlace) -> LinkTable:
    routers = {Link.NODES: place.address}
    pubs = {Link.MEMBERSHIP: place.membership_address}
    if not place.peers:
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


def _origin(journal: Journal, node_id: str, place: MetaPlace) -> _Origin:
    """Return what the journal holds; a new one founds a cluster with these peers, or joins one."""
    # A node without peers has no address in Raft, which tells everybody that it stays alone.
    address = place.peers.get(node_id, "")
    peers = place.peers or {node_id: address}
    is_new = not journal.contents.term and not journal.contents.entries
    if is_new and not place.is_joining and journal.facts.get("founders") != "":
        # Before the list is kept for ever.
        _check_founders(peers)
    journal_id = journal.keep_fact(JOURNAL_ID, new_journal_id())
    wanted = "" if place.is_joining else founders_of(peers)
    founders = journal.keep_fact("founders", wanted)
    if is_new and founders not in ("", wanted):
        # It ended before it had written the list itself, and is told another one now.
        journal.replace_fact("founders", wanted)
        founders = wanted
    persisted = Persisted.of(journal.contents)
    if is_new and founders:
        save = first_save(peers)
        journal.save(save)
        persisted = persisted_of(save)
    elif known := configuration_of(persisted).addresses:
        _compare(node_id, known, place.peers)
    identity = Identity(node_id=node_id, address=address, journal_id=journal_id, founders=founders)
    return _Origin(persisted, identity)


def new_journal_id() -> str:
    """Return a name that no other journal has."""
    return secrets.token_hex(8)


def _check_founders(peers: Mapping[str, str]) -> None:
    if len(peers) not in _FOUNDER_COUNTS:
        raise UsageError(
            f"{len(peers)} meta nodes are named: name all of them, 1, 3 or 5, on each of them in "
            "the same way (an even number fails as easily as one less)"
        )


def _compare(node_id: str, known: Mapping[str, str], named: Mapping[str, str]) -> None:
    """Refuse to start out of the others' reach; say so where peers are named that are none."""
    others = ", ".join(sorted(set(known) - {node_id}))
    if others and not named:
        where = known.get(node_id, "").removeprefix("tcp://") or "HOST:PORT"
        raise UsageError(
            f"{node_id} is one of several meta nodes, with {others}: give it --peer "
            f"{node_id}={where}, where they reach it"
        )
    if not set(named) <= set(known):
        logger.warning(
            "raft.peers.differ named=%s known=%s detail=%r",
            ",".join(sorted(named)),
            ",".join(sorted(known)),
            "the journal counts, and --peer for this node's own address only: correct --peer",
        )
