"""A command at a wrong port of zreg, or of another service, says what it is and where to go."""

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from inline_zreg import inline_zreg

from zreg.testing.processes import RunningCluster

SESSION = r"give the address of a session, by default port 9600 \(--url\)\n$"
META = r"give the address of a meta node, by default port 9610 \(--meta\)\n$"
AT_URL = (
    ["ls"],
    ["nodes"],
    ["ring"],
    ["find", "127.0.0.1"],
    ["settings", "ls"],
    ["meta", "ls"],
    ["get", "x"],
)
AT_META = (["nodes"], ["ring"], ["settings", "ls"], ["meta", "ls"])


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Run a cluster, and return the address of one port of each kind."""
    with RunningCluster(tmp_path_factory.mktemp("cluster"), metas=3) as cluster:
        meta = cluster.of("meta")[0].address
        # The cluster is ready as soon as its sessions know all nodes. A meta node that follows may
        # know them a heartbeat later.
        nodes = json.loads(inline_zreg("nodes", "--url", cluster.url, "-o", "json").out)
        broadcasts = {each["node_id"]: each["changes_address"] for each in nodes}
        listed = json.loads(inline_zreg("meta", "ls", "--meta", meta, "-o", "json").out)
        yield {
            "session": cluster.of("session")[0].address,
            "session-http": cluster.nodes["session-1"].http or "",
            "meta": meta,
            "meta-pub": broadcasts["meta-1"],
            "meta-http": cluster.nodes["meta-1"].http or "",
            "raft": listed[0]["address"],
            "data": cluster.of("data")[0].address,
            "data-pub": broadcasts["data-1"],
        }


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_arguments: object) -> None:
        """Write no log."""


class _Web(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_arguments: object) -> None:
        """Write no traceback about a connection that was closed."""


@pytest.fixture(scope="module")
def foreign() -> Iterator[dict[str, str]]:
    """Run a web server, a service with a banner, and one that says nothing."""
    web = _Web(("127.0.0.1", 0), _Page)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    banner, silent = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))

    def greet() -> None:
        while True:
            try:
                connection, _ = banner.accept()
            except OSError:
                return
            with closing(connection):
                connection.sendall(b"SSH-2.0-x\r\n")

    threading.Thread(target=greet, daemon=True).start()
    named = {"web": web.socket, "banner": banner, "silent": silent}
    yield {name: f"127.0.0.1:{each.getsockname()[1]}" for name, each in named.items()}
    web.shutdown()
    for each in named.values():
        each.close()


def asked(
    address: str, *, seconds: str = "0.4", is_short: bool = False
) -> Iterator[tuple[str, int, str]]:
    """Ask each question at an address; yield the option, the code and what the command wrote."""
    for command in AT_URL[-1:] if is_short else AT_URL:
        yield at(command, "--url", f"zreg://{address}", seconds)
    for command in AT_META[:1] if is_short else AT_META:
        yield at(command, "--meta", address, seconds)


def at(command: list[str], option: str, where: str, seconds: str) -> tuple[str, int, str]:
    arguments = [*command, option, where, "--timeout-seconds", seconds]
    ended = inline_zreg(*arguments)
    return option, ended.code, f"{ended.out}{ended.err}"


def check(address: str, what: str, *, is_short: bool = False) -> None:
    for option, code, text in asked(address, is_short=is_short):
        where = SESSION if option == "--url" else META
        assert code == 4
        assert re.search(rf"{re.escape(address)} {what}: {where}", text), text
        assert text.count("\n") == 1


@pytest.mark.parametrize(
    ("port", "what"),
    [
        ("meta-pub", r"is a port on which a data node or a meta node broadcasts changes .*"),
        ("data-pub", r"is a port on which a data node or a meta node broadcasts changes .*"),
        ("raft", r"is a port at which meta nodes reach each other \(their --peer\)"),
        ("session-http", "is the HTTP port of session-1, whose own port is {session}"),
        ("meta-http", "is the HTTP port of meta-1, whose own port is {meta}"),
    ],
)
def test_each_other_port_of_a_node_tells_what_it_is(
    ports: dict[str, str], port: str, what: str
) -> None:
    check(ports[port], what.format(**ports))


@pytest.mark.parametrize(
    ("port", "what"),
    [
        ("web", "is the port of a web server that is no node of zreg"),
        ("banner", r"is a port of another service, which says b'SSH-2.0-x\\r\\n'"),
        ("silent", "accepts connections and says nothing, so it is no node of zreg, or .*"),
    ],
)
def test_a_port_of_another_service_is_told(foreign: dict[str, str], port: str, what: str) -> None:
    check(foreign[port], what, is_short=True)


def test_a_data_node_refuses_every_question_and_says_where_to_go(ports: dict[str, str]) -> None:
    where = "ask a session (--url, by default port 9600), or meta for nodes and settings (--meta,"
    for _, code, text in asked(ports["data"], seconds="2"):
        assert code in (1, 4)
        assert "a data node does not take" in text
        assert where in text


def test_an_address_of_another_role_hides_no_right_one(ports: dict[str, str]) -> None:
    for command in (["ls"], ["nodes"], ["settings", "ls"]):
        where = f"zreg://{ports['data']},{ports['session']}"
        assert at(command, "--url", where, "5")[1] == 0
    assert at(["nodes"], "--meta", f"{ports['data']},{ports['meta']}", "5")[1] == 0


def test_a_meta_node_answers_what_it_knows_and_refuses_the_rest(ports: dict[str, str]) -> None:
    for command in (["ls"], ["get", "x"]):
        _, code, text = at(command, "--url", f"zreg://{ports['meta']}", "2")
        assert code in (1, 4)
        assert "meta does not take" in text
        assert "ask a session (--url, by default port 9600)" in text
    for command in AT_META:
        assert at(command, "--meta", ports["meta"], "5")[1] == 0


def test_a_session_answers_every_question(ports: dict[str, str]) -> None:
    for option, code, text in asked(ports["session"], seconds="5"):
        is_missing = "nothing is published under 'x'" in text or "nothing is on 127" in text
        assert code == (3 if is_missing else 0), (option, text)
