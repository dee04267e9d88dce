"""Instances over HTTP at a data node: what is held of them, and who is told that it lost one."""

import pytest
from data_fakes import settle_answered
from msgspec.structs import replace
from test_data_core import (
    MOVED,
    NAME,
    ONE,
    P1,
    S1,
    S2,
    TWO,
    TWO_NODES,
    ask,
    follow,
    held,
    make_core,
    make_reconciled,
    membership,
    publish,
    refused,
    session,
    to,
)

from zreg.data.core import DataCore
from zreg.effects import Effect
from zreg.errors import NotPrimaryError
from zreg.model import (
    NO_INCARNATION,
    Cause,
    Incarnation,
    Publisher,
    Removal,
    http_client_id,
    http_publisher_id,
    is_over_http,
    shown_client_id,
)
from zreg.wire.records.common_messages import Accepted
from zreg.wire.records.data_messages import (
    FetchInstance,
    InstanceFetched,
    InstanceTaken,
    PublishDatum,
    UnpublishDatum,
)

ID = http_publisher_id(NAME, "web-1")


def instance(version: int = 1, at: Incarnation = S1, body: bytes = b"body") -> Publisher:
    return Publisher(ID, version, http_client_id(ID), at, "", "", "", body)


def put(core: DataCore, publisher: Publisher, *, peer: bytes = ONE) -> list[Effect]:
    return ask(core, PublishDatum(1, NAME, publisher), peer=peer)


def remove(core: DataCore, removal: Removal, *, peer: bytes = ONE) -> list[Effect]:
    return ask(core, UnpublishDatum(2, NAME, (removal,)), peer=peer)


def fetched(core: DataCore) -> InstanceFetched:
    (effect,) = ask(core, FetchInstance(5, NAME, ID))
    message = getattr(effect, "message", None)
    assert isinstance(message, InstanceFetched)
    return message


def test_a_session_is_told_what_the_primary_holds() -> None:
    core = make_reconciled()
    assert fetched(core) == InstanceFetched(5, 0)

    put(core, instance(3))
    assert fetched(core) == InstanceFetched(5, 3, instance(3))

    remove(core, Removal(ID, 9, Cause.UNPUBLISHED, S1))
    assert fetched(core) == InstanceFetched(5, 9)


def test_only_the_primary_can_say() -> None:
    core = make_core()
    follow(core, membership(session(S1), session(S2), epoch=8, ring_epoch=8, data=TWO_NODES))

    detail = "this data node is not the primary of that id: compare epochs, then ask the primary"
    assert ask(core, FetchInstance(5, MOVED, ID)) == [refused(5, NotPrimaryError, detail, 8)]


def test_the_session_that_had_an_instance_is_told_who_has_taken_it_over() -> None:
    core = make_reconciled()
    assert put(core, instance(1)) == []

    assert put(core, instance(2, S2), peer=TWO) == [to(ONE, InstanceTaken(NAME, ID, 2))]


def test_a_session_that_writes_its_own_again_is_told_nothing() -> None:
    core = make_reconciled()
    put(core, instance(2))

    assert put(core, instance(2)) == []
    assert put(core, instance(3)) == []


def test_a_write_that_comes_late_loses_and_its_session_is_told() -> None:
    core = make_reconciled()
    put(core, instance(2, S2), peer=TWO)

    assert put(core, instance(2)) == [to(ONE, InstanceTaken(NAME, ID, 2))]
    assert put(core, instance(1)) == [to(ONE, InstanceTaken(NAME, ID, 2))]
    assert held(core)[ID].session == S2
    (accepted,) = [e for e in core.settle(0.0) if e == to(ONE, Accepted((1, 1)))]
    assert accepted


def test_a_write_after_the_removal_loses_and_its_session_is_told() -> None:
    core = make_reconciled()
    remove(core, Removal(ID, 9, Cause.UNPUBLISHED), peer=TWO)

    assert put(core, instance(9)) == [to(ONE, InstanceTaken(NAME, ID, 9, is_removed=True))]
    assert held(core) == {}


def test_a_withdrawal_at_another_session_is_told_to_the_one_that_had_the_instance() -> None:
    core = make_reconciled()
    put(core, instance(1))

    removal = Removal(ID, 9, Cause.UNPUBLISHED, NO_INCARNATION)
    expected = [to(ONE, InstanceTaken(NAME, ID, 9, is_removed=True))]
    assert remove(core, removal, peer=TWO) == expected
    assert held(core) == {}


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_lease_that_ends_removes_nothing_of_another_session(version: int) -> None:
    core = make_reconciled()
    put(core, instance(2, S2), peer=TWO)

    assert remove(core, Removal(ID, version, Cause.SILENT, S1)) == []

    assert held(core) == {ID: instance(2, S2)}


def test_a_lease_that_ends_removes_what_its_own_session_registered() -> None:
    core = make_reconciled()
    put(core, instance(2))

    assert remove(core, Removal(ID, 2, Cause.SILENT, S1)) == []
    settle_answered(core)

    assert held(core) == {}


def test_the_publishers_of_clients_are_no_matter_of_these_rules() -> None:
    core = make_reconciled()
    publish(core, P1, version=1)
    moved = replace(publish(core, P1, version=2), session=S2, version=3)

    assert ask(core, PublishDatum(3, NAME, moved), peer=TWO) == []
    assert ask(core, UnpublishDatum(2, NAME, (Removal(P1, 3, Cause.SILENT, S1),))) == []
    settle_answered(core)
    assert held(core) == {}


def test_the_ids_of_an_instance_are_the_same_everywhere_and_shown_as_http() -> None:
    assert ID == http_publisher_id(NAME, "web-1") != http_publisher_id(NAME, "web-2")
    assert is_over_http(http_client_id(ID))
    assert not is_over_http(P1)
    assert (shown_client_id(http_client_id(ID)), shown_client_id(P1)) == ("http", P1.hex())
