"""What meta nodes tell each other of themselves, and how people change which nodes meta has."""

from enum import IntEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from zreg.model import Address, Count, Label, NodeId
from zreg.wire.fields import ClusterId, Detail
from zreg.wire.record import Message


class Introduction(Message, frozen=True, array_like=True, gc=False):
    """Who a meta node is: its id and address in Raft, and whose promises it keeps.

    `founders` is a digest of the list of peers that it began with, empty if it was added later;
    `cluster_id` is empty until it knows one; `configuration_index` and `configuration_term` are the
    entry that named the members of meta as it knows them. `is_fresh`: its log has at most what it
    was given before its first start. `receiver_journal_id` is whose promises it takes the receiver
    to keep, empty if it knows none.
    """

    request_id: Count
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
        """Up to where it knows who the members are; of two, the greater one knows more."""
        return self.configuration_term, self.configuration_index


class IntroduceMeta(Introduction, tag=70, frozen=True, array_like=True, gc=False):
    """Meta to meta, first request of a connection: this is me; say who you are."""


class MetaIntroduced(Introduction, tag=71, frozen=True, array_like=True, gc=False):
    """The answer to IntroduceMeta: yes, and this is me."""


class AddMeta(Message, tag=72, frozen=True, array_like=True, gc=False):
    """Anybody to meta or a session: take this node in; it gets the log, and then its vote.

    Only if the members are those of `configuration_index`: a copy that comes late changes nothing.
    """

    request_id: Count
    node_id: NodeId
    address: Address
    configuration_index: Count
    configuration_term: Count = 0


class RemoveMeta(Message, tag=73, frozen=True, array_like=True, gc=False):
    """Anybody to meta or a session: go on without this node, if the members are still those."""

    request_id: Count
    node_id: NodeId
    configuration_index: Count
    configuration_term: Count = 0


class FetchMetaNodes(Message, tag=74, frozen=True, array_like=True, gc=False):
    """Anybody to meta or a session: tell me your nodes, and how they do."""

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
    configuration_term: Count = 0


class MetaDeclined(Introduction, tag=76, frozen=True, array_like=True, gc=False):
    """The other answer to IntroduceMeta: no, with a code and a sentence; and this is who says it.

    `position` says what the refusal is worth: one that knows less may not know of an addition yet.
    """

    code: Count = 0
    detail: Detail = ""
