"""A PUB knows what somebody listens to, and is not misled by what strangers send."""

from zreg.reactor.topics import Topics


def test_a_topic_is_heard_from_its_subscription_to_the_end_of_it() -> None:
    topics = Topics()
    assert not topics.is_heard(b"\x00\x07")

    topics.hear(b"\x01\x00\x07")
    assert topics.is_heard(b"\x00\x07")
    assert not topics.is_heard(b"\x00\x08")

    topics.hear(b"\x00\x00\x07")
    assert not topics.is_heard(b"\x00\x07")


def test_whoever_listens_to_everything_hears_everything() -> None:
    topics = Topics()
    topics.hear(b"\x01")
    assert topics.is_heard(b"\x00\x07")
    assert topics.is_heard(b"beat")

    topics.hear(b"\x00")
    assert len(topics) == 0
    assert not topics.is_heard(b"beat")


def test_one_byte_is_the_beginning_of_every_topic_that_starts_with_it() -> None:
    topics = Topics()
    topics.hear(b"\x01b")
    assert topics.is_heard(b"beat")
    assert not topics.is_heard(b"membership")


def test_what_is_no_subscription_is_ignored_and_an_end_without_a_beginning_too() -> None:
    topics = Topics()
    for message in (b"", b"\x02beat", b"garbage", b"\x00beat", b"\x00b"):
        topics.hear(message)
    assert len(topics) == 0
