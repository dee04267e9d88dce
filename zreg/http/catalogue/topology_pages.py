"""`/v1/ring` and `/v1/meta`: where datums are, and how the nodes that agree on it are."""

from collections.abc import Iterable
from typing import Final

import msgspec
from aiohttp import web

from zreg.config import Limits
from zreg.http.catalogue.asked_node import AskedNode, asked
from zreg.http.pages import AnyQuery, Page
from zreg.http.responses import answer
from zreg.membership.gone_nodes import WHY_GONE
from zreg.model import Membership
from zreg.primitives.ring_plan import ring_members, shares_of
from zreg.wire.records.membership_messages import FetchMembership, GoneNode, MembershipReply
from zreg.wire.records.meta_messages import FetchMetaNodes, MetaNodesReply, MetaNodeStatus

# Raft's leader hears from each meta node several times a second.
_SILENT_MILLISECONDS: Final = 1500


class NodeShare(msgspec.Struct, frozen=True, kw_only=True):
    """The buckets on one data node: as primary, with copies, and beside the ring as a guest."""

    node_id: str
    status: str
    zone: str
    weight: int
    primary_buckets: int
    held_buckets: int
    guest_buckets: int


class RingShares(msgspec.Struct, frozen=True, kw_only=True):
    """The ring as this session knows it; each bucket has one primary, and copies."""

    ring_epoch: int
    bucket_count: int
    replica_count: int
    nodes: list[NodeShare]


class ShownMetaNode(msgspec.Struct, frozen=True, kw_only=True):
    """One meta node as the leader sees it; `is_silent`: it has not answered for a while."""

    node_id: str
    address: str
    state: str
    match_index: int
    silent_seconds: float
    is_silent: bool
    trouble: str


class ShownCopying(msgspec.Struct, frozen=True, kw_only=True):
    """How many of the copies of one data node are equal; `kept_buckets` None: it told nothing."""

    node_id: str
    equal_buckets: int
    kept_buckets: int | None


class ShownSessionLoad(msgspec.Struct, frozen=True, kw_only=True):
    """How many clients a session has told."""

    node_id: str
    client_count: int


class LostNode(msgspec.Struct, frozen=True, kw_only=True):
    """A node that departed without a goodbye; `is_at_least`: it may be gone for longer.

    `count` says how often a node of this id was lost, as far as meta remembers.
    """

    node_id: str
    role: str
    address: str
    joined_epoch: int
    reason: str
    seconds_ago: float
    seconds_lived: float
    is_at_least: bool
    count: int


class MetaReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the leader of meta knows: its nodes, copies that are not made, loads of sessions.

    `gone` has the nodes that were lost. `silent` has the ids of those whose lease has expired, and
    that stay members since no other node could take their place.
    """

    term: int
    last_index: int
    nodes: list[ShownMetaNode]
    copying: list[ShownCopying]
    sessions: list[ShownSessionLoad]
    gone: list[LostNode]
    silent: list[str]


class TopologyPages:
    """The pages about the ring and about meta."""

    def __init__(self, node: AskedNode) -> None:
        self._node = node

    def pages(self) -> list[Page]:
        """Return the pages."""
        return [
            Page(
                path="/v1/ring",
                summary="The share of each data node in the ring, as this session knows it",
                handler=self._ring,
                query=AnyQuery,
                answer=RingShares,
                statuses=(400,),
            ),
            Page(
                path="/v1/meta",
                summary="The meta nodes, the copies and the loads that their leader knows of",
                handler=self._meta,
                query=AnyQuery,
                answer=MetaReport,
                statuses=(400, 429, 503),
            ),
        ]

    async def _ring(self, _request: web.Request, _query: AnyQuery) -> web.Response:
        reply = await asked(self._node, FetchMembership(0), MembershipReply)
        return answer(ring_shares(reply.membership))

    async def _meta(self, _request: web.Request, _query: AnyQuery) -> web.Response:
        membership = await asked(self._node, FetchMembership(0), MembershipReply)
        reply = await asked(self._node, FetchMetaNodes(0), MetaNodesReply)
        return answer(meta_report(reply, membership.membership))


def ring_shares(membership: Membership) -> RingShares:
    """Return the shares of the data nodes, in the order of their ids."""
    shares = shares_of(membership)
    return RingShares(
        ring_epoch=membership.ring_epoch,
        bucket_count=Limits.bucket_count,
        replica_count=membership.ring.replica_count,
        nodes=[
            NodeShare(
                node_id=member.node_id,
                status=member.status.name.lower(),
                zone=member.zone,
                weight=member.weight,
                primary_buckets=shares[member.node_id].primary_buckets,
                held_buckets=shares[member.node_id].held_buckets,
                guest_buckets=shares[member.node_id].guest_buckets,
            )
            for member in ring_members(membership)
        ],
    )


def meta_report(reply: MetaNodesReply, membership: Membership) -> MetaReport:
    """Return what the leader knows; of data nodes and sessions only those that are members."""
    return MetaReport(
        term=reply.term,
        last_index=reply.last_index,
        nodes=_meta_nodes(reply.nodes),
        copying=[
            ShownCopying(
                node_id=each.incarnation.node_id,
                equal_buckets=each.equal_count,
                kept_buckets=each.kept_count,
            )
            for each in reply.copying
            if membership.has_living(each.incarnation)
        ],
        sessions=[
            ShownSessionLoad(node_id=each.session.node_id, client_count=each.client_count)
            for each in reply.session_loads
            if membership.has_living(each.session)
        ],
        gone=list(map(_lost_node, reply.gone)),
        silent=[each.node_id for each in reply.silent if membership.has_living(each)],
    )


def _lost_node(gone: GoneNode) -> LostNode:
    return LostNode(
        node_id=gone.incarnation.node_id,
        role=gone.role.name.lower(),
        address=gone.address,
        joined_epoch=gone.incarnation.epoch,
        reason=WHY_GONE.get(gone.reason, gone.reason),
        seconds_ago=gone.milliseconds_ago / 1000,
        seconds_lived=gone.milliseconds_lived / 1000,
        is_at_least=gone.is_at_least,
        count=gone.count,
    )


def _meta_nodes(nodes: Iterable[MetaNodeStatus]) -> list[ShownMetaNode]:
    return [
        ShownMetaNode(
            node_id=node.node_id,
            address=node.address,
            state=node.state.name.lower(),
            match_index=node.match_index,
            silent_seconds=node.silent_milliseconds / 1000,
            is_silent=bool(node.trouble) or node.silent_milliseconds >= _SILENT_MILLISECONDS,
            trouble=node.trouble,
        )
        for node in nodes
    ]
