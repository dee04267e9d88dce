"""Withdrawals that wait for a data node count against their client: memory stays bounded."""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from session_client_fakes import (
    FOUR,
    THREE,
    WELCOME,
    publish,
    unpublish,
)
from session_fakes import (
    ALICE,
    ALICE_ID,
    BOB,
    BOB_ID,
    CAROL,
    CONFIG,
    D1,
    TWO,
    Session,
    at_clients,
    make_publisher,
    to_client,
)

from zreg.effects import Effect, Link, PeerLost, Send
from zreg.errors import LimitError
from zreg.wire.messages import PROTOCOL_VERSION
from zreg.wire.records.client_messages import Bye, Hello, ReplayDone
from zreg.wire.records.common_messages import Accepted, Refused


def refused(request_id: int, count_max: int, waiting: int) -> Refused:
    detail = f"one client publishes at most {count_max} times"
    if waiting:
        detail += f", and {waiting} of its withdrawals wait for a data node"
    return Refused(request_id, LimitError.code, f"{detail}: use several clients")


def make_session(count_max: int, clients_max: int = 10, *, is_up: bool = False) -> Session:
    """Return a session, by default without a connection to its data node."""
    config = replace(CONFIG, publishers_per_client_max=count_max, clients_max=clients_max)
    session = Session(D1, config=config)
    if not is_up:
        session.go_down(D1)
    return session


def held(session: Session) -> int | float | str:
    """Return how many registrations a session holds."""
    return session.core.statistics()["publishers"]


def answers(effects: list[Effect]) -> list[object]:
    return [effect.message for effect in at_clients(effects) if isinstance(effect, Send)]


def test_a_client_that_publishes_and_withdraws_fresh_ids_fills_no_memory() -> None:
    """It does so while the data node is away: nothing is accepted."""
    session = make_session(50)
    session.greet(ALICE)
    refusals = []
    for number in range(1, 2000):
        publisher = make_publisher(number)
        effects = session.says(ALICE, publish(number, publisher), unpublish(number, publisher))
        refusals += answers(effects)

    assert held(session) == 50
    assert refusals[-1] == refused(1999, 50, 50)
    assert len(refusals) == 2 * (1999 - 50), "a refused publish is refused its withdrawal too"


def test_a_client_that_withdraws_what_it_never_had_fills_no_memory() -> None:
    session = make_session(50)
    session.greet(ALICE)
    effects = session.says(
        ALICE, *(unpublish(number, make_publisher(number)) for number in range(1, 2000))
    )

    assert held(session) == 50
    assert answers(effects) == [refused(number, 50, 50) for number in range(51, 2000)]


def test_publishers_and_withdrawals_count_together_until_these_are_accepted() -> None:
    session = make_session(2, is_up=True)
    session.greet(ALICE)
    session.says(ALICE, publish(1), publish(2, TWO), unpublish(3))
    assert session.says(ALICE, publish(4, THREE)) == to_client(ALICE, refused(4, 2, 1))

    assert session.hears(D1, Accepted((1, 2))) == to_client(ALICE, Accepted((2, 3)))

    effects = session.says(ALICE, publish(5, THREE), publish(6, FOUR))
    assert answers(effects) == [refused(6, 2, 0)]


def test_a_known_publisher_is_never_one_too_many() -> None:
    """It can be changed, withdrawn, and published again while its removal is under way."""
    session = make_session(2)
    session.greet(ALICE, publish(1), publish(2, TWO))

    newer, newest = make_publisher(1, version=2), make_publisher(1, version=3)
    effects = session.says(
        ALICE, publish(3, newer), unpublish(4, newer), publish(5, newest), unpublish(6, newest)
    )

    assert answers(effects) == []
    assert held(session) == 2
    assert answers(session.says(ALICE, publish(7, THREE))) == [refused(7, 2, 1)]


def test_a_withdrawal_that_is_published_again_is_counted_once() -> None:
    session = make_session(1, is_up=True)
    session.greet(ALICE, publish(1), unpublish(2), publish(3, make_publisher(1, version=2)))

    session.hears(D1, Accepted((1,)))
    session.says(ALICE, unpublish(4, make_publisher(1, version=2)))
    session.hears(D1, Accepted((2,)))

    assert answers(session.says(ALICE, publish(5, TWO), publish(6, THREE))) == [refused(6, 1, 0)]


def test_a_withdrawal_that_the_data_node_refuses_is_counted_no_more() -> None:
    session = make_session(1, is_up=True)
    session.greet(ALICE, unpublish(1))

    effects = session.hears(D1, Refused(1, LimitError.code, "no", 3))

    assert answers(effects) == [Refused(1, LimitError.code, "no")]
    assert answers(session.says(ALICE, publish(2, TWO))) == []


def test_what_a_replay_left_out_counts_as_a_withdrawal() -> None:
    session = make_session(2)
    session.greet(ALICE, publish(1), publish(2, TWO))
    session.greet(ALICE, ReplayDone())

    assert held(session) == 2
    assert answers(session.says(ALICE, publish(3, THREE))) == [refused(3, 2, 2)]


def test_a_client_that_comes_back_is_held_to_what_it_left() -> None:
    session = make_session(2)
    for number in range(1, 100):
        publisher = make_publisher(number)
        session.greet(ALICE, publish(1, publisher), Bye())

    assert held(session) == 2
    assert answers(session.greet(ALICE, publish(1, FOUR)))[1:] == [refused(1, 2, 2)]


def test_clients_that_left_withdrawals_count_as_clients() -> None:
    """Otherwise a new client id for every few publishers would fill the memory."""
    session = make_session(2, clients_max=2)
    session.greet(ALICE, publish(1), Bye())
    session.greet(BOB, publish(1, make_publisher(2, client_id=BOB_ID)), Bye())

    full = Refused(0, LimitError.code, "this session has its 2 clients: try another one")
    assert at_clients(session.greet(CAROL)) == to_client(CAROL, full, Bye())
    assert session.greet(ALICE) == to_client(ALICE, WELCOME), "it counts already"

    effects = session.come_up(D1)
    session.accept_all(D1, effects)
    assert session.greet(CAROL) == to_client(CAROL, WELCOME)


def test_a_suspicion_that_is_forgotten_at_once_is_not_counted() -> None:
    """No incarnation answered for the publisher: the session drops it by itself."""
    session = Session(config=replace(CONFIG, publishers_per_client_max=1))
    session.greet(ALICE, publish(1))
    session.local(PeerLost(Link.CLIENTS, ALICE))
    session.wait(CONFIG.disconnect_grace_seconds)

    assert held(session) == 0
    hello = Hello(PROTOCOL_VERSION, ALICE_ID, "app")
    (_, kept) = answers(session.says(ALICE, hello, publish(2, TWO)))
    assert isinstance(kept, Refused)
    assert kept.detail.startswith("not accepted yet, but stored")


ids = st.integers(1, 4)
steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["publish", "unpublish", "accept", "refuse"]), ids),
        st.tuples(st.sampled_from(["lose", "return", "replay", "bye", "expire"]), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=200)
@given(steps)
def test_in_any_history_the_bound_holds_and_nothing_stays_counted(
    history: list[tuple[str, int]],
) -> None:
    session = make_session(3, is_up=True)
    session.greet(ALICE)
    for version, (step, number) in enumerate(history, 1):
        publisher = make_publisher(number, version=version)
        match step:
            case "publish":
                session.says(ALICE, publish(version, publisher))
            case "unpublish":
                session.says(ALICE, unpublish(version, publisher))
            case "accept":
                session.hears(D1, Accepted(tuple(range(1, version, number))))
            case "refuse":
                session.hears(D1, Refused(version // number, LimitError.code, "no", 3))
            case "lose":
                session.local(PeerLost(Link.CLIENTS, ALICE))
            case "return":
                session.greet(ALICE)
            case "replay":
                session.says(ALICE, ReplayDone())
            case "bye":
                session.says(ALICE, Bye())
            case _:
                session.wait(CONFIG.disconnect_grace_seconds)
        assert int(held(session)) <= 3

    session.says(ALICE, Bye())
    session.greet(ALICE, Bye())
    session.hears(D1, Accepted(tuple(range(1, 1000))))
    assert held(session) == 0
    effects = session.greet(ALICE, *(publish(n, make_publisher(n, 99)) for n in range(1, 5)))
    assert answers(effects)[1:] == [refused(4, 3, 0)]
