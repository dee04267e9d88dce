"""How far several data nodes are together, for a progress bar."""

from zreg.cli.showing.progress.copy_wait import CopyTotals
from zreg.model import Incarnation
from zreg.wire.records.meta_messages import CopyProgress

D1, D2 = Incarnation(1, "d1"), Incarnation(2, "d2")


def test_a_data_node_that_is_named_no_more_has_made_its_copies() -> None:
    totals = CopyTotals()

    assert totals.after([CopyProgress(D1, 100, 340), CopyProgress(D2, 234, 340)]) == (334, 680)
    assert totals.after([CopyProgress(D1, 100, 340)]) == (440, 680)
    assert totals.after([]) == (680, 680)


def test_a_data_node_that_has_not_told_yet_counts_when_it_tells() -> None:
    totals = CopyTotals()

    assert totals.after([CopyProgress(D1, 0, None)]) == (0, 0)
    assert totals.after([CopyProgress(D1, 5, 10), CopyProgress(D2, 0, None)]) == (5, 10)
    assert totals.after([CopyProgress(D1, 0, None)]) == (0, 10), "another ring began"
