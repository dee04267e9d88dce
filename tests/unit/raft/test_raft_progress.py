"""What a leader knows of a peer: the request under way, the matching log, a learner's rounds."""

from raft_helpers import (
    append_request,
)

from zreg.raft.leader.progress import CatchUp, CatchUpState, Progress, Slot


def test_a_learner_is_ready_after_a_short_round() -> None:
    catch_up = CatchUp(target_index=10, election_ticks=5)
    catch_up.on_matched(9, 100)
    assert catch_up.state is CatchUpState.RUNNING
    for _ in range(6):
        catch_up.tick()
    catch_up.on_matched(10, 100)
    assert catch_up.state is CatchUpState.RUNNING
    catch_up.on_matched(99, 120)
    assert catch_up.state is CatchUpState.RUNNING

    catch_up.on_matched(100, 130)

    assert catch_up.state is CatchUpState.READY


def test_a_learner_that_stays_behind_for_ten_rounds_is_given_up() -> None:
    catch_up = CatchUp(target_index=10, election_ticks=5)
    for number in range(10):
        assert catch_up.state is CatchUpState.RUNNING
        for _ in range(6):
            catch_up.tick()
        catch_up.on_matched(10 * (number + 1), 10 * (number + 2))

    assert catch_up.state is CatchUpState.FAILED


def test_a_learner_that_was_given_up_may_try_again() -> None:
    """A learner may be added long before it is started."""
    catch_up = CatchUp(target_index=10, election_ticks=5)
    for _ in range(60):
        catch_up.tick()
    assert catch_up.state is CatchUpState.FAILED

    catch_up.on_matched(0, 30)
    assert catch_up.state is CatchUpState.RUNNING
    catch_up.tick()
    catch_up.on_matched(30, 31)
    assert catch_up.state is CatchUpState.READY


def test_a_slot_takes_the_reply_to_its_request_only() -> None:
    slot = Slot()
    request = append_request(term=1)
    assert slot.settle(8) is None
    slot.occupy(request, free_at=5)

    assert slot.free_at == 5
    assert slot.settle(7) is None
    assert slot.settle(8) is request
    assert slot.settle(8) is None
    assert slot.free_at == 0


def test_progress_never_goes_back() -> None:
    progress = Progress(next_index=10, now=0)
    assert progress.on_rejected(9, 3)
    assert progress.next_index == 4
    progress.on_matched(6)
    progress.on_matched(2)

    assert (progress.match_index, progress.next_index) == (6, 7)
    assert not progress.on_rejected(6, 1)
    assert progress.next_index == 7
