"""A data node that is behind is shown the membership, once per epoch and connection."""

import pytest
from session_fakes import D1, D2, make_membership, to_data

from zreg.errors import NotPrimaryError
from zreg.session.membership_handover import MembershipHandover
from zreg.wire.records.common_messages import Refused
from zreg.wire.records.membership_messages import MembershipReply

MEMBERSHIP = make_membership(D1, D2, epoch=5)
SHOWN = MembershipReply(0, MEMBERSHIP)


def refused(epoch: int) -> Refused:
    return Refused(1, NotPrimaryError.code, "", epoch)


def test_a_data_node_that_is_behind_is_shown_an_epoch_once() -> None:
    handover = MembershipHandover()

    assert handover.on_refused(D1, refused(4), MEMBERSHIP) == to_data(D1, SHOWN)
    assert handover.on_refused(D1, refused(4), MEMBERSHIP) == []
    assert handover.on_refused(D2, refused(4), MEMBERSHIP) == to_data(D2, SHOWN)
    newer = make_membership(D1, D2, epoch=6)
    assert handover.on_refused(D1, refused(4), newer) == to_data(D1, MembershipReply(0, newer))


@pytest.mark.parametrize("epoch", [0, 5, 6], ids=["without a membership", "at the same", "ahead"])
def test_a_data_node_that_is_not_behind_is_shown_nothing(epoch: int) -> None:
    assert MembershipHandover().on_refused(D1, refused(epoch), MEMBERSHIP) == []


def test_a_data_node_is_shown_the_epoch_again_over_its_next_connection() -> None:
    handover = MembershipHandover()
    handover.on_refused(D1, refused(4), MEMBERSHIP)

    handover.on_node_up(D1)
    handover.on_node_up(D2)

    assert handover.on_refused(D1, refused(4), MEMBERSHIP) == to_data(D1, SHOWN)
