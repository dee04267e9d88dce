"""Programs that register over HTTP at any session: take-overs, lost notices, lost versions."""

from collections.abc import Callable

import msgspec
import pytest
from promises import META, PAY, make_cluster, promise

from zreg.config import Config
from zreg.model import Scope, http_publisher_id
from zreg.session.instances.instance_questions import (
    InstanceRegistered,
    InstanceWithdrawn,
    RegisterInstance,
    WithdrawInstance,
)
from zreg.session.proxy.askers import PageAnswered, PageAsked
from zreg.testing.sim.buggify import Buggify
from zreg.testing.sim.cluster import SimCluster
from zreg.testing.sim.observations.view_log import ViewLog
from zreg.testing.workloads.http_workload import HttpLife
from zreg.wire.body import pack_body
from zreg.wire.records.common_messages import Refused

ID = http_publisher_id(PAY, "web-1")
LEASE_SECONDS = 12.0
ONE_COPY = Config(meta_addresses=META, replica_count=1)


def put(value: str = "alive", lease_seconds: float = LEASE_SECONDS) -> RegisterInstance:
    body = pack_body([value], attributes={}, registered_at=1.0)
    return RegisterInstance(PAY, "web-1", body, lease_seconds)


DELETE = WithdrawInstance(PAY, "web-1")


def send(
    cluster: SimCluster, number: int, question: msgspec.Struct
) -> Callable[[], msgspec.Struct | None]:
    """Ask a session; return a function with the answer, None as long as there is none."""
    process = cluster.sim.processes[f"session-{number}"]
    question_id = sum(isinstance(each, PageAnswered) for each in process.events) + 1000 * number
    question_id += cluster.sim.rng.getrandbits(32)
    cluster.sim.post(process.name, PageAsked(question_id, question))

    def answer() -> msgspec.Struct | None:
        for event in process.events:
            if isinstance(event, PageAnswered) and event.question_id == question_id:
                return event.answer
        return None

    return answer


def ask(cluster: SimCluster, number: int, question: msgspec.Struct) -> msgspec.Struct:
    """Ask a session; wait for its answer."""
    answer = send(cluster, number, question)
    assert cluster.sim.run_until(lambda: answer() is not None, 5.0)
    found = answer()
    assert found is not None
    return found


def registers(cluster: SimCluster, number: int, question: RegisterInstance | None = None) -> int:
    """Register at a session, which has to succeed; return the version."""
    answer = ask(cluster, number, question or put())
    assert isinstance(answer, InstanceRegistered), answer
    assert answer.copies > 0
    return answer.version


def watched(cluster: SimCluster, *, at: int) -> ViewLog:
    cluster.client("watcher", [at])
    return cluster.subscribe("watcher", PAY, Scope.GLOBAL)


def log_count(cluster: SimCluster, event: str) -> int:
    return sum(f" {event} " in line for line in cluster.sim.trace)


def test_renewals_that_alternate_change_no_view_and_need_no_repair() -> None:
    cluster = make_cluster(sessions=3)
    view = watched(cluster, at=1)
    registers(cluster, 1)
    assert cluster.settles(view, ["alive"])
    callbacks = view.callback_count

    for number in range(20):
        registers(cluster, 1 + number % 3)
        cluster.run(LEASE_SECONDS / 4)
        promise(not view.removed, "the view lost an instance that was renewed")

    assert view.callback_count == callbacks
    promise(log_count(cluster, "session.repair.started") == 0, "a session held on to what it lost")
    cluster.run(LEASE_SECONDS)
    promise(view.values() == [], "the view has an instance that is renewed no more")


def test_an_instance_whose_session_died_goes_on_at_another_one() -> None:
    cluster = make_cluster()
    view = watched(cluster, at=2)
    registers(cluster, 1)
    assert cluster.settles(view, ["alive"])
    cluster.sim.kill("session-1")

    cluster.run(5.0)
    for _ in range(12):
        registers(cluster, 2)
        cluster.run(3.0)
    promise(not view.removed, "the view lost an instance whose session died")


def test_a_lease_that_ends_removes_nothing_of_another_session_at_the_same_version() -> None:
    """Two sessions register at the same time, and the one that loses does not hear of it."""
    cluster = make_cluster()
    view = watched(cluster, at=2)
    # Its write comes a second after it has learned that the data node holds nothing.
    cluster.sim.faults.late["session-2"] = 0.6
    second = send(cluster, 2, put())
    cluster.run(0.9)
    first = registers(cluster, 1)
    cluster.sim.cut_one_way("data-1", "session-1")
    assert cluster.sim.run_until(lambda: second() is not None, 5.0)
    answer = second()
    assert isinstance(answer, InstanceRegistered)
    assert answer.version == first
    del cluster.sim.faults.late["session-2"]
    assert cluster.settles(view, ["alive"])

    for number in range(8):
        registers(cluster, 2)
        cluster.run(3.0)
        if number == 4:  # the lease at session-1 has ended
            cluster.sim.mend([("data-1", "session-1")])
        promise(not view.removed, "a lease that ended removed what another session had")


def test_a_session_that_cannot_ask_the_primary_does_not_say_that_it_renewed() -> None:
    cluster = make_cluster()
    registers(cluster, 1)
    cluster.sim.cut("data-1", "session-1")
    registers(cluster, 2)

    answer = ask(cluster, 1, put())

    promise(isinstance(answer, Refused), "it renewed what another session answers for")


def test_what_was_withdrawn_does_not_come_back_from_a_session_that_did_not_hear_of_it() -> None:
    cluster = make_cluster(config=Config(meta_addresses=META, op_log_seconds=1.0))
    view = watched(cluster, at=1)
    registers(cluster, 1, put(lease_seconds=120.0))
    assert cluster.settles(view, ["alive"])
    cluster.sim.cut("data-1", "session-1")
    answer = ask(cluster, 2, DELETE)
    assert isinstance(answer, InstanceWithdrawn)
    # So long that session-1 fetches the whole datum afterwards.
    cluster.run(15.0)
    cluster.sim.mend([("data-1", "session-1")])

    promise(cluster.settles(view, [], 8.0), "the view has what was withdrawn")
    view.added.clear()
    cluster.run(20.0)
    promise(not view.added, "what was withdrawn came back")


def test_a_version_that_was_lost_with_its_session_and_data_node_is_not_given_again() -> None:
    """Seed 10 of the workload: views kept the former value, since its version was higher."""
    cluster = make_cluster(config=ONE_COPY)
    view = watched(cluster, at=2)
    for number in range(6):
        registers(cluster, 1, put(f"value-{number}"))
    assert cluster.settles(view, ["value-5"])
    cluster.sim.kill("session-1")
    cluster.sim.kill("data-1")
    cluster.run(1.0)
    cluster.data(1)
    cluster.run(5.0)

    registers(cluster, 2, put("new"))

    promise(cluster.settles(view, ["new"]), "the view shows what was registered before")


@pytest.mark.parametrize("seed", [3, 7, 12])
def test_what_is_renewed_leaves_no_view_and_what_is_not_leaves_all(seed: int) -> None:
    HttpLife(seed).run()


@pytest.mark.parametrize("seed", [101])
def test_unkind_bounds_and_times_remove_nothing_that_is_renewed(seed: int) -> None:
    with Buggify(seed):
        HttpLife(seed).run()
