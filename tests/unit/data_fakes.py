"""What surrounds a data node's store in unit tests: ids, publisher ids, sessions."""

from collections.abc import Collection

from zreg.config import Limits
from zreg.data.store.bucket import BucketRole
from zreg.data.store.datum import Datum
from zreg.data.store.datum_store import DatumStore
from zreg.model import Change, DataInfoId, Incarnation, data_info_id
from zreg.primitives.ring import bucket_of

NAME, OTHER = data_info_id("pay"), data_info_id("ship")
P1, P2, P3 = (bytes([number]) * 16 for number in (1, 2, 3))
S1, S2 = Incarnation(1, "s1"), Incarnation(2, "s2")


def commit(store: DatumStore, *, epoch: int = 1, now: float = 0.0) -> list[Change]:
    """End a turn of the store: give what it changed a version."""
    return [store.commit(datum, epoch, now) for datum in store.dirty()]


def take_roles(
    store: DatumStore, *primary: DataInfoId, replica: Collection[DataInfoId] = (), epoch: int = 1
) -> None:
    """Let the node of a store be the primary, or a replica, of the buckets of these names alone."""
    roles = [BucketRole.NONE] * Limits.bucket_count
    for name in primary:
        roles[bucket_of(name)] = BucketRole.PRIMARY
    for name in replica:
        roles[bucket_of(name)] = BucketRole.REPLICA
    store.buckets.follow(roles, epoch)


def drop_all(store: DatumStore) -> None:
    """Let other nodes have everything."""
    take_roles(store)
    store.buckets.check_some(1000)


def names_of(store: DatumStore) -> list[DataInfoId]:
    """Return the names of the datums of which the node is the primary."""
    return [datum.name for datum in store.buckets]


def datum_of(store: DatumStore, name: DataInfoId = NAME) -> Datum:
    """Return a datum that exists."""
    datum = store.find(name)
    assert datum is not None
    return datum
