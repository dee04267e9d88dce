"""The header of a message carries the core's epoch, except between meta nodes."""

from typing import cast

from zreg.effects import Core, Link
from zreg.reactor.outgoing.headers import Headers
from zreg.wire.envelope import Envelope


class FakeCore:
    epoch = 7


def test_a_header_follows_the_epoch_of_the_core() -> None:
    core, envelope = FakeCore(), Envelope("test")
    headers = Headers(cast("Core", core), envelope, "test")
    assert envelope.open(headers.of(Link.NODES)) == 7

    core.epoch = 8

    assert envelope.open(headers.of(Link.NODES)) == 8


def test_a_header_between_meta_nodes_never_changes() -> None:
    core, envelope = FakeCore(), Envelope("test")
    headers = Headers(cast("Core", core), envelope, "test")
    former = headers.of(Link.RAFT_ASK)

    core.epoch = 8

    assert headers.of(Link.RAFT_ASK) == headers.of(Link.RAFT_ANSWER) == former
    assert envelope.open(former) == 0
