"""Questions of commands: answered from the membership, by the data nodes, or by meta."""

from session_fakes import ALICE, D1, Session, make_membership, to_client

from zreg.effects import Link, Send
from zreg.wire.records.data_messages import DatumsListed, ListDatums
from zreg.wire.records.membership_messages import FetchMembership, MembershipReply
from zreg.wire.records.settings_messages import FetchSettings


def test_the_membership_is_answered_from_what_the_session_follows() -> None:
    session = Session(D1)

    assert session.says(ALICE, FetchMembership(5)) == to_client(
        ALICE, MembershipReply(5, make_membership(D1))
    )


def test_a_listing_is_asked_of_the_data_nodes() -> None:
    session = Session(D1)
    (listing,) = session.says(ALICE, ListDatums(5, "*"))
    assert isinstance(listing, Send)
    assert listing.link is Link.DATA

    request_id = listing.message.request_id  # type: ignore[attr-defined]
    answer = session.hears(D1, DatumsListed(request_id, ()))

    assert answer == to_client(ALICE, DatumsListed(5, ()))


def test_a_read_of_settings_is_passed_on_to_meta() -> None:
    session = Session(D1)

    (passed_on,) = session.says(ALICE, FetchSettings(78, "a*"))

    assert isinstance(passed_on, Send)
    assert passed_on.link is Link.META
    assert isinstance(passed_on.message, FetchSettings)
    assert passed_on.message.pattern == "a*"
