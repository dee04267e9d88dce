"""The core of a fake registry, record by record."""

import pytest

from zreg.effects import Link, Send
from zreg.errors import DeniedError
from zreg.model import Cause, DataInfoId, Publisher, Removal, Scope, Version
from zreg.primitives.mirror import absent
from zreg.testing.fake.registry_core import SESSION, RegistryCore
from zreg.wire.messages import PROTOCOL_VERSION, Message
from zreg.wire.records.client_messages import (
    Bye,
    Hello,
    Publish,
    Push,
    PushAck,
    ReplayDone,
    Subscribe,
    Unpublish,
    Unsubscribe,
    Welcome,
    WhoAreYou,
)
from zreg.wire.records.common_messages import Accepted, Ping, Pong, Refused
from zreg.wire.records.data_messages import DatumsListed, ListDatums
from zreg.wire.records.membership_messages import FetchMembership, MembershipReply
from zreg.wire.records.settings_messages import FetchSettings, Setting, SettingsReply

CLUSTER = b"c" * 16
NAME = DataInfoId("pay#@#DEFAULT_INSTANCE_ID#@#DEFAULT_GROUP")
OTHER = DataInfoId("bill#@#DEFAULT_INSTANCE_ID#@#DEFAULT_GROUP")
A, B = b"a" * 16, b"b" * 16
PUB_1, PUB_2 = b"1" * 16, b"2" * 16


def hello(client_id: bytes = A, zone: str = "z1", data_center: str = "d1") -> Hello:
    return Hello(PROTOCOL_VERSION, client_id, "app", zone, data_center)


def greeted(*clients: tuple[str, Hello]) -> RegistryCore:
    core = RegistryCore(CLUSTER)
    for peer, greeting in clients:
        core.receive(peer, greeting)
    return core


def publisher(publisher_id: bytes = PUB_1, body: bytes = b"x", version: int = 1) -> Publisher:
    return Publisher(publisher_id, version, A, SESSION, "z1", "d1", "app", body)


def sent(peer: str, *messages: Message) -> list[Send]:
    return [Send(Link.CLIENTS, peer, message) for message in messages]


def test_a_client_is_welcomed_with_a_lease_that_a_debugger_cannot_outlast() -> None:
    core = RegistryCore(CLUSTER)

    effects = core.receive("a", hello())

    assert effects == sent("a", Welcome(PROTOCOL_VERSION, SESSION, CLUSTER, 3600.0, 1200.0))
    assert [known.hello.client_id for known in core.clients.values()] == [A]


def test_a_publish_is_accepted_and_pushed_to_subscribers_as_a_delta() -> None:
    core = greeted(("a", hello()), ("b", hello(B)))
    first = core.receive("b", Subscribe(1, NAME, Scope.DATA_CENTER))

    effects = core.receive("a", Publish(7, PUB_1, 1, NAME, b"x"))

    empty = Push(NAME, Scope.DATA_CENTER, None, Version(1, 0), ())
    assert first == sent("b", Accepted((1,)), empty)
    delta = Push(NAME, Scope.DATA_CENTER, Version(1, 0), Version(1, 1), (publisher(),))
    assert effects == [*sent("a", Accepted((7,))), *sent("b", delta)]


def test_a_publish_that_looks_the_same_is_accepted_and_pushed_to_no_client() -> None:
    core = greeted(("a", hello()))
    core.receive("a", Publish(1, PUB_1, 1, NAME, b"x"))
    core.receive("a", Subscribe(2, NAME, Scope.GLOBAL))

    assert core.receive("a", Publish(3, PUB_1, 2, NAME, b"x")) == sent("a", Accepted((3,)))
    assert core.datums.publishers(NAME)[PUB_1].version == 2


def test_an_unpublish_is_pushed_with_its_cause() -> None:
    core = greeted(("a", hello()))
    core.receive("a", Publish(1, PUB_1, 1, NAME, b"x"))
    core.receive("a", Subscribe(2, NAME, Scope.GLOBAL))

    effects = core.receive("a", Unpublish(3, PUB_1, 1, NAME))

    gone = Removal(PUB_1, absent(PUB_1).version, Cause.UNPUBLISHED)
    delta = Push(NAME, Scope.GLOBAL, Version(1, 1), Version(1, 2), (), (gone,))
    assert effects == sent("a", Accepted((3,)), delta)


@pytest.mark.parametrize(
    ("scope", "seen"),
    [(Scope.ZONE, {b"1"}), (Scope.DATA_CENTER, {b"1", b"2"}), (Scope.GLOBAL, {b"1", b"2", b"3"})],
)
def test_a_subscriber_sees_the_publishers_in_its_scope(scope: Scope, seen: set[bytes]) -> None:
    core = greeted(("a", hello()))
    for body, zone, data_center in ((b"1", "z1", "d1"), (b"2", "z2", "d1"), (b"3", "z1", "d2")):
        each = Publisher(body * 16, 1, B, SESSION, zone, data_center, "", body)
        core.register(NAME, each)

    effects = core.receive("a", Subscribe(1, NAME, scope))

    push = effects[-1].message
    assert isinstance(push, Push)
    assert {each.body for each in push.publishers} == seen


def test_what_is_out_of_scope_or_of_another_id_is_not_pushed() -> None:
    core = greeted(("a", hello(zone="z2")))
    core.receive("a", Subscribe(1, NAME, Scope.ZONE))

    assert core.register(NAME, publisher()) == []
    assert core.register(OTHER, publisher(PUB_2)) == []


def test_held_pushes_are_merged_into_one() -> None:
    core = greeted(("a", hello()))
    core.register(NAME, publisher(PUB_2))
    core.receive("a", Subscribe(1, NAME, Scope.GLOBAL))
    core.is_holding = True

    held = [
        *core.register(NAME, publisher(body=b"x", version=1)),
        *core.register(NAME, publisher(body=b"y", version=2)),
        *core.remove([PUB_2], Cause.SILENT),
    ]
    released = core.release()

    assert held == []
    gone = Removal(PUB_2, absent(PUB_2).version, Cause.SILENT)
    newest = publisher(body=b"y", version=2)
    delta = Push(NAME, Scope.GLOBAL, Version(1, 1), Version(1, 4), (newest,), (gone,))
    assert released == sent("a", delta)
    assert core.release() == []


def test_a_subscription_ends_with_unsubscribe() -> None:
    core = greeted(("a", hello()))
    core.receive("a", Subscribe(1, NAME, Scope.GLOBAL))

    assert core.receive("a", Unsubscribe(2, NAME, Scope.GLOBAL)) == sent("a", Accepted((2,)))
    assert core.register(NAME, publisher()) == []


def test_an_acknowledgement_that_asks_for_it_gets_a_snapshot() -> None:
    core = greeted(("a", hello()))
    core.receive("a", Subscribe(1, NAME, Scope.GLOBAL))
    core.register(NAME, publisher())

    assert core.receive("a", PushAck(NAME, Scope.GLOBAL, Version(1, 1))) == []
    effects = core.receive("a", PushAck(NAME, Scope.GLOBAL, Version(1, 0), needs_snapshot=True))

    assert effects == sent("a", Push(NAME, Scope.GLOBAL, None, Version(1, 1), (publisher(),)))


def test_a_lost_connection_keeps_publishers_and_the_replay_drops_what_it_does_not_name() -> None:
    core = greeted(("a", hello()))
    core.receive("a", Publish(1, PUB_1, 1, NAME, b"x"))
    core.receive("a", Publish(2, PUB_2, 1, NAME, b"x"))

    core.lose("a")
    kept = set(core.datums.publishers(NAME))
    core.receive("a2", hello())
    core.receive("a2", Publish(1, PUB_1, 2, NAME, b"x"))
    core.receive("a2", ReplayDone())

    assert kept == {PUB_1, PUB_2}
    assert set(core.datums.publishers(NAME)) == {PUB_1}


def test_a_goodbye_removes_all_that_the_client_published() -> None:
    core = greeted(("a", hello()))
    core.receive("a", Publish(1, PUB_1, 1, NAME, b"x"))

    assert core.receive("a", Bye()) == []
    assert not core.datums.publishers(NAME)
    assert not core.clients


def test_a_client_whose_lease_ended_is_not_heard_until_all_are_heard_again() -> None:
    core = greeted(("a", hello()), ("b", hello(B)))
    core.receive("a", Publish(1, PUB_1, 1, NAME, b"x"))
    core.receive("b", Subscribe(1, NAME, Scope.GLOBAL))

    expired = core.expire(A)
    unheard = [*core.receive("a", Ping()), *core.receive("a", hello())]
    reconnected = core.receive("a2", hello())
    heard = core.hear_all()

    gone = Removal(PUB_1, absent(PUB_1).version, Cause.SILENT)
    assert expired == sent("b", Push(NAME, Scope.GLOBAL, Version(1, 1), Version(1, 2), (), (gone,)))
    assert (unheard, reconnected) == ([], ())
    assert heard == sent("a2", WhoAreYou())
    assert len(core.receive("a2", hello())) == 1


def test_a_client_that_never_connected_expires_without_a_trace() -> None:
    core = RegistryCore(CLUSTER)

    assert core.expire(A) == []
    assert core.hear_all() == []


def test_refusals_hold_for_an_id_or_for_all() -> None:
    core = greeted(("a", hello()))
    core.refusals["pay"] = DeniedError("not yours")

    refused = core.receive("a", Publish(1, PUB_1, 1, NAME, b"x"))
    allowed = core.receive("a", Publish(2, PUB_1, 1, OTHER, b"x"))
    core.refusals[None] = DeniedError("closed today")
    closed = core.receive("a", Subscribe(3, OTHER, Scope.GLOBAL))

    withdrawn = core.receive("a", Unpublish(4, PUB_1, 1, OTHER))

    assert refused == sent("a", Refused(1, DeniedError.code, "not yours"))
    assert withdrawn == sent("a", Accepted((4,)))
    assert not core.datums.publishers(OTHER)
    assert allowed == sent("a", Accepted((2,)))
    assert closed == sent("a", Refused(3, DeniedError.code, "closed today"))


def test_an_unidentified_client_is_asked_who_it_is() -> None:
    core = RegistryCore(CLUSTER)

    assert core.receive("a", Ping()) == sent("a", Pong(), WhoAreYou())
    assert core.receive("a", Publish(1, PUB_1, 1, NAME, b"x")) == sent("a", WhoAreYou())
    assert core.receive("a", ReplayDone()) == ()


def test_a_known_client_is_answered_its_ping() -> None:
    assert greeted(("a", hello())).receive("a", Ping()) == sent("a", Pong())


def test_membership_listings_and_settings_are_told_before_hello_too() -> None:
    core = RegistryCore(CLUSTER)
    core.change_setting("limit", "5")

    (reply,) = core.receive("a", FetchMembership(1))
    assert isinstance(reply.message, MembershipReply)
    assert core.receive("a", ListDatums(2, "*")) == sent("a", DatumsListed(2, ()))
    (settings,) = core.receive("a", FetchSettings(3, "limit"))
    assert settings == Send(Link.CLIENTS, "a", SettingsReply(3, (Setting("limit", "5", 1),)))
