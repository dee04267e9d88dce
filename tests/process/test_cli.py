"""Every command and every exit code; each error is one sentence that says what to do."""

import errno
import json
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pytest
import zmq
from inline_zreg import inline_zreg

import zreg
from zreg.cli.options.node_options import fields_of, flag
from zreg.testing.processes import Running, run_zreg, zreg_command

# Nothing listens on port 1.
NOWHERE = "127.0.0.1:1"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Run one registry for all tests of this module."""
    with Running(zreg_command("dev", "--port", "0", "-o", "json")) as registry:
        while "url" not in (line := json.loads(registry.line())):
            pass
        yield line["url"]


def ok(*arguments: str) -> str:
    """Run a command that succeeds and writes nothing to stderr; return its output."""
    result = run_zreg(*arguments)
    assert (result.stderr, result.returncode) == ("", 0)
    return result.stdout


def fails(code: int, *arguments: str, **more: object) -> str:
    """Run a command that fails with one sentence; return the sentence."""
    result = run_zreg(*arguments, **more)  # type: ignore[arg-type]
    lines = result.stderr.splitlines()
    assert result.returncode == code, result.stderr
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("zreg: ")
    return lines[0].removeprefix("zreg: ")


@pytest.fixture
def silent_addresses() -> Iterator[list[str]]:
    """Return twelve addresses where the kernel accepts, and no process says a word."""
    with ExitStack() as stack:
        listening = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(12)]
        yield [f"127.0.0.1:{each.getsockname()[1]}" for each in listening]


# --- what works ---------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["ls", "nodes"])
def test_sessions_that_hang_delay_no_command(
    command: str, url: str, silent_addresses: list[str]
) -> None:
    addresses = ",".join([*silent_addresses, url.removeprefix("zreg://")])
    begun_at = time.monotonic()
    ok(command, "--url", f"zreg://{addresses}", "--timeout-seconds", "120")
    # If each of them had its time, it would be 30 s or more.
    assert time.monotonic() - begun_at < 20


def test_ctrl_c_while_modules_are_loaded_shows_no_traceback() -> None:
    program = (
        "import os, signal, sys, zreg.__main__\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'zreg.cli.app': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "zreg.__main__.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "version"], capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")


def test_publish_with_hold_is_seen_by_subscribe_ls_and_get(url: str) -> None:
    subscribe = Running(zreg_command("subscribe", "pay", "-o", "json", "--url", url))
    hold = Running(
        zreg_command(
            *("publish", "pay", "10.0.0.7:12200", "second", "--attribute", "env=prod"),
            *("--hold", "--url", url),
        )
    )
    with subscribe, hold:
        assert hold.line() == "pay is published until Ctrl-C."
        # The first view may be older or newer than the publish.
        while not (seen := json.loads(subscribe.line()))["publishers"]:
            pass
        assert seen["publishers"][0]["values"] == ["10.0.0.7:12200", "second"]
        assert seen["publishers"][0]["attributes"] == {"env": "prod"}

        assert re.search(r"pay +1 +\d+\.\d+", ok("ls", "--url", url))
        (listed,) = json.loads(ok("ls", "p?y", "-o", "json", "--url", url))
        assert (listed["data_id"], listed["publishers"]) == ("pay", 1)
        assert "DEFAULT_GROUP" in ok("ls", "-o", "wide", "--url", url)
        assert "10.0.0.7:12200, second" in ok("get", "pay", "--url", url)
        publisher_id = seen["publishers"][0]["publisher_id"]
        wide = ok("get", "pay", "-o", "wide", "--url", url)
        assert publisher_id in wide
        assert wide.endswith("\ncopies: data-1 (primary)\n")
        got = json.loads(ok("get", "pay", "-o", "json", "--url", url))
        assert got["publishers"] == seen["publishers"]

        hold.send(signal.SIGTERM)
        assert hold.wait() == 0
        gone = json.loads(subscribe.line())
        assert gone["publishers"] == []
        assert gone["removed"] == [publisher_id]
        subscribe.send(signal.SIGINT)
        assert subscribe.wait() == 0


def test_subscribe_shows_each_change_as_lines_for_people(url: str) -> None:
    with (
        Running(zreg_command("subscribe", "lines", "--url", url)) as subscribe,
        zreg.Client(url) as client,
    ):
        assert re.fullmatch(r"  0 publishers, version \d+\.\d+", subscribe.line())
        publication = client.publish("lines", "one", b"\x00", zreg.Endpoint("h", 1, weight=5))
        assert re.fullmatch(r"\+ one, b'\\x00', h:1\?weight=5  \(\w{8}\)", subscribe.line())
        assert subscribe.line().startswith("  1 publisher,")
        publication.republish("two\x1b[2J")
        assert re.fullmatch(r"~ two\\x1b\[2J  \(\w{8}\)", subscribe.line())
        assert subscribe.line().startswith("  1 publisher,")
        publication.unpublish()
        assert subscribe.line().startswith("- two")


def test_publish_without_hold_shows_that_the_value_would_be_accepted(url: str) -> None:
    text = ok("publish", "short", "value", "--url", url)
    assert text == (
        "short was accepted, and is removed because this command ends: keep it published with "
        "--hold.\n"
    )
    text = ok("publish", "short", "value", "-o", "json", "--url", url)
    assert json.loads(text)["registered"] is True


def test_group_and_instance_id_are_parts_of_the_name(url: str) -> None:
    names = ("--group", "G", "--instance-id", "I")
    with Running(zreg_command("publish", "parts", "v", *names, "--hold", "--url", url)) as hold:
        hold.line()
        assert "v" in ok("get", "parts", *names, "--url", url)
        assert "G" in ok("ls", "parts", "--url", url)
        fails(3, "get", "parts", "--url", url)


def test_a_session_and_meta_list_the_same_nodes(url: str) -> None:
    listed = json.loads(ok("nodes", "-o", "json", "--url", url))
    assert [(node["role"], node["node_id"], node["status"]) for node in listed] == [
        ("session", "session-1", "WORKING"),
        ("data", "data-1", "WORKING"),
        ("meta", "meta-1", "WORKING"),
    ]
    meta_address = listed[2]["address"]
    from_meta = json.loads(ok("nodes", "--meta", meta_address, "-o", "json"))
    # Clients come and go.
    assert isinstance(listed[0].pop("clients"), int)
    assert isinstance(from_meta[0].pop("clients"), int)
    assert from_meta == listed
    assert meta_address in ok("nodes", "--url", url)
    assert listed[1]["changes_address"] in ok("nodes", "-o", "wide", "--url", url)


def test_ring_shows_the_share_of_each_data_node(url: str) -> None:
    text = ok("ring", "--url", url)
    assert re.search(r"data-1 +WORKING +1 +100\.0 % +100\.0 %", text)
    assert re.search(r"shares of 1024 buckets, .*; epoch \d+, ring epoch \d+\n$", text)
    assert "1024 (100.0 %)" in ok("ring", "-o", "wide", "--url", url)
    shown = json.loads(ok("ring", "-o", "json", "--url", url))
    assert [(node["node_id"], node["held_buckets"]) for node in shown["nodes"]] == [
        ("data-1", 1024)
    ]
    *_, meta_node = json.loads(ok("nodes", "-o", "json", "--url", url))
    assert json.loads(ok("ring", "-o", "json", "--meta", meta_node["address"])) == shown


def test_ring_shows_where_an_id_is(url: str) -> None:
    assert re.search(r"now +304 +data-1", ok("ring", "pay", "--url", url))
    shown = json.loads(ok("ring", "pay", "--group", "G", "-o", "json", "--url", url))
    assert shown["data_info_id"] == "pay#@#DEFAULT_INSTANCE_ID#@#G"
    assert (shown["primary"], shown["replicas"], shown["guests"]) == ("data-1", [], [])


def test_ring_computes_a_planned_change_and_changes_nothing(url: str) -> None:
    before = ok("ring", "--url", url)
    plan = ("--add", "data-2:3:b", "--weight", "data-1=2", "--replica-count", "1")

    text = ok("ring", *plan, "--url", url)
    assert re.search(r"data-1 +WORKING +1 -> 2 +100\.0 % -> \d+\.\d %", text)
    assert re.search(r"data-2 +added +b +3 +0\.0 % -> \d+\.\d %", text)
    assert re.search(r"\n(\d+) of 1024 buckets get another primary; \1 of 1024 copies", text)
    assert text.endswith("\nNothing was changed: this is what the plan would do.\n")
    planned = json.loads(ok("ring", *plan, "-o", "json", "--url", url))["planned"]
    assert [node["weight"] for node in planned["nodes"]] == [2, 3]
    assert "planned" in ok("ring", "pay", *plan, "--url", url)

    assert ok("ring", "--url", url) == before


def test_the_url_may_come_from_the_environment_or_a_file(url: str, tmp_path: Path) -> None:
    assert run_zreg("ls", environment={"ZREG_URL": url}).returncode == 0
    (tmp_path / "zreg.toml").write_text(f"[client]\nurl = '{url}'\n")
    assert run_zreg("ls", directory=tmp_path).returncode == 0


def test_version() -> None:
    assert ok("version").startswith("zreg ")
    assert "pyzmq" in ok("version", "-o", "wide")
    assert json.loads(ok("version", "-o", "json"))["protocol"] == 1


def test_help_names_every_command_and_every_setting() -> None:
    text = ok("--help")
    names = "dev cluster meta session data publish subscribe ls get nodes ring settings version"
    assert all(f" {name} " in text for name in names.split())
    for role in ("meta", "session", "data"):
        text = ok(role, "--help")
        assert all(flag(name) in text for name in fields_of(role))
        assert "…" not in text
    assert "--replica-count" not in ok("session", "--help")


def test_a_table_begins_with_its_heads_and_has_no_blanks_at_the_ends_of_lines(url: str) -> None:
    lines = ok("nodes", "--url", url).splitlines()

    assert lines[0].split()[:3] == ["role", "node", "id"]
    assert all(line == line.rstrip() for line in lines)


def test_the_first_line_of_a_node_says_who_it_is_and_whom_it_looks_for(url: str) -> None:
    command = ["session", "--id=second", "--port=0", "--http-port=off", f"--meta={NOWHERE}"]
    with Running(zreg_command(*command)) as node:
        line = node.error_line()
        pid = node.process.pid

    time, level, name, event, *fields = line.split()
    assert datetime.fromisoformat(time).tzinfo is not None
    assert (level, name, event) == ("INFO", "second", "node.started")
    shown = dict(each.split("=", 1) for each in fields)
    assert shown.pop("address").startswith("127.0.0.1:")
    assert shown.pop("version")
    assert shown == {
        "cluster": "zreg",
        "role": "session",
        "node_id": "second",
        "pid": str(pid),
        "meta": NOWHERE,
    }


def test_a_removal_says_whether_the_setting_was_there(url: str) -> None:
    ok("settings", "set", "a", "1", "--url", url)

    removed = ok("settings", "rm", "a", "--url", url)
    again = ok("settings", "rm", "a", "--url", url)

    assert re.fullmatch(r"a is removed; it was set at version \d+\n", removed)
    assert again == "a was not set: nothing is changed\n"


def test_a_reader_that_closes_the_pipe_is_no_error(url: str) -> None:
    """`zreg subscribe x | head -1` ends at the next change, without a traceback."""
    command = shlex.join(zreg_command("subscribe", "pipe", "--url", url))
    script = f"{{ {command}; echo code $? >&2; }} | head -1"
    with Running(["sh", "-c", script]) as piped, zreg.Client(url) as client:
        assert piped.line().startswith("  0 publishers")
        client.publish("pipe", "v").wait_registered(5)
        assert piped.error_line() == "code 0"
        assert piped.wait() == 0


def test_a_held_publish_reports_that_its_session_is_lost_and_reached_again() -> None:
    """The first connection is not reported, and each loss once."""
    with Running(zreg_command("dev", "--port=0", "-o", "json")) as registry:
        while "url" not in (line := json.loads(registry.line())):
            pass
        hold = Running(zreg_command("publish", "p", "v", "--hold", "--url", line["url"]))
        with hold:
            hold.line()
            registry.send(signal.SIGKILL)
            registry.wait()
            assert "WARNING zreg client.session.lost" in hold.error_line()
            port = line["url"].rpartition(":")[2]
            # The port for HTTP may be in use by a connection that has just ended.
            with Running(zreg_command("dev", f"--port={port}", "--http-port=off")):
                # A busy machine takes longer to start the registry than an outage stays silent.
                while "client.session.unreachable" in (line := hold.error_line()):
                    pass
                assert "INFO    zreg client.session.reached" in line


@pytest.mark.parametrize("arguments", [["nodes"], ["subscribe", "full"]])
def test_output_that_cannot_be_written_is_code_1(url: str, arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        command = zreg_command(*arguments, "--url", url)
        result = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=30
        )

    assert result.returncode == 1
    assert result.stderr == (
        "zreg: the output cannot be written (No space left on device): redirect it to another "
        "place\n"
    )


# --- 2: usage -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], r"Missing command: `zreg --help` lists the commands"),
        (["lst"], r"No such command 'lst'.*: `zreg --help` lists the commands"),
        (["get"], r"Missing argument 'ID': `zreg get --help` shows how to use it"),
        (["ls", "-o", "xml"], r"Invalid value for '-o'.*`zreg ls --help` shows how to use it"),
        (["ls", "--url", "http://h"], r"url 'http://h' does not start with zreg://: write zreg://"),
        (
            ["ls", "--url", "zreg://h:0"],
            r"port 0 in url .* cannot be used: give one from 1 to 65535",
        ),
        (["ls", "x" * 257], r"the pattern has 257 characters: write at most 256"),
        (["nodes", "--meta", "x"], r"--meta: 'x' is not an address: write HOST:PORT"),
        (["nodes", "--meta", "h:1", "--url", "zreg://h"], r".* two places to ask: give only one"),
        (["publish", "a b", "v"], r"data id 'a b' cannot be used: write 1 to 256 printable"),
        (["subscribe", "a*"], r"data id 'a\*' cannot be used: write 1 to 256 printable"),
        (["get", "x" * 257], r"data id 'x+' cannot be used: write 1 to 256 printable"),
        (["publish", "a", "v" * 70_000], r".* the limit is 65536: publish where to find large"),
        (
            ["publish", "a", "v", "--attribute", "x"],
            r"--attribute 'x' has no name or no =: write NAME=VALUE",
        ),
        (["data", "--lease-seconds", "x"], r"--lease-seconds is 'x', which cannot be used"),
        (["data", "--lease-seconds", "1"], r"lease_seconds must be at least three times"),
        (["data", "--id", "a b"], r"node id 'a b' cannot be used: give 1 to 64 printable"),
        (["data", "--host", "1.2.3.4", "--insecure"], r".* is no address of this machine .*choose"),
        (["data", "--host", "::"], r".* other machines .*bind to 127.0.0.1, or set insecure"),
        (
            ["data", "--host", "[::1]"],
            r"host: '\[::1\]' is not a host to bind to \(leave out the br",
        ),
        (
            ["meta", "--id", "m", "--dir", "m", "--peer", "m=127.0.0.1:9610"],
            r"port 9610 of this node is that of --port and of --peer m, and each needs its own",
        ),
        (["data", "-c", "none.toml"], r"none.toml does not exist: create it"),
        (["cluster", "--meta", "2"], r"--meta 2 cannot be used: run 1, 3 or 5 meta nodes"),
        (
            ["settings", "set", "n", "-1"],
            r"No such option: -1: .*; before values .* write --, as in `zreg settings set -- N",
        ),
        (["nodes", "--all"], r"No such option: --all.*: `zreg nodes --help` shows how to use it$"),
        (
            ["get", "x", "--timeout-seconds", "inf"],
            r"Invalid value for '--timeout-seconds': .*86400",
        ),
        (
            ["settings", "set", "n", "v", "--if-version", "9" * 20],
            r"Invalid value for '--if-version': .*less than or equal to 9223372036854775807",
        ),
        (["ls", "\udcff"], r"the pattern '\\udcff' is no text in UTF-8: write it as UTF-8"),
        (["settings", "set", "n", "\udcff"], r"the value '\\udcff' is no text in UTF-8"),
        (["nodes", "zreg://user:pw@h"], r"No such command 'zreg://...@h': `zreg nodes --help`"),
        (["ring", "a*"], r"data id 'a\*' cannot be used: write 1 to 256 printable"),
        (["ring", "--group", "G"], r"--group and --instance-id are parts .*: give its data id"),
        (["ring", "--add", "d:0"], r"weight 0 of d cannot be used: give a whole number from 1 to"),
        (["ring", "--add", "d:x"], r"--add 'd:x' has no weight .*: write ID:WEIGHT:ZONE, with a"),
        (["ring", "--weight", "d"], r"--weight 'd' has no weight .*: write ID=WEIGHT, with a"),
        (["ring", "--replica-count", "101"], r"Invalid value for '--replica-count': .* to 100"),
        (["meta", "--dir", "m", "--ring-hash", "crc32"], r"ring_hash 'crc32' is not known: choose"),
        (
            ["session", "--replica-count", "2"],
            r"--replica-count has no effect here: .* `zreg meta`",
        ),
        (
            ["meta", "--weight", "2"],
            r"--weight has no effect here: it is an option of `zreg data`$",
        ),
        (["session", "--join"], r"--join has no effect here: it is an option of `zreg meta`$"),
        (["settings"], r"Missing command: `zreg settings --help` shows how to use it"),
    ],
)
def test_wrong_usage_is_code_2(arguments: list[str], sentence: str) -> None:
    assert re.match(sentence, fails(2, *arguments))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--remove", "data-9"], r"data-9 cannot be removed, .*: name one of data-1$"),
        (["--remove", "data-1"], r"no data node would be WORKING after this change: leave one"),
        (["--weight", "data-9=2"], r"the weight of data-9 cannot be changed, .*: name one of"),
        (["--add", "session-1"], r"session-1 cannot be added, because a session node has this id"),
    ],
)
def test_a_plan_that_does_not_fit_the_cluster_is_code_2(
    url: str, arguments: list[str], sentence: str
) -> None:
    assert re.match(sentence, fails(2, "ring", *arguments, "--url", url))


def test_a_file_that_is_not_toml_is_named_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "zreg.toml").write_text("zone = 'a'\nlease_seconds = 3 3\n")

    for command in ("data", "dev", "cluster", "ls"):
        error = fails(2, command, directory=tmp_path)
        assert re.match(
            r"zreg.toml (is not valid TOML|cannot be read): .*line 2.*; (correct|mend|make)", error
        ), error


def test_an_unknown_setting_is_refused_with_the_nearest_known_one(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("lease_secs = 3\n")

    error = fails(2, "data", "-c", "own.toml", directory=tmp_path)

    assert error == (
        "own.toml, line 1: there is no setting 'lease_secs': did you mean lease_seconds?"
    )


def test_a_missing_library_is_named_with_the_command_that_installs_it(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError('no', name='typer')")
    paths = [str(tmp_path), str(Path(zreg.__file__).parents[1])]

    error = fails(2, "version", environment={"PYTHONPATH": ":".join(paths)})

    assert error.endswith("typer, which is not installed: run pip install 'zreg[node]'")


# --- 1, 3, 4 ------------------------------------------------------------------------------------


def test_a_port_in_use_is_code_1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        for command in ("dev", "meta", "session", "data"):
            directory = ["--dir", str(tmp_path)] if command == "meta" else []
            error = fails(1, command, "--port", port, *directory)
            assert re.match(rf"tcp://127.0.0.1:{port} is already in use: .*--port", error)


def test_a_question_to_the_wrong_kind_of_node_is_code_1(url: str) -> None:
    listed = json.loads(ok("nodes", "-o", "json", "--url", url))

    address = listed[2]["address"]
    error = fails(1, "ls", "--url", f"zreg://{address}")

    assert (
        error
        == f"{address}: meta does not take ListDatums: ask a session (--url, by default port 9600)"
    )


def test_a_port_that_the_user_may_not_use_is_code_2(monkeypatch: pytest.MonkeyPatch) -> None:
    """As root there is no such port: the system's refusal is played."""

    def refuse(_socket: object, _address: object) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    def refuse_zmq(_socket: object, _address: object) -> None:
        raise zmq.ZMQError(errno.EACCES)

    monkeypatch.setattr(zmq.Socket, "bind", refuse_zmq)
    ended = inline_zreg("session", "--port", "80", "--http-port", "off")
    assert ended.code == 2
    assert ended.err.startswith("zreg: tcp://127.0.0.1:80 cannot be bound to: this user may not ")
    monkeypatch.undo()
    monkeypatch.setattr(socket.socket, "bind", refuse)
    ended = inline_zreg("session", "--port", "0", "--http-port", "80")
    assert ended.code == 2
    assert "http://127.0.0.1:80 cannot be bound to: this user may not use the port" in ended.err


def test_an_id_that_does_not_exist_is_code_3(url: str) -> None:
    error = fails(3, "get", "no-such-id", "--url", url)
    assert error.endswith("or publish a value with `zreg publish no-such-id VALUE --hold`")
    error = fails(3, "ls", "no-such-*", "--url", url)
    assert error.endswith("see all ids with `zreg ls`")


@pytest.mark.parametrize(
    "arguments",
    [
        ["ls", "--url", f"zreg://{NOWHERE}"],
        ["nodes", "--url", f"zreg://{NOWHERE}"],
        ["nodes", "--meta", NOWHERE],
        ["ring", "--url", f"zreg://{NOWHERE}"],
        ["ring", "pay", "--meta", NOWHERE],
        ["get", "x", "--url", f"zreg://{NOWHERE}", "--timeout-seconds", "0.5"],
        ["publish", "x", "v", "--url", f"zreg://{NOWHERE}", "--timeout-seconds", "0.5"],
        ["subscribe", "x", "--url", f"zreg://{NOWHERE}", "--timeout-seconds", "0.5"],
    ],
)
def test_a_registry_that_is_not_reached_is_code_4(arguments: list[str]) -> None:
    error = fails(4, *arguments)

    assert NOWHERE in error
    role = "meta" if "--meta" in arguments else "session"
    assert f"(systemctl status 'zreg-{role}@*'), and that no firewall is in between" in error


def test_a_name_that_does_not_resolve_is_code_4() -> None:
    where = ["--url", "zreg://no-such-host.invalid:9600", "--timeout-seconds", "0.5"]
    for command in (["ls"], ["get", "x"]):
        error = fails(4, *command, *where)

        assert "no-such-host.invalid does not resolve" in error
        assert "correct the name, or the name service of this machine" in error


def test_a_server_that_does_not_answer_is_code_4() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"zreg://127.0.0.1:{silent.getsockname()[1]}"
        error = fails(4, "ls", "--url", url, "--timeout-seconds", "0.5")
    assert error.startswith("no node answered")


def test_a_node_of_another_cluster_is_code_4(url: str) -> None:
    error = fails(4, "ls", "--url", url, "--cluster", "other", "--timeout-seconds", "0.5")

    assert error == (
        f"no node answered: {url.removeprefix('zreg://')}: it is of cluster 'zreg': give the name "
        "of its cluster with --cluster, or the address of another one"
    )
    error = fails(4, "get", "x", "--url", url, "--cluster", "other", "--timeout-seconds", "0.5")
    assert "it is of cluster 'zreg'" in error


def test_a_session_without_data_nodes_is_code_4(tmp_path: Path) -> None:
    meta = Running(zreg_command("meta", "--port", "0", f"--dir={tmp_path}", "-o", "json"))
    with meta:
        meta_address = json.loads(meta.line())["address"]
        session = Running(
            zreg_command("session", "--port", "0", "--meta", meta_address, "-o", "json")
        )
        with session:
            url = f"zreg://{json.loads(session.line())['address']}"
            error = fails(4, "ls", "--url", url)
            assert error.startswith("no connection to any data node")
            error = fails(4, "publish", "x", "v", "--url", url, "--timeout-seconds", "0.5")
            assert error.endswith("see with `zreg nodes` whether a data node runs")
