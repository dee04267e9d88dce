"""The queue of linearizable reads."""

from hypothesis import given
from hypothesis import strategies as st

from zreg.raft.leader.read_index import ReadQueue


@given(st.lists(st.sampled_from(["add", "open", "confirm", "take"]), max_size=40))
def test_reads_come_out_in_order_and_none_is_lost(actions: list[str]) -> None:
    queue, token, taken = ReadQueue(), 0, []
    for action in actions:
        if action == "add":
            token += 1
            queue.add(token)
        elif action == "open":
            queue.open_round(token)
        elif action == "confirm":
            queue.confirm(queue.round)
        else:
            taken += [read.token for read in queue.take(token)]

    assert taken + queue.drop() == list(range(1, token + 1))


def test_a_read_waits_until_its_index_is_applied() -> None:
    queue = ReadQueue()
    queue.add(1)
    queue.open_round(5)
    assert queue.is_pending
    queue.confirm(0)
    assert queue.take(9) == ()
    queue.confirm(1)

    assert queue.take(4) == ()
    assert [read.token for read in queue.take(5)] == [1]
