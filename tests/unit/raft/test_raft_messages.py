"""The messages of Raft on the wire."""

import msgspec
import pytest
from raft_helpers import (
    append_request,
    elect,
    log_of,
    make_core,
    tick,
)

from zreg.wire.records.raft_messages import RaftMessage


def test_every_message_and_snapshot_survives_the_wire() -> None:
    decoder = msgspec.msgpack.Decoder(RaftMessage)
    core = make_core(log=log_of(1, 1))
    sent = [*elect(core).appends, *tick(core, 12).messages]

    for message in sent:
        assert decoder.decode(msgspec.msgpack.encode(message)) == message


@pytest.mark.parametrize("value", [-1, 2**62 + 1])
def test_numbers_beyond_the_limits_are_refused_on_the_wire(value: int) -> None:
    request = msgspec.structs.replace(append_request(term=1), term=value)

    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(request), type=RaftMessage)
