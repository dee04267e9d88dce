"""A leadership transfer: one at a time, to one target, until a deadline."""

from zreg.raft.leader.leader_transfer import LeaderTransfer


def test_no_transfer_is_under_way_at_first() -> None:
    transfer = LeaderTransfer()

    assert transfer.target is None
    assert not transfer.is_due_for("n2")


def test_a_transfer_is_due_for_its_target_until_that_accepts() -> None:
    transfer = LeaderTransfer()
    transfer.start("n2", ends_at=10)
    assert transfer.is_due_for("n2")
    assert not transfer.is_due_for("n3")

    transfer.on_reply(is_accepted=True)

    assert transfer.target == "n2"
    assert not transfer.is_due_for("n2")


def test_a_refusal_ends_a_transfer() -> None:
    transfer = LeaderTransfer()
    transfer.start("n2", ends_at=10)

    transfer.on_reply(is_accepted=False)

    assert transfer.target is None


def test_a_transfer_ends_at_its_deadline() -> None:
    transfer = LeaderTransfer()
    transfer.start("n2", ends_at=10)
    transfer.tick(9)
    assert transfer.target == "n2"

    transfer.tick(10)

    assert transfer.target is None


def test_a_new_transfer_asks_its_target_again() -> None:
    transfer = LeaderTransfer()
    transfer.start("n2", ends_at=10)
    transfer.on_reply(is_accepted=True)

    transfer.start("n2", ends_at=20)

    assert transfer.is_due_for("n2")
