"""Every command that the program has: help, wrong input, pipes, narrow and ASCII streams."""

import json
import re
import signal
import tarfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from inline_zreg import Ended, inline_zreg
from typer.core import TyperGroup
from typer.main import get_command

from zreg.cli.app import app
from zreg.testing.processes import Running, zreg_command

ESCAPE = "\x1b"
ID = "every-command"


def commands_of(group: TyperGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        yield (*path, name)
        if isinstance(command, TyperGroup):
            yield from commands_of(command, (*path, name))


ALL = list(commands_of(get_command(app)))


def options_of(path: tuple[str, ...]) -> set[str]:
    """Return the options of a command."""
    command = get_command(app)
    for name in path:
        assert isinstance(command, TyperGroup)
        command = command.get_command(None, name)
    return {option for each in command.params for option in each.opts}


# What makes each command complete, so that only the wrong part is wrong.
ARGUMENTS = {
    ("publish",): ["x", "v"],
    ("subscribe",): ["x"],
    ("watch",): ["x"],
    ("get",): ["x"],
    ("trace",): ["x"],
    ("find",): ["10.0.0.1"],
    ("settings", "get"): ["x"],
    ("settings", "set"): ["x", "v"],
    ("settings", "rm"): ["x"],
    ("meta", "add"): ["m=127.0.0.1:1"],
    ("meta", "rm"): ["m"],
    ("meta", "recover"): ["--dir", "none"],
    ("data", "drain"): ["d"],
    ("nodes", "dismiss"): ["d"],
    ("config", "check"): ["none.toml"],
    ("completion",): ["bash"],
}
# Ten kinds of wrong input; each applies to the commands that have its option.
WRONG = [
    ["--no-such-option"],
    ["--url", "http://127.0.0.1"],
    ["--url", "zreg://127.0.0.1:99999"],
    ["--url", ""],
    ["--meta", "no port"],
    ["--meta", "127.0.0.1:1", "--url", "zreg://127.0.0.1:1"],
    ["--cluster", "a b"],
    ["--timeout-seconds", "soon"],
    ["--timeout-seconds", "0"],
    ["-o", "yaml"],
    ["--group", "a\x00b"],
    ["surplus", "surplus", "surplus", "surplus"],
]
# These run nodes: an option that they do not have is all that can be asked of them here.
RUNNERS = {("dev",), ("cluster",), ("meta",), ("session",), ("data",)}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Run one registry with a published id and a setting."""
    with Running(zreg_command("dev", "--port", "0", "-o", "json")) as registry:
        while "url" not in (line := json.loads(registry.line())):
            pass
        at = line["url"]
        with Running(zreg_command("publish", ID, "v", "--hold", "--url", at)) as held:
            held.line()
            inline_zreg("settings", "set", ID, "1", "--url", at)
            yield at


def check_readable(ended: Ended) -> None:
    assert "Traceback" not in ended.err
    assert ESCAPE not in ended.out
    assert not ended.out.startswith("\n")


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_each_command_has_a_help_that_every_terminal_shows(
    path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    for columns, encoding, option in (("40", "utf-8", "--help"), ("80", "ascii", "-h")):
        monkeypatch.setenv("COLUMNS", columns)
        monkeypatch.setenv("TERMINAL_WIDTH", columns)
        ended = inline_zreg(*path, option, encoding=encoding)
        assert (ended.code, ended.err) == (0, "")
        assert "Usage: zreg" in ended.out
        assert ESCAPE not in ended.out


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_wrong_input_is_code_2_and_one_sentence(
    path: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = options_of(path)
    for wrong in WRONG:
        given = {each for each in wrong if each.startswith("-")} - {"--no-such-option"}
        is_runner = path in RUNNERS and wrong != ["--no-such-option"]
        if given - options or is_runner or (wrong[0] == "surplus" and path == ("publish",)):
            continue
        ended = inline_zreg(*path, *ARGUMENTS.get(path, []), *wrong)
        # A monitoring system takes 2 for critical, and 3 says that the check itself is wrong.
        code = 3 if path == ("check",) and ended.out else 2
        assert ended.code == code, (wrong, ended)
        text = ended.out if code != 2 else ended.err
        assert re.match(r"(zreg: |ZREG UNKNOWN - )[^\n]+\n$", text), (wrong, ended)


QUERIES = [
    ["status"],
    ["nodes"],
    ["ls"],
    ["get", ID],
    ["ring"],
    ["ring", ID],
    ["events"],
    ["trace", ID],
    ["find", "127.0.0.1"],
    ["ping"],
    ["top", "--count", "1"],
    ["doctor"],
    ["settings", "ls"],
    ["settings", "get", ID],
    ["meta", "ls"],
]
OWN = [["version"], ["config", "show"]]


@pytest.mark.parametrize("command", [*QUERIES, *OWN], ids=" ".join)
def test_each_query_answers_in_each_format(url: str, command: list[str]) -> None:
    where = [] if command in OWN else ["--url", url]
    for output in ("json", "table", "wide"):
        ended = inline_zreg(*command, "-o", output, *where)
        assert ended.code == 0, ended
        assert ended.out
        check_readable(ended)
        if output == "json":
            json.loads(ended.out)
            assert ended.out.count("\n") == 1
    plain = inline_zreg(*command, *where, encoding="ascii")
    assert plain.code == 0
    assert plain.out.isascii()


@pytest.mark.parametrize("command", [["nodes"], ["status"], ["ring"]], ids=" ".join)
def test_a_narrow_terminal_without_colours_gets_all_text(
    url: str, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")

    ended = inline_zreg(*command, "--url", url, is_terminal=True)

    assert ended.code == 0
    assert "data-1" in ended.out.replace("\n", "") or command == ["status"]
    assert not re.search(r"\x1b\[3\d", ended.out)


@pytest.fixture
def missing_copies(url: str) -> Iterator[None]:
    """Let each datum be wanted on three data nodes, of which there is one."""
    assert inline_zreg("data", "replica-count", "3", "--url", url).code == 0
    yield
    assert inline_zreg("data", "replica-count", "1", "--url", url).code == 0


@pytest.mark.usefixtures("missing_copies")
def test_check_has_the_form_and_the_codes_of_nagios(url: str) -> None:
    here = inline_zreg("check", "--url", url)
    assert here.code == 1, "one data node holds each datum, and three should"
    assert re.fullmatch(r"ZREG WARNING - [^|]+ \| session_nodes=1 data_nodes=1 .*\n", here.out)
    away = inline_zreg("check", "--url", "zreg://127.0.0.1:1")
    assert away.code == 2
    assert away.out.startswith("ZREG CRITICAL - no node answered")
    metrics = inline_zreg("check", "--url", url, "-o", "prometheus").out.splitlines()
    assert "zreg_check_state 1" in metrics
    assert all(re.match(r"# (HELP|TYPE) |zreg_check_\w+ \d+$", line) for line in metrics)


@pytest.mark.usefixtures("missing_copies")
def test_status_says_what_is_not_well_and_what_to_do(url: str) -> None:
    ended = inline_zreg("status", "--url", url)

    assert ended.out.startswith("WARNING: 1 session node, 1 data node, 1 meta node, 1 client, ")
    assert "each datum should be on 3 data nodes, and only 1 is WORKING" in ended.out
    assert "zreg data replica-count 1" in ended.out


def test_ping_shows_a_round_trip_to_each_node(url: str) -> None:
    found = json.loads(inline_zreg("ping", "--url", url, "-o", "json").out)

    assert {each["node_id"] for each in found} == {"meta-1", "data-1", "session-1"}
    assert all(0 < each["round_trip_seconds"] < 2 for each in found)


def test_doctor_finds_the_way_to_a_cluster_that_is_not_there() -> None:
    ended = inline_zreg("doctor", "--url", "zreg://127.0.0.1:1", "-o", "json")

    assert ended.code == 1
    (cluster,) = [each for each in json.loads(ended.out) if each["area"] == "cluster"]
    assert cluster["state"] == "critical"
    assert cluster["what"].startswith("no node answered (127.0.0.1:1: refused)")


def test_doctor_finds_a_mistake_in_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZREG_LEASE_SECONDS", "1")

    ended = inline_zreg("doctor", "-o", "json")

    assert ended.code == 1
    found = {each["area"]: each["what"] for each in json.loads(ended.out)}
    assert "lease_seconds must be at least" in found["configuration"]
    assert "cluster" not in found


def test_a_bundle_holds_what_commands_say_and_the_ends_of_logs(url: str, tmp_path: Path) -> None:
    log, path = tmp_path / "session.log", tmp_path / "bundle.tar.gz"
    log.write_bytes(b"x" * 2_000_000 + b"the end")

    ended = inline_zreg("debug", "bundle", str(path), "--log", str(log), "--url", url)

    assert (ended.code, ended.err) == (0, "")
    with tarfile.open(path) as archive:
        contents = {
            each.name.removeprefix("zreg-debug/"): archive.extractfile(each).read()  # type: ignore[union-attr]
            for each in archive
        }
    tail = contents.pop("logs/0-session.log")
    assert len(tail) == 1 << 20
    assert tail.endswith(b"x" * 9 + b"the end")
    names = "version config status nodes meta ring events top ping doctor"
    assert set(contents) == {f"{name}.json" for name in names.split()}
    assert all(json.loads(each) for each in contents.values())


def test_a_bundle_of_a_cluster_that_is_away_says_what_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "bundle.tar.gz"

    ended = inline_zreg("debug", "bundle", str(path), "--url", "zreg://127.0.0.1:1")

    assert ended.code == 0
    assert "zreg: nodes is left out: no node answered" in ended.err
    with tarfile.open(path) as archive:
        assert b"not known: no node" in archive.extractfile("zreg-debug/nodes.json").read()  # type: ignore[union-attr]


def test_watch_shows_each_change_with_its_time(url: str) -> None:
    with Running(zreg_command("watch", ID, "--url", url)) as watching:
        first, second = watching.line(), watching.line()
        with Running(zreg_command("publish", ID, "w", "--hold", "--url", url)) as more:
            more.line()
            third = watching.line()
    for line, rest in (
        (first, r"\+ v  \(\w+\)"),
        (second, "  1 publisher, .*"),
        (third, r"\+ w .*"),
    ):
        time, _, text = line.partition(" ")
        assert datetime.fromisoformat(time).tzinfo is not None
        assert re.fullmatch(rest, text), line


@pytest.mark.parametrize("command", ["nodes", "status", "ring", "settings ls", "top"])
def test_a_command_is_repeated_until_ctrl_c_without_a_traceback(url: str, command: str) -> None:
    again = ("--interval", "0.2") if command == "top" else ("--watch",)
    with Running(zreg_command(*command.split(), *again, "-o", "json", "--url", url)) as watching:
        lines = [json.loads(watching.line()) for _ in range(2)]
        watching.send(signal.SIGINT)
        assert watching.wait() == 0
        assert watching.error_line() == ""
    assert all(lines)


def test_top_shows_the_rates_of_all_nodes_since_the_last_look(url: str) -> None:
    with Running(zreg_command("top", "--interval", "0.2", "-o", "json", "--url", url)) as running:
        session, data, meta = json.loads(running.line())["nodes"]
        assert (session["node_id"], data["node_id"], meta["node_id"], meta["part"]) == (
            *("session-1", "data-1", "meta-1"),
            "leader",
        )
        assert (session["publishes_per_second"], data["changes_per_second"]) == (None, None)
        assert {session["reason"], data["reason"], meta["reason"]} == {""}
        with Running(zreg_command("publish", f"{ID}-top", "v", "--hold", "--url", url)) as held:
            held.line()
            seen: set[str] = set()
            while len(seen) < 2:
                for node in json.loads(running.line())["nodes"]:
                    rates = ("publishes_per_second", "changes_per_second")
                    seen |= {name for name in rates if (node.get(name) or 0) > 0}


def test_nodes_are_asked_at_their_own_addresses_where_meta_is_given(url: str) -> None:
    nodes = json.loads(inline_zreg("nodes", "--url", url, "-o", "json").out)
    (meta,) = [each["address"] for each in nodes if each["role"] == "meta"]
    for command in (("top", "--count", "1"), ("events",)):
        ended = inline_zreg(*command, "--meta", meta, "-o", "json")
        assert (ended.code, ended.err) == (0, "")
        found = json.loads(ended.out)
        told = found["nodes"] if command[0] == "top" else found
        assert {each["node_id"] for each in told} == {"session-1", "data-1", "meta-1"}
        assert not any(each.get("reason") for each in told)


def test_top_of_a_cluster_that_is_away_ends_with_the_reason() -> None:
    ended = inline_zreg("top", "--count", "1", "--url", "zreg://127.0.0.1:1")

    assert (ended.code, ended.out) == (4, "")
    assert ended.err.startswith("zreg: no node answered")


def test_version_can_be_asked_with_an_option() -> None:
    assert inline_zreg("--version") == inline_zreg("version")


def test_config_shows_where_each_setting_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("# mine\nzone = 'z1'\n")
    monkeypatch.setenv("ZREG_LEASE_SECONDS", "9")

    shown = json.loads(inline_zreg("config", "show", "-c", str(file), "-o", "json").out)

    assert shown["zone"] == {"value": "z1", "from": f"{file}, line 2"}
    assert shown["lease_seconds"] == {"value": 9.0, "from": "ZREG_LEASE_SECONDS"}
    assert shown["weight"] == {"value": 1, "from": ""}
    said = inline_zreg("config", "check", str(file)).out
    assert re.fullmatch(rf"{re.escape(str(file))} can be used: it sets 1 of \d+ settings\n", said)


def test_config_check_names_the_line_of_a_mistake(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    for text, error in (
        ("zonee = 'z1'\n", f"zreg: {file}, line 1: there is no setting 'zonee': did you mean zo"),
        ("lease_seconds = 1\n", "zreg: lease_seconds must be at least three times renew_seconds"),
        ("ring_hash = 'crc32'\n", "zreg: ring_hash 'crc32' is not known: choose one of md5"),
    ):
        file.write_text(text)
        ended = inline_zreg("config", "check", str(file))
        assert ended.code == 2
        assert ended.err.startswith(error)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_writes_the_script_of_a_shell(shell: str) -> None:
    ended = inline_zreg("completion", shell)

    assert ended.code == 0
    assert f"_ZREG_COMPLETE=complete_{shell}" in ended.out


def test_completion_completes_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    for words, index, expected in (
        ("zreg no", "1", {"nodes"}),
        ("zreg meta ", "2", {"ls", "add", "rm", "recover"}),
    ):
        monkeypatch.setenv("_ZREG_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", index)
        assert expected <= set(inline_zreg().out.split())
