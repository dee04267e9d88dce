"""Clients of a session expire after a closed connection or after silence, and never too early."""

import pytest
from session_fakes import ALICE, ALICE_ID, BOB, CONFIG, PAY

from zreg.effects import Peer
from zreg.model import Cause, Scope
from zreg.session.clients.client_table import Client, ClientTable
from zreg.wire.messages import PROTOCOL_VERSION
from zreg.wire.records.client_messages import Hello

GRACE, LEASE, LONG = (
    CONFIG.disconnect_grace_seconds,
    CONFIG.lease_seconds,
    CONFIG.session_grace_seconds,
)


def hello(client_id: bytes = ALICE_ID, **labels: str) -> Hello:
    return Hello(PROTOCOL_VERSION, client_id, **labels)


class Clients:
    """A table whose expired clients are taken as soon as they are due."""

    def __init__(self) -> None:
        self.now = 0.0
        self.table = ClientTable(CONFIG, now=self.now)
        # Those that give signs of life all the time.
        self.lasting: list[Client] = []

    def come(self, number: int, peer: Peer = b"") -> Client:
        """Let a client connect."""
        peer = peer or number.to_bytes(4)
        client, _ = self.table.greet(peer, hello(number.to_bytes(16)), self.now)
        return client

    def lose(self, number: int) -> int:
        """Close the connection of a client; return how many clients get more time for that."""
        self.table.close(number.to_bytes(4), self.now)
        return self.table.judge_total_loss(self.now)

    def wait(self, seconds: float) -> list[tuple[Client, Cause]]:
        """Let time pass; return the expired clients, and remove them as the session does."""
        end = self.now + seconds
        gone: list[tuple[Client, Cause]] = []
        while self.now < end:
            self.now = min(self.table.next_tick_at(), end)
            for client in self.lasting:
                self.table.renew(client, self.now)
            expired = self.table.expired(self.now)
            for client, _ in expired:
                self.table.remove(client)
            gone += expired
        return gone


def test_a_new_client_is_known_by_its_connection_and_by_its_id() -> None:
    table = ClientTable(CONFIG, now=0.0)

    client, former = table.greet(ALICE, hello(app="shop", zone="z9", data_center="dc9"), 0.0)

    assert former is None
    assert (client.app, client.zone, client.data_center) == ("shop", "z9", "dc9")
    assert table.of_peer(ALICE) is table.of_id(ALICE_ID) is client
    assert table.all() == [client]
    assert len(table) == 1


def test_labels_that_a_client_does_not_bring_are_those_of_the_session() -> None:
    client, _ = ClientTable(CONFIG, now=0.0).greet(ALICE, hello(), 0.0)

    assert (client.zone, client.data_center) == ("z1", "dc1")


def test_the_repr_of_a_client_shows_its_id_and_sizes() -> None:
    client = Client(ALICE_ID)
    client.publisher_ids[b"p"] = None
    client.subscription_keys[PAY, Scope.GLOBAL] = None

    assert repr(client) == "<Client 61616161 publishers=1 subscriptions=1>"


def test_the_same_hello_twice_changes_nothing_but_asks_for_the_replay_again() -> None:
    table = ClientTable(CONFIG, now=0.0)
    client, _ = table.greet(ALICE, hello(), 0.0)
    client.publisher_ids[b"p"] = None
    client.subscription_keys[PAY, Scope.GLOBAL] = None

    again, former = table.greet(ALICE, hello(), 1.0)

    assert (again, former) == (client, None)
    assert list(client.unreplayed_publisher_ids) == [b"p"]
    assert list(client.unreplayed_subscription_keys) == [(PAY, Scope.GLOBAL)]


def test_a_second_connection_of_the_same_client_replaces_the_first() -> None:
    table = ClientTable(CONFIG, now=0.0)
    client, _ = table.greet(ALICE, hello(), 0.0)

    again, former = table.greet(BOB, hello(), 1.0)

    assert (again, former) == (client, ALICE)
    assert table.of_peer(ALICE) is None
    assert table.of_peer(BOB) is client
    assert table.close(ALICE, 2.0) is None, "what happens to the first is of the past"


def test_a_connection_belongs_to_the_client_that_said_hello_on_it_last() -> None:
    """The former client has its grace, as if its connection had been closed."""
    clients = Clients()
    alice = clients.come(1, ALICE)

    bob = clients.come(2, ALICE)

    assert clients.table.of_peer(ALICE) is bob
    assert alice.peer is None
    assert clients.wait(GRACE) == [(alice, Cause.CLOSED)]
    assert clients.table.all() == [bob]


def test_clients_in_their_grace_count_for_a_full_table() -> None:
    config = CONFIG.__class__(clients_max=1)
    table = ClientTable(config, now=0.0)
    assert not table.is_full

    table.greet(ALICE, hello(), 0.0)
    table.close(ALICE, 0.0)

    assert table.is_full


def test_a_closed_client_expires_with_its_grace_and_not_before() -> None:
    clients = Clients()
    alice = clients.come(1, ALICE)
    clients.table.close(ALICE, clients.now)

    assert clients.wait(GRACE - 0.01) == []
    assert clients.wait(0.01) == [(alice, Cause.CLOSED)]
    assert clients.wait(1.0) == []
    assert len(clients.table) == 0


def test_a_client_that_closes_while_another_is_in_its_grace_has_a_whole_grace() -> None:
    clients = Clients()
    alice, bob = clients.come(1, ALICE), clients.come(2, BOB)
    clients.table.close(ALICE, clients.now)
    clients.wait(0.3)
    clients.table.close(BOB, clients.now)

    assert clients.wait(0.4) == [(alice, Cause.CLOSED)]
    assert clients.wait(0.2) == [(bob, Cause.CLOSED)]


def test_a_client_that_returns_in_time_is_the_same_client() -> None:
    clients = Clients()
    alice = clients.come(1, ALICE)
    clients.table.close(ALICE, clients.now)
    clients.wait(GRACE - 0.01)

    assert clients.come(1, BOB) is alice
    assert clients.wait(LEASE - 0.1) == []


def test_a_closed_connection_without_a_hello_concerns_no_client() -> None:
    assert ClientTable(CONFIG, now=0.0).close(ALICE, 0.0) is None


def test_a_silent_client_expires_with_its_lease_and_signs_of_life_extend_it() -> None:
    clients = Clients()
    alice, bob = clients.come(1, ALICE), clients.come(2, BOB)
    clients.wait(1.0)
    clients.table.renew(bob, clients.now)

    assert clients.wait(LEASE - 1.0 - 0.01) == []
    assert clients.wait(0.3) == [(alice, Cause.SILENT)]
    assert clients.wait(1.0) == [(bob, Cause.SILENT)]


def test_a_client_in_grace_is_judged_by_its_grace_alone() -> None:
    """A lease that runs out at the same time does not make it silent too."""
    clients = Clients()
    alice = clients.come(1, ALICE)
    clients.wait(LEASE - GRACE)
    clients.table.close(ALICE, clients.now)

    assert clients.wait(GRACE + 0.5) == [(alice, Cause.CLOSED)]


def test_a_dropped_client_is_forgotten_whether_connected_or_not() -> None:
    clients = Clients()
    alice, bob = clients.come(1, ALICE), clients.come(2, BOB)
    clients.table.close(BOB, clients.now)

    clients.table.remove(alice)
    clients.table.remove(bob)

    assert clients.table.of_peer(ALICE) is clients.table.of_id(alice.client_id) is None
    assert clients.table.all() == []
    assert clients.wait(LEASE + 1.0) == []


def test_a_table_that_stalled_expires_no_client_on_waking() -> None:
    """A client that was silent, or that came back meanwhile, may not have been heard yet."""
    clients = Clients()
    alice, bob = clients.come(1, ALICE), clients.come(2, BOB)
    clients.wait(0.5)
    clients.table.close(BOB, clients.now)

    clients.now += LEASE + 1.0
    assert clients.table.expired(clients.now) == []

    assert clients.table.stall_count == 1
    assert clients.wait(LEASE + 0.2) == [(alice, Cause.SILENT)]
    remaining = CONFIG.session_grace_seconds - LEASE
    assert clients.wait(remaining) == [(bob, Cause.CLOSED)]


@pytest.mark.parametrize("seconds_after", [0.0, 0.5])
def test_a_close_found_after_a_stall_is_no_evidence(seconds_after: float) -> None:
    """Clients leave a session that is stopped; they have the grace of a session to register."""
    clients = Clients()
    alice = clients.come(1, ALICE)
    clients.wait(0.5)

    clients.now += LEASE + 1.0
    if seconds_after:
        clients.table.expired(clients.now)
        clients.now += seconds_after
    clients.table.close(ALICE, clients.now)

    assert clients.wait(CONFIG.session_grace_seconds - 0.1) == []
    assert clients.wait(0.2) == [(alice, Cause.CLOSED)]


def test_a_client_that_was_sent_away_has_the_grace_of_a_session() -> None:
    """It leaves because it was told to, so that it leaves says nothing about its life."""
    clients = Clients()
    alice = clients.come(1, ALICE)
    assert clients.table.send_away() == [ALICE]
    clients.table.close(ALICE, clients.now)

    assert clients.wait(LONG - 0.1) == []
    assert clients.wait(0.2) == [(alice, Cause.CLOSED)]


def test_a_client_that_was_sent_away_and_returned_has_the_usual_grace() -> None:
    clients = Clients()
    alice = clients.come(1, ALICE)
    clients.table.send_away()
    clients.table.close(ALICE, clients.now)
    assert clients.come(1, BOB) is alice
    clients.table.close(BOB, clients.now)

    assert clients.wait(GRACE + 0.1) == [(alice, Cause.CLOSED)]


def test_without_closed_clients_the_table_is_due_for_leases_alone() -> None:
    clients = Clients()
    calm = clients.table.next_tick_at()
    clients.come(1, ALICE)
    clients.table.close(ALICE, clients.now)
    clients.come(1, BOB)

    clients.wait(GRACE)

    assert clients.table.next_tick_at() - clients.now == pytest.approx(calm)


# --- storms -----------------------------------------------------------------------------------


BYSTANDER = 1000


def make_storm(count: int = 30) -> tuple[Clients, list[Client]]:
    """Return clients of which these have lost their connections, and one has not."""
    clients = Clients()
    clients.lasting.append(clients.come(BYSTANDER))
    cut = [clients.come(number) for number in range(count)]
    for number in range(count):
        clients.table.close(number.to_bytes(4), clients.now)
    return clients, cut


def test_clients_that_are_killed_at_once_have_the_usual_grace_as_none_comes_back() -> None:
    clients, cut = make_storm()

    assert clients.wait(GRACE) == [(client, Cause.CLOSED) for client in cut]


def test_while_clients_come_back_after_a_cut_the_rest_has_more_time() -> None:
    clients, cut = make_storm()

    gone = []
    for number in range(len(cut)):
        gone += clients.wait(0.08)
        clients.come(number)

    assert gone == []


def test_a_storm_is_over_when_no_client_has_come_back_for_a_while() -> None:
    clients, cut = make_storm()
    clients.wait(0.4)
    clients.come(0)

    assert clients.wait(0.45) == []
    assert clients.wait(0.2) == [(client, Cause.CLOSED) for client in cut[1:]]


def test_a_storm_lasts_no_longer_than_a_session_grace() -> None:
    clients, cut = make_storm()

    gone = clients.wait(0.3)
    while not gone and clients.now < 2 * LONG:
        clients.come(0)
        clients.table.close((0).to_bytes(4), clients.now)
        gone = clients.wait(0.25)

    assert clients.now == pytest.approx(LONG, abs=0.3)
    assert gone == [(client, Cause.CLOSED) for client in cut[1:]]


def test_one_more_closed_connection_does_not_end_the_time_of_the_others() -> None:
    """It comes more than a second after the others, so the last 21 are not within a second."""
    clients, cut = make_storm()
    for number in range(5):
        clients.wait(0.4)
        clients.come(number)

    clients.table.close((0).to_bytes(4), clients.now)

    assert clients.wait(0.3) == []
    assert len(clients.table) == len(cut) + 1


def test_a_storm_that_is_over_gives_no_client_more_time() -> None:
    clients, cut = make_storm()
    for number in range(len(cut)):
        clients.come(number)
    clients.wait(1.1)

    clients.table.close((0).to_bytes(4), clients.now)
    clients.table.close((1).to_bytes(4), clients.now)
    clients.wait(0.3)
    clients.come(1)

    assert clients.wait(GRACE - 0.3) == [(cut[0], Cause.CLOSED)]


def test_as_many_that_close_one_by_one_are_no_storm() -> None:
    clients = Clients()
    clients.lasting.append(clients.come(BYSTANDER))
    cut = [clients.come(number) for number in range(21)]
    gone = []
    for number in range(21):
        clients.table.close(number.to_bytes(4), clients.now)
        gone += clients.wait(1.5 / 20)
    clients.come(20)

    gone += clients.wait(GRACE)

    assert gone == [(client, Cause.CLOSED) for client in cut[:20]]


# --- the loss of all clients at once ------------------------------------------------------------


def lose_all(count: int, seconds_between: float = 0.0) -> tuple[Clients, list[Client]]:
    """Return clients that have all lost their connections, one after the other."""
    clients = Clients()
    lost = [clients.come(number) for number in range(count)]
    for number in range(count):
        if number:
            for client in lost[number:]:
                clients.table.renew(client, clients.now)
            clients.wait(seconds_between)
        clients.lose(number)
    return clients, lost


def test_a_session_that_loses_all_its_clients_at_once_suspects_its_own_network() -> None:
    """Something before it failed, such as a load balancer, and the clients come back soon."""
    clients, lost = lose_all(3, seconds_between=0.2)

    assert clients.wait(LONG - 0.5) == []
    assert clients.wait(0.5) == [(client, Cause.CLOSED) for client in lost]


def test_two_clients_are_too_few_to_suspect_the_network() -> None:
    clients, lost = lose_all(2)

    assert clients.wait(GRACE) == [(client, Cause.CLOSED) for client in lost]


def test_clients_that_end_one_by_one_until_none_is_left_are_removed() -> None:
    clients, lost = lose_all(5, seconds_between=0.6)

    assert clients.wait(GRACE) == [(lost[-1], Cause.CLOSED)]
    assert len(clients.table) == 0


def test_a_client_that_returns_alone_and_is_lost_again_has_the_longer_grace() -> None:
    clients, lost = lose_all(4)
    clients.now += 0.3
    clients.come(0)

    assert clients.lose(0)
    assert clients.wait(LONG - 0.5) == []
    assert {client for client, _ in clients.wait(1.0)} == set(lost)


def test_a_later_loss_of_a_few_is_judged_as_usual() -> None:
    clients, _ = lose_all(4)
    clients.wait(1.5)
    returned = clients.come(0)
    clients.lose(0)

    assert clients.wait(GRACE) == [(returned, Cause.CLOSED)]
