"""The messages that wait for one peer are bounded, and have no gap in their middle."""

from zreg.reactor.sockets.backlog import BACKLOG_BYTES_MAX, BACKLOG_MESSAGES_MAX, Backlog

HEADER = b"header"


def test_a_backlog_has_room_up_to_its_bytes() -> None:
    backlog = Backlog()
    half = b"x" * (BACKLOG_BYTES_MAX // 2)
    backlog.add(HEADER, half)
    assert backlog.has_room_for(half)
    backlog.add(HEADER, half)
    assert not backlog.has_room_for(b"x")

    backlog.drop_first()

    assert backlog.bytes == len(half)
    assert backlog.has_room_for(b"x")


def test_a_backlog_has_room_up_to_its_messages() -> None:
    backlog = Backlog()
    for _ in range(BACKLOG_MESSAGES_MAX):
        assert backlog.has_room_for(b"x")
        backlog.add(HEADER, b"x")
    assert not backlog.has_room_for(b"x")


def test_a_slow_backlog_has_no_room_even_when_messages_have_left() -> None:
    """A message that follows a dropped one is dropped too, or the peer would not see the gap."""
    backlog = Backlog()
    backlog.add(HEADER, b"x")
    backlog.is_slow = True
    backlog.drop_first()
    assert not backlog.has_room_for(b"x")
