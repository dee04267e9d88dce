"""Effects and local events compare by value, and topics never collide."""

import itertools

import pytest

from zreg.config import Limits
from zreg.effects import (
    BEAT_TOPIC,
    MEMBERSHIP_TOPIC,
    Broadcast,
    Effect,
    Link,
    Local,
    PeerLost,
    Send,
)
from zreg.primitives.ring import bucket_topic
from zreg.wire.messages import Message
from zreg.wire.records.common_messages import Ping


def test_effects_compare_by_value() -> None:
    """Tests of cores compare whole lists of effects."""
    assert Send(Link.CLIENTS, b"peer", Ping()) == Send(Link.CLIENTS, b"peer", Ping())
    assert Send(Link.CLIENTS, b"peer", Ping()) != Send(Link.CLIENTS, b"other", Ping())


@pytest.mark.parametrize("kind", [*Effect.__subclasses__(), *Local.__subclasses__()])
def test_effects_and_local_events_are_frozen(kind: type[Effect]) -> None:
    assert kind.__struct_config__.frozen


def test_a_local_event_is_no_message_of_the_wire() -> None:
    """No peer can send a PeerLost, because only Messages are decoded."""
    assert not issubclass(Local, Message)
    assert PeerLost(Link.DATA, "d1").reason == ""


def test_no_topic_is_the_start_of_another() -> None:
    """A PUB socket matches topics by their first bytes."""
    topics = [bucket_topic(bucket) for bucket in range(Limits.bucket_count)]
    topics += [BEAT_TOPIC, MEMBERSHIP_TOPIC]

    ordered = sorted(topics)
    assert len(set(topics)) == len(topics)
    assert not any(b.startswith(a) for a, b in itertools.pairwise(ordered))


def test_a_broadcast_carries_its_topic() -> None:
    assert Broadcast(Link.CHANGES, BEAT_TOPIC, Ping()).topic == b"beat"
