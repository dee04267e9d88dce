"""Build the reply to a request: addressed to its sender, with its sequence number."""

from typing import assert_never

from zreg.raft.follower.follower import REFUSED_APPEND, REFUSED_CHUNK, Appended, Installed
from zreg.wire.records.raft_messages import (
    AppendEntries,
    AppendEntriesReply,
    InstallSnapshot,
    InstallSnapshotReply,
    Reply,
    Request,
    RequestVote,
    RequestVoteReply,
    TransferLeader,
    TransferLeaderReply,
)


def vote_reply(
    node_id: str, request: RequestVote, *, term: int, is_granted: bool
) -> RequestVoteReply:
    """Return the reply of the voter `node_id`."""
    return RequestVoteReply(
        sender=node_id,
        receiver=request.sender,
        term=term,
        sequence=request.sequence,
        is_pre_vote=request.is_pre_vote,
        is_granted=is_granted,
    )


def append_reply(
    node_id: str, request: AppendEntries, *, term: int, outcome: Appended
) -> AppendEntriesReply:
    """Return the reply of the follower `node_id`."""
    return AppendEntriesReply(
        sender=node_id,
        receiver=request.sender,
        term=term,
        sequence=request.sequence,
        is_success=outcome.is_success,
        match_index=outcome.match_index,
        hint_index=outcome.hint_index,
        hint_term=outcome.hint_term,
    )


def chunk_reply(
    node_id: str, request: InstallSnapshot, *, term: int, outcome: Installed
) -> InstallSnapshotReply:
    """Return the reply of the follower `node_id`."""
    return InstallSnapshotReply(
        sender=node_id,
        receiver=request.sender,
        term=term,
        sequence=request.sequence,
        next_offset=outcome.next_offset,
        match_index=outcome.match_index,
    )


def transfer_reply(
    node_id: str, request: TransferLeader, *, term: int, is_accepted: bool
) -> TransferLeaderReply:
    """Return the reply of `node_id`, to which the leader hands over."""
    return TransferLeaderReply(
        sender=node_id,
        receiver=request.sender,
        term=term,
        sequence=request.sequence,
        is_accepted=is_accepted,
    )


def refusal(node_id: str, request: Request, *, term: int) -> Reply:
    """Return the reply that refuses `request`: each request gets a reply, of its own type."""
    match request:
        case RequestVote():
            return vote_reply(node_id, request, term=term, is_granted=False)
        case AppendEntries():
            return append_reply(node_id, request, term=term, outcome=REFUSED_APPEND)
        case InstallSnapshot():
            return chunk_reply(node_id, request, term=term, outcome=REFUSED_CHUNK)
        case TransferLeader():
            return transfer_reply(node_id, request, term=term, is_accepted=False)
        case _:
            assert_never(request)
