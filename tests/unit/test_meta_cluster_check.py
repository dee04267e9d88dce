"""Which cluster a node has seen, and whether it is ahead of the leader."""

import pytest

from zreg.meta.members.cluster_check import is_ahead, is_foreign
from zreg.model import Incarnation, Membership, RingParameters
from zreg.wire.records.membership_messages import Renew

MEMBERSHIP = Membership(b"mine", 10, 5, RingParameters(), ())
FAR = 10 + (1 << 40)


@pytest.mark.parametrize(
    ("cluster_id", "epoch", "foreign", "ahead"),
    [
        pytest.param(b"", 0, False, False, id="a newcomer"),
        pytest.param(b"mine", 9, False, False, id="behind"),
        pytest.param(b"mine", 10, False, False, id="level"),
        pytest.param(b"mine", 11, False, True, id="ahead"),
        pytest.param(b"mine", FAR, False, True, id="as far ahead as is believed"),
        pytest.param(b"mine", FAR + 1, True, True, id="too far ahead"),
        pytest.param(b"other", 1, True, False, id="another cluster"),
        pytest.param(b"other", 99, True, False, id="another cluster, of a higher epoch"),
    ],
)
def test_a_node_is_of_this_cluster_and_the_epoch_goes_above_its_own(
    cluster_id: bytes, epoch: int, *, foreign: bool, ahead: bool
) -> None:
    request = Renew(1, Incarnation(2, "s1"), cluster_id, epoch)

    assert is_foreign(request, MEMBERSHIP) is foreign
    assert is_ahead(request, MEMBERSHIP) is ahead
