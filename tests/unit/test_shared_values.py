"""Publishers share what is equal in them."""

from data_fakes import P1
from strategies import make_publisher

from zreg.model import Publisher
from zreg.primitives.shared_values import shared_publisher
from zreg.wire.codec import decode_frame, encode_frames
from zreg.wire.records.data_messages import PublishDatum


def decoded(publisher: Publisher) -> Publisher:
    """Return the publisher as it comes from a socket: no part of it is shared."""
    (frame,) = encode_frames([PublishDatum(1, "a#@#b#@#c", publisher)])
    (record,) = decode_frame(frame)
    return record.publisher


def test_two_publishers_of_one_client_share_all_but_id_and_body() -> None:
    sent = make_publisher(P1, zone="zone-1")
    one, two = (shared_publisher(decoded(sent), None) for _ in range(2))

    assert one == two == sent
    assert one.client_id is two.client_id
    assert one.session is two.session
    assert one.zone is two.zone
    assert one.publisher_id is not two.publisher_id


def test_a_newer_state_keeps_the_id_that_is_the_key_of_the_older() -> None:
    old = decoded(make_publisher(P1))
    new = decoded(make_publisher(P1, version=2, body=b"new"))

    assert shared_publisher(new, old).publisher_id is old.publisher_id
    assert shared_publisher(new, old) == new
