"""Records with which meta nodes identify themselves, and records to list, add and remove them."""

from enum import IntEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from zreg.config import Limits
from zreg.model import Address, Count, Incarnation, Label, NodeId
from zreg.wire.record import Message
from zreg.wire.records.fields import ClusterId, Detail, RequestId
from zreg.wire.records.membership_messages import GoneNode, SessionLoad

# How many lost or silent nodes one answer names: as many as meta remembers.
GONE_NODES_MAX: Final = 64

# As many voters as Raft's configuration may have.
FOUNDERS_MAX: Final = 7


class Introduction(Message, frozen=True, array_like=True, gc=False):
    """What a meta node says of itself: its id, its Raft address, its journal and its configuration.

    `journal_id` identifies the journal that holds its votes. `founders` is a digest of the list of
    peers that it was started with, empty if it was added later. `cluster_id` is empty until it
    knows one. `configuration_index` and `configuration_term` are those of the entry with its Raft
    configuration. `is_fresh`: its log has at most the first entry, which every founder writes.
    `receiver_journal_id` is the journal that the sender's configuration has for the receiver, empty
    if it has none.
    """

    request_id: RequestId
    sender: NodeId
    receiver: NodeId
    address: Address
    journal_id: Label
    founders: Label
    cluster_id: ClusterId
    configuration_index: Count
    configuration_term: Count = 0
    is_fresh: bool = False
    receiver_journal_id: Label = ""

    @property
    def position(self) -> tuple[int, int]:
        """The place of the node's configuration in the log; a greater place is a later one."""
        return self.configuration_term, self.configuration_index


class IntroduceMeta(Introduction, tag=70, frozen=True, array_like=True, gc=False):
    """Meta to meta, first request of a connection: identifies the sender.

    The receiver answers `MetaIntroduced`, `MetaDeclined` or `Refused`.
    """


class MetaIntroduced(Introduction, tag=71, frozen=True, array_like=True, gc=False):
    """Answer to `IntroduceMeta`: the receiver takes the sender as a peer, and identifies itself."""


class AddMeta(Message, tag=72, frozen=True, array_like=True, gc=False):
    """Any peer to meta or a session: add this meta node, as a learner first and then as a voter.

    Refused if the Raft configuration is not the one of `configuration_index`, so that a late copy
    of the request changes nothing. Answered by `Accepted` once the node is a member, or by
    `Refused`.
    """

    request_id: RequestId
    node_id: NodeId
    address: Address
    configuration_index: Count
    configuration_term: Count = 0


class RemoveMeta(Message, tag=73, frozen=True, array_like=True, gc=False):
    """Any peer to meta or a session: remove this meta node.

    Refused if the Raft configuration is not the one of `configuration_index`. Answered by
    `Accepted` once the node is no member, or by `Refused`.
    """

    request_id: RequestId
    node_id: NodeId
    configuration_index: Count
    configuration_term: Count = 0


class FetchMetaNodes(Message, tag=74, frozen=True, array_like=True, gc=False):
    """Any peer to meta or a session: list the meta nodes. The leader answers `MetaNodesReply`."""

    request_id: RequestId


class MetaNodeState(IntEnum):
    """The part of a meta node in Raft."""

    LEADER = 0
    VOTER = 1  # has a vote
    LEARNER = 2  # receives the log and has no vote yet
    STUCK = 3  # a learner that does not answer or does not catch up


class MetaNodeStatus(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One meta node as the leader sees it; `silent_milliseconds` is the time since its answer."""

    node_id: NodeId
    address: Address
    state: MetaNodeState
    match_index: Count
    silent_milliseconds: Count
    # Why the leader has no connection to it, for people; empty if it has one.
    trouble: Detail = ""


class CopyProgress(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How many of the copies that a data node keeps were equal to those of their primaries.

    Copies are counted in buckets, under the present ring. Of None: it has told nothing under this
    ring.
    """

    incarnation: Incarnation
    equal_count: Count
    kept_count: Count | None


class MetaNodesReply(Message, tag=75, frozen=True, array_like=True, gc=False):
    """Answer of the leader to `FetchMetaNodes`: the meta nodes by id, and the leader's last index.

    `configuration_index` and `configuration_term` are those of the entry that names these nodes.
    `copying` has the data nodes that have not made all their copies yet, and `session_loads` the
    sessions that told how many clients they have. `gone` has the nodes that were lost, and `silent`
    the members whose lease has expired, and that stay since too few others of their role are left.
    """

    request_id: RequestId
    term: Count
    last_index: Count
    configuration_index: Count
    nodes: Annotated[tuple[MetaNodeStatus, ...], Meta(max_length=64)]
    configuration_term: Count = 0
    copying: Annotated[tuple[CopyProgress, ...], Meta(max_length=Limits.members_max)] = ()
    session_loads: Annotated[tuple[SessionLoad, ...], Meta(max_length=Limits.members_max)] = ()
    gone: Annotated[tuple[GoneNode, ...], Meta(max_length=GONE_NODES_MAX)] = ()
    silent: Annotated[tuple[Incarnation, ...], Meta(max_length=GONE_NODES_MAX)] = ()


class FoundingStage(IntEnum):
    """How far a meta node is with founding a cluster."""

    EMPTY = 0  # its journal holds no list of founders
    LISTED = 1  # it has written a list, and has heard of no leader
    FOUNDED = 2  # it is, or was, a node of a cluster that has begun


class Founder(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A founder of a cluster: its id, and where other meta nodes reach its Raft."""

    node_id: NodeId
    address: Address


class FoundingStatement(Message, frozen=True, array_like=True, gc=False):
    """What a meta node says about founding a cluster: of itself, and of the founders it sees.

    `expect` is its setting `bootstrap_expect`. `founders` is the list that it has written or, while
    it is EMPTY, the list that it would write now: empty unless it sees exactly so many nodes as it
    expects. `founders_digest` is that of the written list, and `cluster_id` that of its cluster;
    both are empty if it has none.
    """

    request_id: RequestId
    sender: NodeId
    address: Address
    journal_id: Label
    stage: FoundingStage
    expect: Count
    founders: Annotated[tuple[Founder, ...], Meta(max_length=FOUNDERS_MAX)]
    founders_digest: Label
    cluster_id: ClusterId


class AskFounding(FoundingStatement, tag=80, frozen=True, array_like=True, gc=False):
    """Meta to meta: how far are you with founding a cluster? Answered by `FoundingReply`.

    The receiver takes nothing from it but the address, at which it asks the sender in turn.
    """


class FoundingReply(FoundingStatement, tag=81, frozen=True, array_like=True, gc=False):
    """Answer to `AskFounding`: what the receiver says of itself."""


class MetaDeclined(Introduction, tag=76, frozen=True, array_like=True, gc=False):
    """Answer to `IntroduceMeta`: the receiver does not take the sender as a peer.

    It has a code, a text for people, and the receiver's own introduction. Its `position` shows how
    much the answer counts: a node with an older configuration may not know of a new member yet.
    """

    code: Count = 0
    detail: Detail = ""
