"""The log says which nodes meta refuses, and why: once in a while, however often they ask."""

from test_meta_core import ask_and_log, enter, join, make_core, peer_of, renew

from zreg.effects import INFO, WARNING, Effect, Log, Peer, Probe
from zreg.errors import ForeignClusterError, NodeIdInUseError
from zreg.meta.core import MetaCore
from zreg.meta.members.cluster_check import FOREIGN
from zreg.model import Incarnation
from zreg.wire.messages import Message


def logs(core: MetaCore, peer: Peer, message: Message, now: float = 0.0) -> list[Effect]:
    return [each for each in ask_and_log(core, peer, message, now) if isinstance(each, Log)]


def test_a_node_of_another_cluster_is_logged_once_a_minute() -> None:
    core = make_core()
    stranger = renew(Incarnation(9, "d9"), cluster_id=b"another")
    fields: dict[str, str | int | float] = {
        "node_id": "d9",
        "code": ForeignClusterError.code,
        "address": "",
        "detail": FOREIGN,
    }
    log = Log(WARNING, "member.refused", fields)

    assert logs(core, b"stranger", stranger) == [log]
    assert logs(core, b"stranger", stranger, 59.0) == []
    assert logs(core, b"stranger", stranger, 60.0) == [log]


def test_a_second_process_with_an_id_is_logged_with_its_address() -> None:
    core = make_core()
    enter(core, "d1")
    log, probe, _ = ask_and_log(core, b"second", join("d1", life=2), 0.1)

    assert isinstance(log, Log)
    assert isinstance(probe, Probe)
    assert probe.peer == peer_of("d1")
    assert (log.level, log.event) == (INFO, "member.refused")
    assert (log.fields["code"], log.fields["address"]) == (NodeIdInUseError.code, "tcp://d1:1")
    assert "is in use by the data node" in str(log.fields["detail"])


def test_a_node_that_is_admitted_is_not_logged_as_refused() -> None:
    (log,) = logs(make_core(), peer_of("d1"), join("d1"))

    assert isinstance(log, Log)
    assert log.event == "member.joined"
