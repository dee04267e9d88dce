"""The proxy passes bytes on, holds them while a link is cut, and tells who dials."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from zreg.testing.processes import LinkProxy, wait_until
from zreg.testing.processes.proxy.socket_owners import owners_of

DIALLER, NODE = "session-1", "meta-1"
# Long enough to show that nothing comes, on loopback.
SILENCE_SECONDS = 0.3
PATIENCE_SECONDS = 10.0
_DIAL = """
import socket, sys
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print(connection.getsockname()[1], flush=True)
sys.stdin.read()
"""


class Ends:
    """A node behind a proxy, and connections to it."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.node = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.node.settimeout(PATIENCE_SECONDS)
        port = self.node.getsockname()[1]
        self.address = ("127.0.0.2", port)
        self.proxy = LinkProxy(lambda connections: [DIALLER] * len(connections))
        stack.callback(self.proxy.close)
        self.proxy.add(NODE, self.address, ("127.0.0.1", port))

    def dial(self) -> socket.socket:
        return self._stack.enter_context(socket.create_connection(self.address, PATIENCE_SECONDS))

    def accept(self) -> socket.socket:
        accepted = self._stack.enter_context(self.node.accept()[0])
        accepted.settimeout(PATIENCE_SECONDS)
        return accepted

    def connect(self) -> tuple[socket.socket, socket.socket]:
        return self.dial(), self.accept()


@pytest.fixture
def ends() -> Iterator[Ends]:
    with ExitStack() as stack:
        yield Ends(stack)


def hears_nothing(end: socket.socket) -> bool:
    end.settimeout(SILENCE_SECONDS)
    try:
        end.recv(100)
    except TimeoutError:
        return True
    finally:
        end.settimeout(PATIENCE_SECONDS)
    return False


def test_bytes_pass_in_both_directions_and_so_does_the_end(ends: Ends) -> None:
    dialler, node = ends.connect()
    dialler.sendall(b"question")
    assert node.recv(100) == b"question"
    node.sendall(b"answer")
    assert dialler.recv(100) == b"answer"
    dialler.sendall(b"bye")
    dialler.close()
    assert node.recv(100) == b"bye"
    assert node.recv(100) == b""


def test_a_cut_link_stays_connected_and_its_bytes_arrive_when_it_is_mended(ends: Ends) -> None:
    dialler, node = ends.connect()
    assert ends.proxy.cut(DIALLER, NODE) == 1
    dialler.sendall(b"question")
    node.sendall(b"answer")
    assert hears_nothing(node)
    assert hears_nothing(dialler)

    ends.proxy.mend([(DIALLER, NODE), (NODE, DIALLER)])
    assert node.recv(100) == b"question"
    assert dialler.recv(100) == b"answer"


def test_a_link_that_is_cut_one_way_carries_the_bytes_of_the_other_direction(ends: Ends) -> None:
    dialler, node = ends.connect()
    assert ends.proxy.cut_one_way([(NODE, DIALLER)]) == 1
    dialler.sendall(b"question")
    node.sendall(b"answer")
    assert node.recv(100) == b"question"
    assert hears_nothing(dialler)


def test_an_end_that_closes_a_cut_link_is_noticed_when_it_is_mended(ends: Ends) -> None:
    dialler, node = ends.connect()
    ends.proxy.cut(DIALLER, NODE)
    dialler.close()
    assert hears_nothing(node)

    ends.proxy.mend([(DIALLER, NODE), (NODE, DIALLER)])
    assert node.recv(100) == b""


def test_a_dial_over_a_cut_link_waits_until_it_is_mended(ends: Ends) -> None:
    ends.proxy.cut(DIALLER, NODE)
    dialler = ends.dial()
    dialler.sendall(b"question")
    assert hears_nothing(dialler)
    assert ends.proxy.cut(DIALLER, NODE) == 1

    ends.proxy.mend([(DIALLER, NODE), (NODE, DIALLER)])
    assert ends.accept().recv(100) == b"question"


def test_a_cut_between_other_nodes_holds_nothing(ends: Ends) -> None:
    dialler, node = ends.connect()
    assert ends.proxy.cut("session-2", NODE) == 0
    dialler.sendall(b"question")
    assert node.recv(100) == b"question"


def test_connections_are_reset_refused_and_accepted_again(ends: Ends) -> None:
    dialler, node = ends.connect()
    ends.proxy.refuse(NODE)
    assert ends.proxy.reset(NODE, "session-2") == 0
    assert ends.proxy.reset(NODE, DIALLER) == 1
    for end in (dialler, node):
        with pytest.raises(ConnectionResetError):
            end.recv(100)
    with pytest.raises(ConnectionRefusedError):
        ends.dial()

    ends.proxy.accept(NODE)
    ends.connect()


def test_a_black_hole_answers_no_dial(ends: Ends) -> None:
    ends.proxy.swallow(NODE)
    with pytest.raises(TimeoutError):
        socket.create_connection(ends.address, SILENCE_SECONDS)

    ends.proxy.accept(NODE)
    ends.connect()


def test_a_node_that_does_not_listen_ends_the_connection(ends: Ends) -> None:
    ends.node.close()
    with pytest.raises(ConnectionResetError):
        ends.dial().recv(100)


def test_the_process_that_dials_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        command = [sys.executable, "-c", _DIAL, str(port)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            dialled_from = int(process.stdout.readline())
            connections = [(dialled_from, port), (1, port)]
            pids = {os.getpid(): "test", process.pid: "session-1"}
            assert owners_of(connections, pids) == ["session-1", None]
            assert owners_of(connections, {os.getpid(): "test"}) == [None, None]
            process.communicate("")
        wait_until(lambda: owners_of(connections, pids) == [None, None])
