"""While clients come in crowds, those that are here go first; nothing is lost or reordered."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from zreg.effects import Peer
from zreg.reactor.sockets.bound.read_ahead import (
    BYTES_MAX,
    MESSAGES_MAX,
    NEWCOMER_SECONDS,
    NEWCOMERS_PER_TURN,
    SHARE,
    ReadAhead,
)
from zreg.reactor.sockets.link_socket import Received

OLD, NEW = b"old", b"new"
DESCRIPTOR = 7


def message(peer: Peer, number: int = 0) -> Received:
    return peer, b"", b"%d" % number


def ahead_of(*newcomers: Peer, now: float = 0.0) -> ReadAhead:
    ahead = ReadAhead()
    for peer in newcomers:
        ahead.add_newcomer(peer, now)
    return ahead


def taken(ahead: ReadAhead) -> list[Received]:
    """Return what one turn takes."""
    return [waiting.message for waiting in iter(ahead.take, None)]


def test_without_newcomers_it_is_calm() -> None:
    ahead = ReadAhead()
    assert ahead.is_calm
    assert ahead.take() is None
    assert ahead.oldest_round(7) == 7


def test_a_message_of_a_peer_that_is_here_goes_before_those_of_newcomers() -> None:
    ahead = ahead_of(NEW)
    for number in range(3):
        ahead.put(message(NEW, number), 0, DESCRIPTOR)
    ahead.put(message(OLD), 1, DESCRIPTOR)

    assert taken(ahead) == [message(OLD), *(message(NEW, number) for number in range(3))]
    assert ahead.waiting_count == 0


def test_newcomers_have_a_share_however_much_others_send() -> None:
    ahead = ahead_of(NEW)
    for number in range(3):
        ahead.put(message(NEW, number), 0, DESCRIPTOR)
    for number in range(100):
        ahead.put(message(OLD, number), 0, DESCRIPTOR)

    peers = [peer for peer, _, _ in taken(ahead)]

    assert peers[: 3 * (SHARE + 1)] == 3 * ([OLD] * SHARE + [NEW])
    assert peers[3 * (SHARE + 1) :] == [OLD] * (100 - 3 * SHARE)


def test_a_turn_takes_a_share_of_the_newcomers() -> None:
    ahead = ahead_of(NEW)
    count = 2 * NEWCOMERS_PER_TURN + 1
    for number in range(count):
        ahead.put(message(NEW, number), 0, DESCRIPTOR)

    turns = [taken(ahead) for _ in range(3)]

    assert [len(turn) for turn in turns] == [NEWCOMERS_PER_TURN, NEWCOMERS_PER_TURN, 1]
    assert [each for turn in turns for each in turn] == [
        message(NEW, number) for number in range(count)
    ]


def test_a_newcomer_is_one_for_a_while() -> None:
    ahead = ahead_of(NEW)
    ahead.add_newcomer(b"newer", 1.0)
    ahead.grow_old(NEWCOMER_SECONDS - 0.01)
    assert list(ahead.newcomers) == [NEW, b"newer"]

    ahead.grow_old(NEWCOMER_SECONDS)
    assert (list(ahead.newcomers), ahead.is_calm) == ([b"newer"], False)
    ahead.grow_old(1.0 + NEWCOMER_SECONDS)
    assert (list(ahead.newcomers), ahead.is_calm) == ([], True)


def test_a_peer_whose_messages_wait_keeps_its_place() -> None:
    """It becomes a newcomer when it is forgotten and heard again, and none when time passes."""
    ahead = ahead_of(NEW)
    ahead.put(message(NEW, 1), 0, DESCRIPTOR)
    ahead.put(message(OLD, 1), 0, DESCRIPTOR)
    ahead.grow_old(NEWCOMER_SECONDS)
    assert not ahead.is_calm, "messages wait"
    ahead.add_newcomer(OLD, NEWCOMER_SECONDS)
    for peer in (NEW, OLD):
        ahead.put(message(peer, 2), 0, DESCRIPTOR)

    assert taken(ahead) == [message(peer, number) for peer in (OLD, NEW) for number in (1, 2)]
    ahead.put(message(NEW, 3), 0, DESCRIPTOR)
    ahead.put(message(OLD, 3), 0, DESCRIPTOR)
    assert taken(ahead) == [message(NEW, 3), message(OLD, 3)], "the newcomer is OLD now"
    ahead.grow_old(2 * NEWCOMER_SECONDS)
    assert ahead.is_calm


def test_a_peer_that_was_forgotten_and_is_heard_again_is_a_newcomer_again() -> None:
    ahead = ahead_of(NEW, b"newer")
    ahead.add_newcomer(NEW, NEWCOMER_SECONDS)

    ahead.grow_old(NEWCOMER_SECONDS)

    assert list(ahead.newcomers) == [NEW]


def test_a_round_counts_when_all_that_was_read_in_it_is_taken() -> None:
    ahead = ahead_of(NEW)
    ahead.put(message(NEW), 3, DESCRIPTOR)
    ahead.put(message(OLD), 4, DESCRIPTOR)
    assert ahead.oldest_round(5) == 3

    ahead.take()
    assert ahead.oldest_round(5) == 3, "the newcomer's message waits"
    ahead.take()
    assert ahead.oldest_round(5) == 5


def test_messages_and_bytes_that_are_read_ahead_are_bounded() -> None:
    ahead = ahead_of(NEW)
    for number in range(MESSAGES_MAX):
        assert not ahead.is_full
        ahead.put(message(NEW, number), 0, DESCRIPTOR)
    assert ahead.is_full
    ahead.take()
    assert not ahead.is_full

    large = ahead_of(NEW)
    large.put((NEW, b"", bytes(BYTES_MAX)), 0, DESCRIPTOR)
    assert large.is_full
    assert len(taken(large)) == 1
    assert not large.is_full


def test_a_message_with_a_wrong_number_of_frames_waits_like_any_other() -> None:
    ahead = ahead_of(NEW)
    ahead.put((NEW, b"", None), 0, DESCRIPTOR)
    assert taken(ahead) == [(NEW, b"", None)]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(0, 5)),
            st.tuples(st.just("come"), st.integers(0, 5)),
            st.tuples(st.just("take"), st.integers(1, 9)),
            st.tuples(st.just("wait"), st.integers(0, 3)),
        ),
        max_size=60,
    )
)
def test_each_peers_messages_are_all_taken_in_their_order(steps: list[tuple[str, int]]) -> None:
    """A peer that is forgotten and heard again comes more than once."""
    ahead, now = ReadAhead(), 0.0
    put, got = defaultdict[Peer, list[int]](list), defaultdict[Peer, list[int]](list)
    count = 0

    def take() -> bool:
        received = ahead.take()
        if received is not None:
            peer, _, frame = received.message
            got[peer].append(int(frame or b""))
        return received is not None

    for kind, number in steps:
        ahead.grow_old(now)
        peer = b"%d" % number
        if kind == "come":
            ahead.add_newcomer(peer, now)
        elif kind == "put":
            count += 1
            put[peer].append(count)
            ahead.put(message(peer, count), 0, DESCRIPTOR)
        elif kind == "take":
            for _ in range(number):
                take()
        elif kind == "wait":
            now += number
    while ahead.waiting_count:
        take()

    assert got == put
    assert not take()
