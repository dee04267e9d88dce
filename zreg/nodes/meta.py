"""Join the meta core to a reactor and a journal.

The reactor binds ROUTER for nodes, PUB for the membership, and REQ and REP for Raft. The journal is
in the node's directory, and a restarted node goes on from it.
"""

import asyncio
import logging
import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from random import Random
from typing import Final

import msgspec
from msgspec.structs import replace

from zreg.config import Config
from zreg.discovery.announcement import Announcement
from zreg.effects import HandedOver, HandOver, Link
from zreg.errors import UsageError
from zreg.meta.core import MetaCore
from zreg.meta.group.raft_driver import new_raft
from zreg.meta.peers.identity import FOUNDERS, Identity, first_save, founders_of, persisted_of
from zreg.model import Role
from zreg.nodes.addresses.address_choice import ANY_HOSTS
from zreg.nodes.base import Node, NodeSettings, clock
from zreg.nodes.opening import new_member, open_socket_set
from zreg.raft.ready import Persisted, configuration_of
from zreg.reactor import EventCallback, LinkTable
from zreg.storage.directory_lock import DirectoryLock
from zreg.storage.journal import Journal
from zreg.tcp_address import bare_host, with_host

DEFAULT_ADDRESS: Final = "tcp://127.0.0.1:9610"
DEFAULT_MEMBERSHIP_ADDRESS: Final = "tcp://127.0.0.1:9612"
JOURNAL_NAME: Final = "raft.db"
# The fact in a journal that tells it from others: a random name.
JOURNAL_ID: Final = "journal_id"
_FOUNDER_COUNTS: Final = (1, 3, 5)

logger = logging.getLogger("zreg.meta")


class MetaPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where a meta node binds, where its journal is, and which other meta nodes there are."""

    address: str = DEFAULT_ADDRESS
    membership_address: str = DEFAULT_MEMBERSHIP_ADDRESS
    directory: Path
    # Raft's address of each meta node by id, this one included; empty: this one stays alone. After
    # the first start the journal knows the peers, and only the address of this node is used.
    peers: Mapping[str, str] = {}
    # Whether a node with a new journal waits to be added, instead of founding a cluster.
    is_joining: bool = False
    # With how many founders, itself included, a node with a new journal agrees on their list, from
    # what it sees on the LAN; 0: the list is `peers`.
    bootstrap_expect: int = 0
    # Where Raft binds if `peers` does not say it; used with `bootstrap_expect` only.
    raft_address: str = ""


class StartState(msgspec.Struct, frozen=True):
    """What a meta node starts from: what its journal holds, and who it is to its peers."""

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
        settings, peers = _with_own_host(settings, place), _other_peers(settings, place)
        if place.bootstrap_expect:
            # The operator has asked for it, so also on loopback.
            settings = replace(settings, lan=replace(settings.lan, announce="on", discover="on"))
        self._on_node_event = on_event
        self._directory_lock: DirectoryLock | None = None
        self._journal: Journal | None = None
        with open_socket_set(_link_table(settings, place), settings) as socket_set:
            member = new_member(
                Role.META,
                socket_set,
                settings,
                Link.NODES,
                changes_link=Link.MEMBERSHIP,
                peers=peers,
            )
            if place.bootstrap_expect and not place.peers:
                bound, host = socket_set.addresses[Link.RAFT_ANSWER], bare_host(member.address)
                place = replace(place, peers={member.node_id: with_host(bound, host)})
            try:
                self._directory_lock = DirectoryLock(place.directory)
                facts = {"node_id": member.node_id, "cluster": settings.config.cluster}
                self._journal = Journal(place.directory / JOURNAL_NAME, identity=facts)
                start = start_state(self._journal, member.node_id, place)
            except BaseException:
                self._close_journal()
                raise
            self.identity = start.identity
            core = MetaCore(
                member,
                settings.config,
                # Election timeouts are no secret, and the system's generator costs a system call.
                raft=new_raft(member.node_id, start.persisted, Random()),  # noqa: S311
                identity=start.identity,
                cluster_id=os.urandom(16),
                now=clock(),
            )
        _suggest_peers(core, place)
        self._meta_core = core
        super().__init__(
            core, socket_set, member, settings, self._take_event, self._journal, peers=peers
        )

    def announcement(self) -> Announcement | None:
        """Return what nodes and other meta nodes are told."""
        if self._is_stopping:
            return None
        membership, identity = self._meta_core.membership, self.identity
        return replace(
            self._announced_as(Role.META, membership.cluster_id),
            raft_address=identity.address,
            journal_id=identity.journal_id,
            bootstrap_expect=identity.bootstrap_expect,
        )

    def _depends_on_lan(self, config: Config) -> bool:
        """Return whether it finds the other founders there; else they are named to it."""
        del config
        return bool(self.identity.bootstrap_expect)

    async def run(self) -> None:
        """Serve until `stop`; raises `NodeEndError` when this node must not go on."""
        try:
            await super().run()
        finally:
            self._close_journal()

    def _say_goodbye(self) -> None:
        """Hand over the leadership, if this node has it, and end."""
        self._reactor.post(HandOver())

    async def _check_surroundings(self) -> None:
        await super()._check_surroundings()
        if self._journal is not None:
            await asyncio.to_thread(self._journal.check_files)

    def close(self) -> None:
        """Close the sockets and the journal of a node that is never run."""
        super().close()
        self._close_journal()

    def _take_event(self, event: msgspec.Struct) -> None:
        if isinstance(event, HandedOver):
            self._reactor.stop()
        elif self._on_node_event is not None:
            self._on_node_event(event)

    def _close_journal(self) -> None:
        if self._journal is not None:
            self._journal.close()
        if self._directory_lock is not None:
            self._directory_lock.release()


def peers_in_journals(directories: Iterable[Path]) -> dict[str, str]:
    """Return each meta node's `HOST:PORT` by id, as the first journal in these directories has it.

    Empty if there is no journal, or if its node is alone. Raises `JournalError`.
    """
    for directory in directories:
        path = directory / JOURNAL_NAME
        if path.exists():
            journal = Journal(path, identity={})
            known = configuration_of(Persisted.of(journal.contents)).addresses
            journal.close()
            return {name: at.removeprefix("tcp://") for name, at in known.items() if at}
    return {}


def new_journal_id() -> str:
    """Return a name that no other journal has."""
    return secrets.token_hex(8)


def start_state(journal: Journal, node_id: str, place: MetaPlace) -> StartState:
    """Return what a node goes on from; write to a new journal what a founder starts from.

    Raises `UsageError` if the peers cannot be right.
    """
    # Without peers the node has no address in Raft's configuration, so no other can be added.
    address = place.peers.get(node_id, "")
    peers = place.peers or {node_id: address}
    is_new = not journal.contents.term and not journal.contents.entries
    # A node that once waited to be added goes on waiting.
    is_waiting = place.is_joining or (is_new and journal.facts.get(FOUNDERS) == "")
    is_founding = is_new and not is_waiting
    if is_founding and not place.bootstrap_expect:
        # Before the list is written: it cannot be changed later.
        _check_founders(peers)
    identity = Identity(
        node_id=node_id,
        address=address,
        journal_id=journal.keep_fact(JOURNAL_ID, new_journal_id()),
        bootstrap_expect=0 if is_waiting else place.bootstrap_expect,
    )
    persisted = Persisted.of(journal.contents)
    if is_founding and place.bootstrap_expect:
        return StartState(persisted, identity)
    if is_founding:
        save = first_save(peers)
        journal.save(save)
        persisted = persisted_of(save)
    elif is_new:
        journal.replace_fact(FOUNDERS, "")
    elif known := configuration_of(persisted).addresses:
        _compare_peers(node_id, known, place.peers)
    was_added = is_waiting or bool(place.bootstrap_expect)
    identity.founders = journal.keep_fact(FOUNDERS, "" if was_added else founders_of(peers))
    return StartState(persisted, identity)


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
    if place.bootstrap_expect:
        _check_bootstrap(settings, place)


def _check_bootstrap(settings: NodeSettings, place: MetaPlace) -> None:
    expect = place.bootstrap_expect
    if "off" in (settings.lan.announce, settings.lan.discover):
        raise UsageError(
            "--bootstrap-expect finds the other founders by announcements: leave out --announce "
            "off and --discover off, or name the founders with --peer"
        )
    if expect not in _FOUNDER_COUNTS[1:]:
        raise UsageError(
            f"bootstrap_expect is {expect}, and 3 or 5 meta nodes that find each other found a "
            "cluster: write 3 or 5, or leave it out for a node that founds a cluster alone"
        )
    if place.is_joining:
        raise UsageError(
            "a node that waits to be added (--join) founds no cluster (--bootstrap-expect): leave "
            "out one of them"
        )
    if len(place.peers) > 1:
        raise UsageError(
            "--bootstrap-expect finds the other founders, and --peer names them: name this node "
            "alone with --peer, or leave out --bootstrap-expect on all founders"
        )


def _suggest_peers(core: MetaCore, place: MetaPlace) -> None:
    """Have members tried where they are named as well: they may have moved."""
    for node_id, at in place.peers.items():
        core.raft_driver.peers.suggest(node_id, f"tcp://{at.removeprefix('tcp://')}")


def _with_own_host(settings: NodeSettings, place: MetaPlace) -> NodeSettings:
    """Have a node that is bound to all addresses tell others the host of its own peer entry."""
    own = place.peers.get(settings.node_id)
    if own is None or settings.advertise_host or bare_host(place.address) not in ANY_HOSTS:
        return settings
    return replace(settings, advertise_host=bare_host(own))


def _other_peers(settings: NodeSettings, place: MetaPlace) -> list[str]:
    return [at for node_id, at in place.peers.items() if node_id != settings.node_id]


def _check_founders(peers: Mapping[str, str]) -> None:
    if len(peers) not in _FOUNDER_COUNTS:
        raise UsageError(
            f"{len(peers)} meta nodes are named: name all of them, 1, 3 or 5, on each of them in "
            "the same way (with an even number no more of them may fail than with one less)"
        )


def _compare_peers(node_id: str, known: Mapping[str, str], named: Mapping[str, str]) -> None:
    """Refuse to start where the peers cannot reach this node; warn of unknown peers."""
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
            "the journal decides, and of --peer only this node's address counts: correct --peer",
        )


def _link_table(settings: NodeSettings, place: MetaPlace) -> LinkTable:
    routers = {Link.NODES: place.address}
    pubs = {Link.MEMBERSHIP: place.membership_address}
    if not place.peers and not place.bootstrap_expect:
        return LinkTable(routers=routers, pubs=pubs, checks=(Link.CHECKS,))
    raft_address = place.raft_address
    if place.peers:
        # Bind to the host of the other links, at the port that the peers are told.
        host = place.address.rpartition(":")[0]
        raft_address = f"{host}:{place.peers[settings.node_id].rpartition(':')[2]}"
    return LinkTable(
        routers=routers,
        pubs=pubs,
        asks=(Link.RAFT_ASK,),
        answers={Link.RAFT_ANSWER: raft_address},
        checks=(Link.CHECKS,),
    )
