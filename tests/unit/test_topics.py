"""A PUB socket knows which topics have subscribers, and ignores what is no subscription."""

from zreg.reactor.sockets.bound.topics import Topics


def test_a_topic_has_subscriber_from_its_subscription_to_the_end_of_it() -> None:
    topics = Topics()
    assert not topics.has_subscriber(b"\x00\x07")

    topics.on_subscription(b"\x01\x00\x07")
    assert topics.has_subscriber(b"\x00\x07")
    assert not topics.has_subscriber(b"\x00\x08")

    topics.on_subscription(b"\x00\x00\x07")
    assert not topics.has_subscriber(b"\x00\x07")


def test_the_empty_subscription_is_to_every_topic() -> None:
    topics = Topics()
    topics.on_subscription(b"\x01")
    assert topics.has_subscriber(b"\x00\x07")
    assert topics.has_subscriber(b"beat")

    topics.on_subscription(b"\x00")
    assert len(topics) == 0
    assert not topics.has_subscriber(b"beat")


def test_a_subscription_of_one_byte_is_to_every_topic_that_starts_with_it() -> None:
    topics = Topics()
    topics.on_subscription(b"\x01b")
    assert topics.has_subscriber(b"beat")
    assert not topics.has_subscriber(b"membership")


def test_a_malformed_subscription_and_an_end_without_a_beginning_are_ignored() -> None:
    topics = Topics()
    for message in (b"", b"\x02beat", b"garbage", b"\x00beat", b"\x00b"):
        topics.on_subscription(message)
    assert len(topics) == 0
