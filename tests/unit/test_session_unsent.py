"""Which of the registrations that wait for a data node is sent first."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from session_fakes import ALICE_ID, BOB_ID, CAROL_ID, PAY, make_publisher

from zreg.session.upstream.registered.registration import Registration
from zreg.session.upstream.registered.unsent import _SHARE, UnsentRegistrations

CLIENT_IDS = (ALICE_ID, BOB_ID, CAROL_ID)


def registration(number: int, client_id: bytes = ALICE_ID) -> Registration:
    return Registration(PAY, make_publisher(number, client_id=client_id))


def test_a_client_does_not_wait_for_all_of_another() -> None:
    unsent = UnsentRegistrations()
    crowd = [registration(number) for number in range(10 * _SHARE)]
    bystander = registration(10 * _SHARE, BOB_ID)
    for each in (*crowd, bystander):
        unsent.put(each)

    assert unsent.take(_SHARE + 1) == [*crowd[:_SHARE], bystander]
    assert unsent.take(2) == crowd[_SHARE : _SHARE + 2], "and the others go on in their order"


def test_clients_take_turns() -> None:
    unsent = UnsentRegistrations()
    for number in range(3 * 4 * _SHARE):
        unsent.put(registration(number, CLIENT_IDS[number % 3]))

    for _ in range(4):
        taken = Counter(each.publisher.client_id for each in unsent.take(3 * _SHARE))
        assert taken == dict.fromkeys(CLIENT_IDS, _SHARE)
    assert not unsent
    assert unsent.take(1) == []


def test_a_registration_that_waits_already_keeps_its_place() -> None:
    unsent = UnsentRegistrations()
    first, second = registration(1), registration(2)
    for each in (first, second, first):
        unsent.put(each)

    assert len(unsent) == 2
    assert unsent.take(2) == [first, second]


def test_a_registration_that_is_removed_is_not_taken() -> None:
    unsent = UnsentRegistrations()
    first, second = registration(1), registration(2)
    unsent.put(first)
    unsent.put(second)

    unsent.remove(first)
    unsent.remove(first)
    unsent.remove(registration(3, BOB_ID))

    assert first not in unsent
    assert second in unsent
    assert list(unsent) == unsent.take_all() == [second]
    assert len(unsent) == 0


Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "remove", "take"]), st.integers(0, 9), st.integers(1, 80)
    )
)


@given(STEPS)
def test_each_registration_that_waits_is_taken_exactly_once(steps: list[Step]) -> None:
    unsent = UnsentRegistrations()
    all_of = [registration(number, CLIENT_IDS[number % 3]) for number in range(10)]
    waiting: set[int] = set()
    for action, number, count in steps:
        match action:
            case "put":
                unsent.put(all_of[number])
                waiting.add(number)
            case "remove":
                unsent.remove(all_of[number])
                waiting.discard(number)
            case _:
                taken = {all_of.index(each) for each in unsent.take(count)}
                assert taken <= waiting
                assert len(taken) == min(count, len(waiting))
                waiting -= taken
        assert len(unsent) == len(waiting) == len(list(unsent))
        assert {n for n, each in enumerate(all_of) if each in unsent} == waiting
