"""The order in which a client tries the session addresses that it knows."""

from client_fakes import A, B, FixedRandom

from zreg.client.core.addresses import SessionAddresses


def test_an_address_that_left_the_list_is_tried_first_but_never_last() -> None:
    addresses = SessionAddresses([A], rng=FixedRandom())
    addresses.try_last(B)
    assert (addresses.next(), addresses.is_round_over) == (A, True)
    addresses.try_first(B)
    assert [addresses.next(), addresses.next(), addresses.next()] == [B, A, A]
