"""The order in which a client tries the session addresses that it knows."""

from client_fakes import A, B, FixedRandom

from zreg.client.core.connection.addresses import SessionAddresses

C = "tcp://c:9600"


def test_addresses_of_earlier_welcomes_are_tried_last() -> None:
    """The first session that is back after all were away knows no other one yet."""
    addresses = SessionAddresses([A], rng=FixedRandom())
    addresses.learn([A, B, C])
    addresses.learn([A])

    addresses.try_first(A)

    assert addresses.known() == [A, B, C]
    assert addresses.next() == A
    assert {addresses.next(), addresses.next()} == {B, C}


def test_a_bounded_number_of_earlier_addresses_is_kept() -> None:
    addresses = SessionAddresses([A], rng=FixedRandom())
    for number in range(200):
        addresses.learn([f"tcp://s{number}:1"])

    assert len(addresses) == 1 + 1 + 64


def test_a_round_tries_a_few_earlier_addresses_only_and_others_next_time() -> None:
    """Dead addresses that do not answer must not delay the attempts at the present ones."""
    addresses = SessionAddresses([A], rng=FixedRandom())
    addresses.learn([f"tcp://s{number}:1" for number in range(6)])
    addresses.learn([])
    rounds = []
    for _ in range(3):
        addresses.try_first(A)
        tried = [addresses.next()]
        while not addresses.is_round_over:
            tried.append(addresses.next())
        rounds.append(tried)

    assert [len(tried) for tried in rounds] == [3, 3, 3]
    assert {address for tried in rounds for address in tried} == set(addresses.known())


def test_an_address_that_left_the_list_is_tried_first_but_never_last() -> None:
    addresses = SessionAddresses([A], rng=FixedRandom())
    addresses.try_last(B)
    assert (addresses.next(), addresses.is_round_over) == (A, True)
    addresses.try_first(B)
    assert [addresses.next(), addresses.next(), addresses.next()] == [B, A, A]
