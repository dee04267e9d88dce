"""What surrounds a data node and its store in unit tests: ids, publisher ids, sessions."""

from collections.abc import Collection, Iterable

from zreg.config import Limits
from zreg.data.core import DataCore
from zreg.data.store.bucket import BucketRole
from zreg.data.store.datum import Datum
from zreg.data.store.datum_store import DatumStore
from zreg.effects import Effect, Link, Send
from zreg.model import Change, DataInfoId, Incarnation, data_info_id
from zreg.primitives.ring import bucket_of
from zreg.wire.records.data_messages import Present, RollCall

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


def calls_of(effects: Iterable[Effect]) -> list[Send]:
    """Return the messages that call the roll of sessions."""
    return [each for each in effects if isinstance(each, Send) and type(each.message) is RollCall]


def settle_answered(core: DataCore, now: float = 0.0) -> list[Effect]:
    """End a turn, and the next one, in which all sessions that were called have answered."""
    effects = list(core.settle(now))
    for called in calls_of(effects):
        assert isinstance(called.message, RollCall)
        core.receive(Link.REQUESTS, called.peer, Present(called.message.number), now)
    return [each for each in effects if each not in calls_of(effects)] + list(core.settle(now))
