"""`zreg dev`: a whole registry in one process, over the same sockets as a cluster."""

import json
import re
import shlex
import signal
import socket
import sys
import urllib.request

import pytest

import zreg
from zreg.testing.processes import DevRegistry, Running, run_zreg, wait_until, zreg_command


def test_the_commands_that_it_prints_work() -> None:
    """The printed URL works, and the two commands to try do what they say."""
    with Running(zreg_command("dev", "--port", "0")) as registry:
        first = registry.line()
        assert re.fullmatch(
            r"zreg is ready at zreg://127\.0\.0\.1:\d+ \(meta at 127\.0\.0\.1:\d+\); "
            r"Ctrl-C ends it\.",
            first,
        )
        assert registry.line() == "Try in two other terminals:"
        subscribe, publish = (shlex.split(registry.line())[1:] for _ in range(2))
        dashboard = registry.line().removeprefix("Dashboard: ")
        with urllib.request.urlopen(dashboard, timeout=10) as page:  # noqa: S310 -- loopback
            assert b"<title>zreg</title>" in page.read()
        with Running(zreg_command(*publish)) as holder:
            holder.line()
            with Running(zreg_command(*subscribe)) as watcher:
                assert watcher.line().startswith("+ world  (")


def test_on_the_default_port_the_printed_commands_need_no_option() -> None:
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 9600)) == 0:
            pytest.skip("another program listens on port 9600 of this machine")
    with Running(zreg_command("dev")) as registry:
        assert registry.line().startswith("zreg is ready at zreg://127.0.0.1:9600 (")
        registry.line()
        assert registry.line() == "  zreg subscribe hello"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_in_good_order(number: signal.Signals) -> None:
    """Clients get a goodbye, nothing is written to stderr, and it ends at once."""
    with Running(zreg_command("dev", "--port", "0", "-o", "json")) as registry:
        lines = [json.loads(registry.line()) for _ in range(4)]
        assert [line.get("role") for line in lines] == ["meta", "data", "session", None]
        assert lines[-1]["ready"] is True
        with zreg.Client(lines[-1]["url"]) as client:
            client.wait_connected(5)
            registry.send(number)
            assert registry.wait(3) == 0
        assert (registry.line(), registry.error_line()) == ("", "")


def test_the_registry_of_a_test_ends_with_the_tests_that_are_killed() -> None:
    code = (
        "import time\n"
        "from zreg.testing import DevRegistry\n"
        "with DevRegistry() as registry:\n"
        "    print(registry.url, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with Running([sys.executable, "-c", code]) as tests:
        port = int(tests.line().rpartition(":")[2])
        tests.send(signal.SIGKILL)
        tests.wait()

        def is_gone() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) != 0

        wait_until(is_gone)


def test_the_registry_of_a_test_restarts_at_ports_that_no_connection_takes_meanwhile() -> None:
    """The kernel gives outgoing connections ports from 32,768 on, and the even ones first."""
    with DevRegistry() as registry:
        urls = registry.url, registry.http_url
        assert max(int(url.rpartition(":")[2]) for url in urls) < 32_768

        registry.restart()

        assert (registry.url, registry.http_url) == urls
        with urllib.request.urlopen(f"{registry.http_url}/healthz", timeout=10) as page:  # noqa: S310 -- loopback
            assert page.status == 200
    with DevRegistry(["--http-port=off"]) as registry:
        assert registry.http_url == ""


def test_several_registries_run_side_by_side() -> None:
    """Only the port of the session is fixed; the others are chosen by the kernel."""
    with (
        Running(zreg_command("dev", "--port", "0", "-o", "json")) as one,
        Running(zreg_command("dev", "--port", "0", "-o", "json")) as other,
    ):
        urls = [[json.loads(each.line()) for _ in range(4)][-1]["url"] for each in (one, other)]
        with zreg.Client(urls[0]) as here, zreg.Client(urls[1]) as there:
            here.publish("x", "v").wait_registered(5)
            assert there.subscribe("x").wait_for(0, 5).view.values == ()


def test_a_registry_of_one_data_node_is_well() -> None:
    """Its session may learn a moment after the start that there is a data node."""
    shown: list[str] = []

    def is_well() -> bool:
        shown.append(run_zreg("status", "--url", registry.url).stdout)
        return shown[-1].startswith("All is well: 1 session node, 1 data node")

    with DevRegistry() as registry:
        wait_until(is_well, describe=lambda: shown[-1])
