"""What surrounds a data node's store in unit tests: ids, publisher ids, sessions."""

from zreg.data.datum import Datum
from zreg.data.store import DatumStore
from zreg.model import Change, DataInfoId, Incarnation, data_info_id

NAME, OTHER = data_info_id("pay"), data_info_id("ship")
P1, P2, P3 = (bytes([number]) * 16 for number in (1, 2, 3))
S1, S2 = Incarnation(1, "s1"), Incarnation(2, "s2")


def commit(store: DatumStore, *, epoch: int = 1, now: float = 0.0) -> list[Change | None]:
    """End a turn of the store: give what it changed a version."""
    return [store.commit(datum, epoch, now) for datum in store.dirty()]


def datum_of(store: DatumStore, name: DataInfoId = NAME) -> Datum:
    """Return a datum that exists."""
    datum = store.find(name)
    assert datum is not None
    return datum
