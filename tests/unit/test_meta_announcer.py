"""The membership is announced when it changes and with each beat, and sent to all that ask."""

from meta_fakes import SESSION, Cluster, running
from msgspec.structs import replace

from zreg.effects import MEMBERSHIP_TOPIC, Broadcast, Effect, Link, Send
from zreg.errors import NotReadyError
from zreg.meta.announcer import MembershipAnnouncer
from zreg.meta.core import MetaCore
from zreg.meta.state.meta_state import MetaState
from zreg.model import Membership, RingParameters
from zreg.wire.log_commands import Admit, ChangeSetting, Found
from zreg.wire.records.common_messages import Refused
from zreg.wire.records.membership_messages import (
    FetchMembership,
    MembershipChanged,
    MembershipReply,
)

BEAT = 1.0


def announcer_of(core: MetaCore, state: MetaState) -> MembershipAnnouncer:
    return MembershipAnnouncer(state, core._quorum_alarm, BEAT, now=0.0)


def founded() -> tuple[MetaState, MembershipAnnouncer]:
    state = MetaState()
    state.apply(Found(Membership(b"id", 1, 0, RingParameters(), ())))
    return state, announcer_of(running(("m1",)).cores["m1"], state)


def announced(epoch: int) -> list[Effect]:
    return [Broadcast(Link.MEMBERSHIP, MEMBERSHIP_TOPIC, MembershipChanged(b"id", epoch))]


def test_before_the_cluster_is_founded_nothing_is_announced_or_sent() -> None:
    core = Cluster().cores["m1"]
    announcer = announcer_of(core, MetaState())

    assert announcer.tick(0.0) == []
    assert announcer.settle(0.0) == []
    sent = announcer.on_fetch_membership(Link.NODES, b"p", FetchMembership(3))
    assert isinstance(sent.message, Refused)
    assert sent.message.code == NotReadyError.code


def test_a_change_of_members_is_announced_at_once_and_one_of_settings_soon() -> None:
    state, announcer = founded()
    assert announcer.tick(0.0) == announced(1)
    assert announcer.next_tick_at() == BEAT

    state.apply(Admit(SESSION))
    assert announcer.settle(0.1) == announced(2)
    state.apply(ChangeSetting("a", "1"))
    assert announcer.settle(0.12) == []
    assert announcer.next_tick_at() == 0.1 + 0.05
    state.apply(ChangeSetting("a", "2"))

    assert announcer.settle(0.1 + 0.05) == announced(4)
    assert announcer.settle(0.5) == []


def test_each_beat_repeats_the_epoch() -> None:
    _, announcer = founded()
    announcer.tick(0.0)

    assert announcer.tick(BEAT - 0.1) == []
    assert announcer.tick(BEAT) == announced(1)


def test_a_node_gets_the_changes_since_its_epoch_or_the_whole() -> None:
    state, announcer = founded()
    for number in range(3):
        member = replace(SESSION, node_id=f"s{number}", process_id=bytes([number + 1]))
        state.apply(Admit(member))

    changes = announcer.on_fetch_membership(Link.META, b"p", FetchMembership(5, b"id", 3))
    whole = announcer.on_fetch_membership(Link.META, b"p", FetchMembership(6))

    assert changes.message.source_epoch == 3  # type: ignore[attr-defined]
    assert whole == Send(Link.META, b"p", MembershipReply(6, state.membership))
