"""What meta nodes tell each other of themselves, and how people change which nodes meta has."""

from enum import IntEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from zreg.config import Limits
from zreg.model import Address, Count, Label, NodeId
from zreg.wire.record import Message

ClusterId = Annotated[bytes, Meta(max_length=16)]
Detail = Annotated[str, Meta(max_length=Limits.detail_characters_max)]


class Introduction(Message, frozen=True, array_like=True, gc=False):
    """Who a meta node is: its id and address in Raft, and whose promises it keeps.

    `founders` is a digest of the list of peers that it began with, empty if it was added later;
    `cluster_id` is empty until it knows one; `configuration_index` is the entry that named the
    members of meta as it knows them.
    """

    request_id: Count
    sender: NodeId
    receiver: NodeId
    address: Address
    journal_id: Label
    founders: Label
    cluster_id: ClusterId
    configuration_index: Count


class IntroduceMeta(Introduction, tag=70, frozen=True, array_like=True, gc=False):
    """Meta to meta, first request of a connection: this is me; say who you are."""


class MetaIntroduced(Introduction, tag=71, frozen=True, array_like=True, gc=False):
    """The answer to IntroduceMeta: yes, and this is me."""


class AddMeta(Message, tag=72, frozen=True, array_like=True, gc=False):
    """Anybody to meta: take this node in; it gets the log first, and its vote when it has it.

    Only if the members are those of `configuration_index`: a copy that comes late changes nothing.
    """

    request_id: Count
    node_id: NodeId
    address: Address
    configuration_index: Count


class RemoveMeta(Message, tag=73, frozen=True, array_like=True, gc=False):
    """Anybody to meta: go on without this node, if the members are those of the index."""

    request_id: Count
    node_id: NodeId
    configuration_index: Count


class FetchMetaNodes(Message, tag=74, frozen=True, array_like=True, gc=False):
    """Anybody to meta: tell me your nodes, and how they do."""

    request_id: Count


class MetaNodeState(IntEnum):
    """What a meta node is to the others."""

    LEADER = 0
    VOTER = 1
    LEARNER = 2
    # A learner that does not catch up, or says nothing.
    STUCK = 3


class MetaNodeStatus(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One meta node as the leader sees it; so long ago was its last answer."""

    node_id: NodeId
    address: Address
    state: MetaNodeState
    match_index: Count
    silent_milliseconds: Count
    # Why no connection to it stands; empty if one does.
    trouble: Detail = ""


class MetaNodesReply(Message, tag=75, frozen=True, array_like=True, gc=False):
    """The nodes of meta, by id, the entry that named them, and the last one of the leader's log."""

    request_id: Count
    term: Count
    last_index: Count
    configuration_index: Count
    nodes: Annotated[tuple[MetaNodeStatus, ...], Meta(max_length=64)]
