"""What data nodes say reaches the part that it concerns, also when they say nothing."""

from session_fakes import (
    ALICE,
    BOB,
    D1,
    D2,
    PAY,
    V1,
    V2,
    V3,
    Session,
    at_clients,
    make_publisher,
    to_client,
    to_data,
)

from zreg.effects import Link
from zreg.errors import NotReadyError
from zreg.model import Scope
from zreg.wire.records.client_messages import Publish, Subscribe
from zreg.wire.records.common_messages import Accepted, Refused
from zreg.wire.records.data_messages import (
    Changed,
    Changes,
    DatumsListed,
    FetchChanges,
    ListDatums,
    PublishDatum,
    Snapshot,
)

SUBSCRIBE = Subscribe(5, PAY, Scope.GLOBAL)


def test_a_listing_that_no_data_node_answers_is_refused_once() -> None:
    session = Session(D1, D2)
    session.says(ALICE, ListDatums(77, "*"))

    effects = session.wait(2.5)

    detail = "no answer from d1@1, d2@2: a listing would not be complete, try again"
    assert at_clients(effects) == to_client(ALICE, Refused(77, NotReadyError.code, detail))


def test_an_answer_of_the_wrong_kind_is_ignored() -> None:
    session = Session(D1)
    session.greet(ALICE, SUBSCRIBE)
    session.says(BOB, ListDatums(77, "*"))

    assert session.hears(D1, DatumsListed(1, ())) == []
    assert session.hears(D1, Snapshot(2, PAY, V1, (), 0, 1)) == []
    assert session.hears(D1, Changes(2, PAY, (), 1)) == []
    assert session.hears(D1, Accepted((1, 2))) == []

    assert session.hears(D1, DatumsListed(2, ())) == to_client(BOB, DatumsListed(77, ()))


def test_a_publisher_that_the_primary_lacks_is_sent_there_again() -> None:
    session = Session(D1)
    one = make_publisher(1)
    session.greet(ALICE, SUBSCRIBE, Publish(11, one.publisher_id, one.version, PAY, one.body))
    session.hears(D1, Snapshot(1, PAY, V1, (one,), 0, 1), Accepted((2,)))
    hint = Changed(PAY, V2, V3, 2)
    assert session.turn(Link.CHANGES, D1, hint) == to_data(D1, FetchChanges(3, PAY, V1, V3))

    effects = session.hears(D1, Snapshot(3, PAY, V3, (), 0, 2))

    assert effects == to_data(D1, PublishDatum(4, PAY, one))
