"""A data node pages through what is published on a host, and keeps nothing between two pages."""

import pytest
from msgspec.structs import replace
from replica_fakes import D1, EPOCH, make_membership, placed, published

from zreg.data import instance_search
from zreg.data.instance_search import InstanceSearch
from zreg.data.store.bucket import BucketRole
from zreg.data.store.datum_store import DatumStore
from zreg.model import DataInfoId, data_info_id
from zreg.primitives.ring import bucket_of
from zreg.wire.body import pack_body
from zreg.wire.records.common_messages import FindInstances

HERE = pack_body(("10.0.0.7:80",), attributes={}, registered_at=1.0)
ELSEWHERE = pack_body(("10.0.0.8:80",), attributes={}, registered_at=1.0)


def key(number: int) -> bytes:
    return number.to_bytes(16)


@pytest.fixture
def store() -> DatumStore:
    _, store = placed(D1, make_membership())
    return store


def names(store: DatumStore, role: BucketRole, count: int) -> list[DataInfoId]:
    found = (data_info_id(f"service-{number:05}") for number in range(10_000))
    return [name for name in found if store.buckets.role(bucket_of(name)) is role][:count]


def put(store: DatumStore, name: DataInfoId, number: int, body: bytes = HERE) -> None:
    store.put(name, replace(published(key(number)), body=body))
    store.commit(next(iter(store.dirty())), EPOCH, 0.0)


def pages(store: DatumStore, limit: int) -> list[list[tuple[str, int]]]:
    """Return all pages, each as names and numbers of publishers."""
    search, found = InstanceSearch(store.buckets), []
    question = FindInstances(7, "10.0.0.7", limit=limit)
    for _ in range(1000):
        page = search.instances(question, "d1")
        assert (page.request_id, page.node_id) == (7, "d1")
        found.append(
            [
                (each.data_info_id, int.from_bytes(each.publisher.publisher_id))
                for each in page.instances
            ]
        )
        if page.is_complete:
            return found
        question = replace(
            question, after_name=page.after_name, after_publisher=page.after_publisher
        )
    raise AssertionError("it never ends")


def test_publishers_are_in_the_order_of_names_and_ids(store: DatumStore) -> None:
    one, two = names(store, BucketRole.PRIMARY, 2)
    for name, number in ((two, 1), (one, 9), (one, 3)):
        put(store, name, number)
    put(store, one, 4, ELSEWHERE)

    assert pages(store, 10) == [[(one, 3), (one, 9), (two, 1)]]


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_pages_together_have_everything_once(store: DatumStore, limit: int) -> None:
    expected = []
    for at, name in enumerate(names(store, BucketRole.PRIMARY, 5)):
        for number in range(at):
            put(store, name, number)
            expected.append((name, number))

    found = pages(store, limit)

    assert [each for page in found for each in page] == expected
    assert all(len(page) <= limit for page in found)


def test_a_page_looks_at_a_bounded_part_and_may_be_empty(
    store: DatumStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance_search, "_SLICE", 4)
    (*others, last) = names(store, BucketRole.PRIMARY, 7)
    for name in others:
        put(store, name, 1, ELSEWHERE)
    put(store, last, 1)

    assert pages(store, 10) == [[], [], [], [(last, 1)]]


def test_copies_of_other_primaries_are_left_out(store: DatumStore) -> None:
    (copied,) = names(store, BucketRole.REPLICA, 1)
    store.buckets.add(copied)

    assert pages(store, 10) == [[]]


def test_a_page_fits_a_record(store: DatumStore) -> None:
    (name,) = names(store, BucketRole.PRIMARY, 1)
    large = pack_body(("10.0.0.7:80", "x" * 60_000), attributes={}, registered_at=1.0)
    for number in range(30):
        put(store, name, number, large)

    found = pages(store, 200)

    assert len(found) > 1
    assert [number for page in found for _, number in page] == list(range(30))
