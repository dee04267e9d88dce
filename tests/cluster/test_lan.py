"""Real mDNS on the loopback interface: announce, browse, withdraw, and find meta by it."""

import asyncio
import json
import os
import re
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace
from reactor_fakes import wait_until

import zreg
from zreg.cli.asking import lan_sessions
from zreg.client.locating.client_lan import ClientLan
from zreg.config import Config
from zreg.discovery.announcement import Announcement, Interface
from zreg.discovery.interfaces.reach import MachineInterface, Reach
from zreg.discovery.lan_settings import LanSettings
from zreg.discovery.sightings import Sighted, Withdrawn
from zreg.effects import Local
from zreg.lan import interface_presence, lan_watch
from zreg.lan.interface_presence import SERVICE_TYPES, InterfacePresence
from zreg.lan.lan_watch import LanWatch
from zreg.model import Role
from zreg.nodes.base import Node, NodeSettings
from zreg.nodes.data import DataNode
from zreg.nodes.meta import MetaNode, MetaPlace
from zreg.nodes.session import SessionNode
from zreg.reactor.log_lines import LogAtOnce
from zreg.testing.processes import run_zreg

if TYPE_CHECKING:
    import subprocess

GROUP, PORT = "224.0.0.251", 5353
ANY_PORT = "tcp://127.0.0.1:0"
LO = Interface("lo", is_loopback=True)
LAN = LanSettings(announce="on", discover="on", interfaces=("lo",))
SECONDS = 10.0


def has_multicast_on_loopback() -> bool:
    """Return whether a packet for mDNS's group comes back over the loopback interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(1.0)
        member = socket.inet_aton(GROUP) + socket.inet_aton("127.0.0.1")
        try:
            probe.bind(("", 0))
            probe.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
            probe.setsockopt(
                socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1")
            )
            probe.sendto(b"probe", (GROUP, probe.getsockname()[1]))
            return probe.recv(100) == b"probe"
        except OSError:
            return False


pytestmark = pytest.mark.skipif(
    not has_multicast_on_loopback(), reason="the loopback interface here takes no multicast"
)


@pytest.fixture
def cluster() -> str:
    """Return a name that no other test and no other process of this machine uses."""
    return f"test-{secrets.token_hex(6)}"


class Listener:
    """What a `LanWatch` told of one cluster."""

    def __init__(self, cluster: str) -> None:
        self.cluster = cluster
        self.known: dict[str, Announcement] = {}
        self.unreadable: list[str] = []

    def take(self, event: Local) -> None:
        if isinstance(event, Sighted) and event.announcement.cluster == self.cluster:
            assert event.interface == LO
            self.known[event.name] = event.announcement
        elif isinstance(event, Withdrawn):
            self.known.pop(event.name, None)

    def take_unreadable(self, name: str, interface: Interface, role: Role, reason: str) -> None:
        self.unreadable.append(reason)

    @property
    def node_ids(self) -> list[str]:
        return sorted(each.node_id for each in self.known.values())


@asynccontextmanager
async def running(watch: LanWatch) -> AsyncIterator[LanWatch]:
    task = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def listening(cluster: str) -> AsyncIterator[Listener]:
    listener = Listener(cluster)
    watch = LanWatch(listener.take, names=("lo",), on_unreadable=listener.take_unreadable)
    watch.browse(Role.META, Role.SESSION)
    async with running(watch):
        yield listener


async def eventually(condition: Callable[[], bool]) -> None:
    await wait_until(condition, timeout_seconds=SECONDS)


def meta_of(cluster: str, **changes: object) -> Announcement:
    return replace(
        Announcement(role=Role.META, node_id="m1", cluster=cluster, addresses=()), **changes
    )


def announcer(announced: Callable[[], Announcement | None]) -> LanWatch:
    reach = Reach(bound_host="127.0.0.1", port=9610)
    return LanWatch(lambda _event: None, announced=announced, reach=reach)


def test_what_is_announced_is_seen_changed_and_withdrawn(cluster: str) -> None:
    async def scenario() -> None:
        said = [meta_of(cluster)]
        async with listening(cluster) as listener:
            async with running(announcer(lambda: said[0])):
                await eventually(lambda: listener.node_ids == ["m1"])
                (seen,) = listener.known.values()
                assert seen == meta_of(cluster, addresses=("tcp://127.0.0.1:9610",))
                said[0] = meta_of(cluster, cluster_id=b"A" * 16)
                await eventually(
                    lambda: [each.cluster_id for each in listener.known.values()] == [b"A" * 16]
                )
            await eventually(lambda: not listener.known)

    asyncio.run(scenario())


def test_one_that_begins_to_browse_later_sees_it_at_once(cluster: str) -> None:
    async def scenario() -> None:
        async with running(announcer(lambda: meta_of(cluster))) as watch:
            await eventually(lambda: watch.interface_names == ("lo",))
            async with listening(cluster) as listener:
                await eventually(lambda: listener.node_ids == ["m1"])

    asyncio.run(scenario())


def test_what_a_node_stops_to_announce_is_withdrawn(cluster: str) -> None:
    async def scenario() -> None:
        said: list[Announcement | None] = [meta_of(cluster)]
        async with listening(cluster) as listener, running(announcer(lambda: said[0])):
            await eventually(lambda: listener.node_ids == ["m1"])
            said[0] = None
            await eventually(lambda: not listener.known)

    asyncio.run(scenario())


def test_garbage_is_counted_and_nothing_else(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with listening(cluster) as listener:
            with monkeypatch.context() as patch:
                patch.setattr(
                    "zreg.lan.interface_presence.written_txt", lambda _announcement: b"\xffgarbage"
                )
                async with running(announcer(lambda: meta_of(cluster))):
                    await eventually(lambda: bool(listener.unreadable))
            assert not listener.known

    asyncio.run(scenario())


def test_an_interface_that_comes_back_is_announced_again(
    cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lan_watch, "LOOK_SECONDS", 0.05)
    present = [MachineInterface(LO, 1, ("127.0.0.1",))]
    found: list[MachineInterface] = list(present)

    async def scenario() -> None:
        async with listening(cluster) as listener:
            monkeypatch.setattr(lan_watch, "machine_interfaces", lambda: list(found))
            async with running(announcer(lambda: meta_of(cluster))):
                await eventually(lambda: listener.node_ids == ["m1"])
                found.clear()
                await eventually(lambda: not listener.known)
                found.extend(present)
                await eventually(lambda: listener.node_ids == ["m1"])

    asyncio.run(scenario())


def test_an_error_of_zeroconf_is_a_problem_that_ends(
    cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lan_watch, "LOOK_SECONDS", 0.05)
    fails = [True]
    opened = InterfacePresence.open

    async def open_or_fail(presence: InterfacePresence) -> None:
        if fails[0]:
            raise OSError(98, "Address already in use")
        await opened(presence)

    async def scenario() -> None:
        monkeypatch.setattr(InterfacePresence, "open", open_or_fail)
        async with running(announcer(lambda: meta_of(cluster))) as watch:
            await eventually(lambda: watch.statistics()["lan_errors"] > 1)
            assert watch.problem == "lo: [Errno 98] Address already in use"
            fails[0] = False
            await eventually(lambda: watch.problem is None)
            assert watch.interface_names == ("lo",)

    asyncio.run(scenario())


def test_a_watch_without_work_holds_no_socket_and_leaves_none_behind(cluster: str) -> None:
    async def scenario() -> None:
        before = open_descriptors()
        listener = Listener(cluster)
        watch = LanWatch(listener.take, names=("lo",))
        async with running(watch):
            await asyncio.sleep(0)
            assert open_descriptors() == before
            watch.browse(Role.META)
            await eventually(lambda: watch.interface_names == ("lo",))
            assert open_descriptors() > before
            watch.browse()
            await eventually(lambda: watch.interface_names == ())
        await eventually(lambda: open_descriptors() == before)

    asyncio.run(scenario())


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_flood_of_names_costs_bounded_memory(cluster: str) -> None:
    told: list[Local] = []
    unreadable: list[str] = []
    presence = InterfacePresence(
        MachineInterface(LO, 1, ("127.0.0.1",)),
        told.append,
        lambda _name, _role, reason: unreadable.append(reason),
        lambda level, line, exc_info=None: None,
    )

    async def scenario() -> None:
        await presence.open()
        for number in range(1000):
            presence._on_change(
                presence._zeroconf.zeroconf,
                SERVICE_TYPES[Role.META],
                f"n{number}.{SERVICE_TYPES[Role.META]}",
                lan_watch_added(),
            )
        assert len(presence._known) == 256
        assert len(presence._tasks) == 8
        assert presence.dropped_count == 744 + 248
        await presence.close()

    asyncio.run(scenario())


def lan_watch_added() -> object:
    from zeroconf import ServiceStateChange  # noqa: PLC0415

    return ServiceStateChange.Added


def test_session_and_data_nodes_without_addresses_find_meta_and_are_announced(
    cluster: str, tmp_path: Path
) -> None:
    config = replace(Config.for_loopback(), cluster=cluster)

    def settings(node_id: str) -> NodeSettings:
        return NodeSettings(config=config, node_id=node_id, lan=LAN)

    async def scenario() -> None:
        place = MetaPlace(address=ANY_PORT, membership_address=ANY_PORT, directory=tmp_path)
        nodes: list[Node] = [
            MetaNode(settings("m1"), place),
            DataNode(settings("d1"), address=ANY_PORT, changes_address=ANY_PORT),
            SessionNode(settings("s1"), address=ANY_PORT),
        ]
        async with listening(cluster) as listener:
            tasks = [asyncio.create_task(node.run()) for node in nodes]
            await eventually(lambda: all(node.is_joined for node in nodes))
            await eventually(lambda: listener.node_ids == ["m1", "s1"])
            await eventually(lambda: all(each.cluster_id for each in listener.known.values()))
            for node in nodes:
                assert [each.code for each in node.health().problems if "lan" in each.code] == []
                assert node.statistics()["lan_errors"] == 0
            for node in nodes[::-1]:
                node.stop()
            await asyncio.gather(*tasks)
            await eventually(lambda: not listener.known)

    asyncio.run(scenario())


def test_a_node_on_loopback_neither_announces_itself_nor_browses_by_itself(
    cluster: str,
) -> None:
    config = replace(Config.for_loopback(), cluster=cluster)
    node = SessionNode(NodeSettings(config=config, node_id="s1"), address=ANY_PORT)

    async def scenario() -> None:
        task = asyncio.create_task(node.run())
        await eventually(lambda: node.statistics()["meta"] == "-")
        assert not node._lan.is_announcing
        node._lan.browse(is_wanted=True)
        assert "lan_errors" not in node.statistics()
        node.stop()
        await task

    asyncio.run(scenario())


class LocalLan:
    """Sessions announced on loopback, and clients without a url that look there only."""

    def __init__(self, cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.config = replace(Config.for_loopback(), cluster=cluster)
        only_lo = [MachineInterface(LO, 1, ("127.0.0.1",))]
        monkeypatch.setattr(lan_watch, "machine_interfaces", lambda: only_lo)
        monkeypatch.delenv("ZREG_URL", raising=False)
        monkeypatch.delenv("ZREG_DISCOVER", raising=False)

    def nodes(self, directory: Path) -> list[Node]:
        def settings(node_id: str) -> NodeSettings:
            return NodeSettings(config=self.config, node_id=node_id, lan=LAN)

        place = MetaPlace(address=ANY_PORT, membership_address=ANY_PORT, directory=directory)
        return [
            MetaNode(settings("m1"), place),
            DataNode(settings("d1"), address=ANY_PORT, changes_address=ANY_PORT),
            SessionNode(settings("s1"), address=ANY_PORT),
        ]


@pytest.fixture
def local_lan(cluster: str, monkeypatch: pytest.MonkeyPatch) -> LocalLan:
    return LocalLan(cluster, monkeypatch)


def test_a_client_without_a_url_finds_a_session_and_leaves_no_socket_behind(
    local_lan: LocalLan, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="zreg")

    async def scenario() -> None:
        nodes = local_lan.nodes(tmp_path)
        tasks = [asyncio.create_task(node.run()) for node in nodes]
        await eventually(lambda: all(node.is_joined for node in nodes))
        async with zreg.AsyncClient(config=local_lan.config) as client:
            publication = client.publish("orders", "10.0.0.1:80")
            await publication.wait_registered(timeout_seconds=SECONDS)
            await eventually(lambda: own_mdns_sockets() == mdns_sockets_of_nodes(nodes))
        before = open_descriptors()
        client = zreg.Client(config=local_lan.config)
        await asyncio.to_thread(client.wait_connected, SECONDS)
        await asyncio.to_thread(client.close)
        await eventually(lambda: "client.session.discovered" in caplog.text)
        assert open_descriptors() <= before + CLIENT_DESCRIPTORS
        for node in nodes[::-1]:
            node.stop()
        await asyncio.gather(*tasks)

    asyncio.run(scenario())
    assert "s1 is announced on lo; it is the only one" in caplog.text


# What the thread that all clients of a process share keeps.
CLIENT_DESCRIPTORS = 12


def own_mdns_sockets() -> int:
    """Return how many sockets of this process are bound to the port of mDNS."""
    held = {link_of(each) for each in Path("/proc/self/fd").iterdir()}
    bound = [line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:]]
    return sum(
        f"socket:[{fields[9]}]" in held for fields in bound if fields[1].endswith(f":{PORT:04X}")
    )


def link_of(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:
        # The one with which the folder was read.
        return ""


def mdns_sockets_of_nodes(nodes: list[Node]) -> int:
    """Return how many of them the nodes need: two for each that announces itself."""
    return 2 * sum(node.announcement() is not None for node in nodes)


def test_a_client_that_closes_waits_until_its_search_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its loop would drop the task, which has sockets, if the search ended a moment before."""
    ended: list[str] = []

    class SlowWatch(LanWatch):
        async def run(self) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.05)
                ended.append("the search")

    async def scenario() -> None:
        monkeypatch.setattr(lan_watch, "LanWatch", SlowWatch)
        lan = ClientLan(lambda _event: None, LogAtOnce())
        lan.browse(is_wanted=True)
        await asyncio.sleep(0)
        lan.browse(is_wanted=False)
        await lan.close()
        assert ended == ["the search"]

    asyncio.run(scenario())


def test_a_client_without_a_url_says_what_it_saw_instead(
    local_lan: LocalLan, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        other = replace(SESSION, cluster=f"{local_lan.config.cluster}-2")
        reach = Reach(bound_host="127.0.0.1", port=9)
        watch = LanWatch(lambda _event: None, announced=lambda: other, reach=reach)
        async with running(watch), zreg.AsyncClient(config=local_lan.config):
            await eventually(lambda: "client.session.unreachable" in caplog.text)

    asyncio.run(scenario())
    cluster = local_lan.config.cluster
    assert f"client.session.announcement.foreign cluster={cluster}-2 interface=lo" in caplog.text
    assert f"the LAN announces session nodes of other clusters only ({cluster}-2)" in caplog.text


SESSION = Announcement(role=Role.SESSION, node_id="s9", cluster="", addresses=())


@pytest.mark.parametrize("variable", ["ZREG_URL", "ZREG_DISCOVER"])
def test_a_client_that_is_configured_does_not_browse(
    local_lan: LocalLan, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, {"ZREG_URL": "zreg://127.0.0.1:9"}.get(variable, "off"))

    async def scenario() -> None:
        before = own_mdns_sockets()
        async with zreg.AsyncClient(config=local_lan.config) as client:
            await eventually(lambda: client.statistics().get("dials", 0) > 2)
            assert own_mdns_sockets() == before

    asyncio.run(scenario())


def run_command(cluster: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a `zreg` command without a url, as a process of its own."""
    return run_zreg(*words, "--cluster", cluster, "--timeout-seconds", "2")


@pytest.fixture
def _no_session_of_this_machine() -> None:
    """Skip where a process listens at the port of sessions: commands would ask that one."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 9600)) == 0:
            pytest.skip("a process listens at 127.0.0.1:9600 here, and commands ask it first")


@pytest.mark.usefixtures("_no_session_of_this_machine")
def test_commands_without_a_url_ask_the_session_that_is_announced(
    local_lan: LocalLan, tmp_path: Path
) -> None:
    async def scenario() -> None:
        nodes = local_lan.nodes(tmp_path)
        tasks = [asyncio.create_task(node.run()) for node in nodes]
        await eventually(lambda: all(node.is_joined for node in nodes))
        (session,) = [node for node in nodes if isinstance(node, SessionNode)]
        announced = session.announcement()
        assert announced is not None
        cluster = local_lan.config.cluster
        async with zreg.AsyncClient(config=local_lan.config) as client:
            publication = client.publish("orders", "10.0.0.1:80")
            await publication.wait_registered(timeout_seconds=SECONDS)
            listed = await asyncio.to_thread(run_command, cluster, "ls", "-o", "json")
        members = await asyncio.to_thread(run_command, cluster, "nodes", "-o", "json")
        for done in (listed, members):
            assert done.returncode == 0, done.stderr
            assert re.fullmatch(
                r"zreg: asking the session at 127\.0\.0\.1:\d+: s1 is announced on lo; "
                r"it is the only one\n",
                done.stderr,
            )
        assert "orders" in listed.stdout
        assert sorted(each["node_id"] for each in json.loads(members.stdout)) == ["d1", "m1", "s1"]
        for node in nodes[::-1]:
            node.stop()
        await asyncio.gather(*tasks)

    asyncio.run(scenario())


@pytest.mark.usefixtures("_no_session_of_this_machine")
def test_a_command_that_finds_no_session_says_what_it_tried(cluster: str) -> None:
    async def scenario() -> None:
        other = replace(SESSION, cluster=f"{cluster}-2")
        reach = Reach(bound_host="127.0.0.1", port=9)
        watch = LanWatch(lambda _event: None, announced=lambda: other, reach=reach)
        async with running(watch), listening(other.cluster) as listener:
            await eventually(lambda: listener.node_ids == ["s9"])
            done = await asyncio.to_thread(run_command, cluster, "ls")
        assert done.returncode != 0
        first, second = done.stderr.splitlines()
        # Sessions of other clusters may be announced here.
        said = f"zreg: the LAN announces no session of cluster {cluster!r}, only of "
        assert first.startswith(said)
        assert f"{cluster}-2" in first.removeprefix(said)
        assert second.startswith("zreg: no node answered (127.0.0.1:9600: refused): ")

    asyncio.run(scenario())


def test_a_command_without_zeroconf_says_that_it_did_not_look_at_the_lan(
    cluster: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lan_sessions, "DEFAULT_URL", "zreg://127.0.0.1:1")
    for module in ("zreg.lan.lan_watch", "zreg.lan.interface_presence"):
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "zeroconf", None)

    found = lan_sessions.local_or_announced_sessions(replace(Config(), cluster=cluster))
    assert found == ("tcp://127.0.0.1:1",)
    assert capsys.readouterr().err == (
        "zreg: no session of this machine accepts, and the LAN was not looked at, since zeroconf "
        "is not installed: run pip install 'zreg[lan]'\n"
    )


def test_a_command_says_why_the_lan_could_not_be_looked_at(
    cluster: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(_presence: InterfacePresence) -> None:
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(lan_sessions, "DEFAULT_URL", "zreg://127.0.0.1:1")
    monkeypatch.setattr(
        lan_watch, "machine_interfaces", lambda: [MachineInterface(LO, 1, ("127.0.0.1",))]
    )
    monkeypatch.setattr(InterfacePresence, "open", fail)

    lan_sessions.local_or_announced_sessions(replace(Config(), cluster=cluster))
    assert capsys.readouterr().err == (
        f"zreg: the LAN announces no session of cluster {cluster!r}; mDNS does not work on lo: "
        "[Errno 98] Address already in use\n"
    )


def test_discover_lists_what_is_announced(cluster: str) -> None:
    async def scenario() -> None:
        async with running(announcer(lambda: meta_of(cluster))):
            words = ("discover", "--cluster", cluster, "--lan-interfaces", "lo", "-o", "json")
            done = await asyncio.to_thread(run_zreg, *words)
        listed = json.loads(done.stdout)["announcements"]
        found = [each["node_id"] for each in listed if each["cluster"] == cluster]
        assert found == ["m1"], done.stderr

    asyncio.run(scenario())


def mdns_sockets_of_a_child() -> int:
    read_end, write_end = os.pipe()
    if (child := os.fork()) == 0:
        os.write(write_end, bytes([own_mdns_sockets()]))
        os._exit(0)
    os.waitpid(child, 0)
    (count,) = os.read(read_end, 1)
    os.close(read_end)
    os.close(write_end)
    return count


def test_a_forked_child_gives_the_sockets_back(cluster: str) -> None:
    async def scenario() -> None:
        async with listening(cluster):
            await eventually(lambda: len(interface_presence._open) > 0)
            assert own_mdns_sockets() >= 2
            assert mdns_sockets_of_a_child() == 0
            assert own_mdns_sockets() >= 2

    asyncio.run(scenario())


def test_a_child_that_is_forked_while_zeroconf_starts_gives_the_sockets_back() -> None:
    async def scenario() -> None:
        presence = InterfacePresence(
            MachineInterface(LO, 1, ("127.0.0.1",)), print, print, lambda *_: None
        )
        opening = asyncio.create_task(presence.open())
        await asyncio.sleep(0)
        assert not opening.done()
        assert own_mdns_sockets() >= 2
        assert mdns_sockets_of_a_child() == 0
        await opening
        await presence.close()

    asyncio.run(scenario())
