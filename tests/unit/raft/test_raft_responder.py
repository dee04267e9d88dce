"""A `Responder` gives each request exactly one reply, of the request's own type."""

from random import Random

import pytest
from raft_helpers import append_request, log_of, transfer_request, vote_request

from zreg.raft.config import RaftConfig
from zreg.raft.follower.responder import Responder
from zreg.raft.log import RaftLog
from zreg.raft.node_state import NodeState
from zreg.raft.ready import Persisted
from zreg.wire.records.raft_messages import (
    AppendEntriesReply,
    Reply,
    Request,
    RequestVoteReply,
    TransferLeaderReply,
)


def make_responder(term: int = 3) -> Responder:
    config = RaftConfig(node_id="n1")
    log = RaftLog(Persisted(term=term, entries=log_of(1)))
    return Responder(
        config, log, NodeState(config, log, Random(1), term=term, vote=None), restore=None
    )


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        (vote_request(term=2), RequestVoteReply),
        (append_request(term=2), AppendEntriesReply),
        (transfer_request(term=2), TransferLeaderReply),
    ],
)
def test_a_request_of_an_old_term_is_refused_with_the_newer_term(
    request_: Request, kind: type[Reply]
) -> None:
    responder = make_responder(term=3)

    responder.on_request(request_)

    (reply,) = responder.replies
    assert type(reply) is kind
    assert (reply.term, reply.receiver, reply.sequence) == (3, "n2", request_.sequence)


def test_requests_are_answered_in_order() -> None:
    responder = make_responder(term=1)

    responder.on_request(append_request(term=1))
    responder.on_request(vote_request("n3", term=1))

    assert [type(reply) for reply in responder.replies] == [AppendEntriesReply, RequestVoteReply]
    assert [reply.receiver for reply in responder.replies] == ["n2", "n3"]


def test_replies_that_were_handed_out_are_forgotten() -> None:
    responder = make_responder()
    responder.on_request(vote_request(term=9))

    responder.clear()

    assert responder.replies == []
    assert responder.restore is None
