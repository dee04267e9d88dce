"""A client with a cache directory starts with the last known views, with and without a session."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asyncio_face import client_maker
from fake_session import CONFIG, FakeSession, wait_until

import zreg
from zreg.client.cache import view_cache
from zreg.testing import FakeRegistry

NewClient = Callable[..., Any]
NO_SESSION = "zreg://127.0.0.1:1"


@pytest.fixture(params=["threads", "asyncio"])
def new_client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewClient]:
    """Return what makes a client of either kind, with a cache directory."""
    with client_maker(request.param) as new:

        def new_with_cache(url: str, **named: Any) -> Any:
            return new(url, **{"config": CONFIG, "cache_dir": tmp_path / "views", **named})

        yield new_with_cache


@pytest.fixture
def cached(session: FakeSession, new_client: NewClient, tmp_path: Path) -> Path:
    """Return the one file after a program has seen two publishers, and its registry is gone."""
    with new_client(session.url) as client:
        client.publish("pay", zreg.Endpoint("10.0.0.7", 80)).wait_registered(5)
        client.publish("pay", zreg.Endpoint("10.0.0.8", 80)).wait_registered(5)
        client.subscribe("pay").wait_for(2, timeout_seconds=5)
    session.stop()
    (path,) = (tmp_path / "views").iterdir()
    return path


@pytest.mark.usefixtures("cached")
def test_a_program_starts_with_the_last_known_view_while_the_registry_is_down(
    new_client: NewClient,
) -> None:
    changes: list[zreg.ViewChange] = []
    with new_client(NO_SESSION) as client:
        sub = client.subscribe("pay", changes.append)
        service = client.service("pay")

        view = sub.view
        assert (view.is_known, view.is_stale, view.is_cached) == (True, True, True)
        assert len(view) == 2
        assert 0 <= view.age_seconds < 60
        assert service.pick().host in {"10.0.0.7", "10.0.0.8"}
        assert sub.wait_for(2, timeout_seconds=0) is sub
        wait_until(lambda: changes)
        assert [len(change.added) for change in changes] == [2]
        assert "is_cached" in repr(sub)
        with pytest.raises(zreg.TimeoutError, match="no session reached"):
            sub.wait_for(3, timeout_seconds=0.05)


def test_the_first_snapshot_replaces_the_cached_view(
    cached: Path, new_client: NewClient, session: FakeSession
) -> None:
    changes: list[zreg.ViewChange] = []
    with new_client(session.url) as client:
        sub = client.subscribe("pay", changes.append)
        assert sub.view.is_cached
        later = FakeSession(session.address)
        try:
            wait_until(lambda: not sub.view.is_stale)
            assert (sub.view.is_cached, len(sub.view), sub.view.age_seconds) == (False, 0, 0.0)
            wait_until(lambda: len(changes) == 2)
            assert [len(change.removed) for change in changes] == [0, 2]
            client.publish("pay", zreg.Endpoint("10.0.0.9", 80))
            sub.wait_for(1, timeout_seconds=5)
        finally:
            client.close()
            later.stop()

    assert cached.exists()
    with new_client(NO_SESSION) as client:
        assert [each.host for each in client.service("pay").endpoints] == ["10.0.0.9"]


@pytest.mark.usefixtures("cached")
def test_the_age_counts_from_the_last_confirmation_and_never_below_zero(
    new_client: NewClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time_ns() / 1e9
    for seconds, ages in ((3600, (3600, 3660)), (-3600, (0, 60))):
        monkeypatch.setattr(view_cache, "_wall_clock", lambda seconds=seconds: now + seconds)
        with new_client(NO_SESSION) as client:
            assert ages[0] <= client.subscribe("pay").view.age_seconds < ages[1]


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "checksum is wrong"),
        (lambda path: path.write_bytes(b""), "it ends too early"),
        (lambda path: (path.unlink(), path.mkdir()), "not a plain file|Is a directory"),
    ],
)
def test_a_damaged_file_is_one_warning_and_nothing_else(
    damage: Callable[[Path], object],
    why: str,
    cached: Path,
    new_client: NewClient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    damage(cached)
    with new_client(NO_SESSION) as client:
        assert not client.subscribe("pay").view.is_known
        wait_until(lambda: any("client.cache" in each for each in caplog.messages))

    (line,) = [each for each in caplog.records if "client.cache" in each.getMessage()]
    assert line.levelname == "WARNING"
    assert line.getMessage().startswith("client.cache.ignored detail=")
    assert any(each in line.getMessage() for each in why.split("|"))
    assert str(cached) in line.getMessage()


def test_a_damaged_file_is_written_anew(new_client: NewClient, tmp_path: Path) -> None:
    with FakeRegistry() as registry:
        for _ in range(2):
            with new_client(registry.url) as client:
                client.publish("pay", "a")
                sub = client.subscribe("pay")
                wait_until(lambda sub=sub: sub.view.values == ("a",) and not sub.view.is_stale)
            (path,) = (tmp_path / "views").iterdir()
            good = path.read_bytes()
            path.write_bytes(good[:-1])
    path.write_bytes(good)
    with new_client(NO_SESSION, cluster=CONFIG.cluster) as client:
        assert client.subscribe("pay").view.values == ("a",)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_is_forbidden_is_one_warning(
    session: FakeSession, new_client: NewClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "forbidden").mkdir(mode=0o500)
    check_one_warning(session, new_client, tmp_path / "forbidden" / "views", caplog)


def test_a_directory_that_cannot_be_is_one_warning(
    session: FakeSession, new_client: NewClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    check_one_warning(session, new_client, tmp_path / "file" / "views", caplog)


def check_one_warning(
    session: FakeSession, new_client: NewClient, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with new_client(session.url, cache_dir=directory) as client:
        sub = client.subscribe("pay")
        client.publish("pay", "a")
        sub.wait_for(1, timeout_seconds=5)

        def failures() -> list[str]:
            return [each for each in caplog.messages if "client.cache.failed" in each]

        wait_until(failures)
        client.publish("pay", "b")
        sub.wait_for(2, timeout_seconds=5)
    assert len(failures()) == 1
    assert "cannot be written" in failures()[0]
    assert not directory.exists()


def test_nothing_is_written_without_a_directory_and_before_a_view_is_known(
    session: FakeSession, new_client: NewClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "of-systemd"))
    monkeypatch.chdir(tmp_path)
    with new_client(session.url, cache_dir=None) as client:
        client.publish("pay", "a")
        client.subscribe("pay").wait_for(1, timeout_seconds=5)
    with new_client(NO_SESSION) as client:
        assert not client.subscribe("pay").view.is_known
    with new_client(session.url) as client:
        client.wait_connected(5)

    assert list(tmp_path.iterdir()) == []


def test_a_burst_of_changes_is_one_write_at_most_in_a_second(
    session: FakeSession, new_client: NewClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view_cache, "PAUSE_SECONDS", 1000.0)
    writes: list[str] = []
    write = view_cache.ViewFiles.write

    def counted(self: view_cache.ViewFiles, view: Any) -> None:
        writes.append(threading.current_thread().name)
        write(self, view)

    monkeypatch.setattr(view_cache.ViewFiles, "write", counted)
    with new_client(session.url) as client:
        sub = client.subscribe("pay").wait_for(0, timeout_seconds=5)
        wait_until(lambda: len(writes) == 1)
        for count in range(1, 20):
            client.publish("pay", "a")
            sub.wait_for(count, timeout_seconds=5)
        assert len(writes) == 1

    assert writes == ["zreg-cache"] * 2, "what waited was written when the client was closed"
    with new_client(NO_SESSION) as client:
        assert len(client.subscribe("pay").view) == 19


def test_a_view_whose_file_cannot_be_replaced_leaves_the_others_cached(
    cached: Path, new_client: NewClient, session: FakeSession, caplog: pytest.LogCaptureFixture
) -> None:
    cached.unlink()
    cached.mkdir()
    later = FakeSession(session.address)
    try:
        with new_client(later.url) as client:
            for data_id in ("pay", "ship", "mail"):
                client.subscribe(data_id).wait_for(0, timeout_seconds=5)
    finally:
        later.stop()

    wait_until(lambda: any("client.cache.failed" in each for each in caplog.messages))
    with new_client(NO_SESSION) as client:
        assert client.subscribe("ship").view.is_known
        assert client.subscribe("mail").view.is_known


def test_a_view_that_is_too_large_is_one_warning_and_not_cached(
    session: FakeSession,
    new_client: NewClient,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zreg.wire.cached_view.CACHED_VIEW_BYTES_MAX", 1000)
    with new_client(session.url) as client:
        client.subscribe("ship").wait_for(0, timeout_seconds=5)
        sub = client.subscribe("pay").wait_for(0, timeout_seconds=5)
        for count in (1, 2):
            client.publish("pay", "x" * 1000)
            sub.wait_for(count, timeout_seconds=5)
        # The last writes come with the end.

    wait_until(lambda: [each for each in caplog.messages if "client.cache" in each])
    lines = [each for each in caplog.messages if "client.cache" in each]
    assert len(lines) == 1
    assert "client.cache.left_out" in lines[0]
    with new_client(NO_SESSION) as client:
        assert client.subscribe("ship").view.is_known
        assert not client.subscribe("pay").view.is_known


def test_a_view_whose_subscription_was_closed_is_kept(
    session: FakeSession, new_client: NewClient
) -> None:
    with new_client(session.url) as client:
        client.publish("pay", "a")
        with client.subscribe("pay") as sub:
            sub.wait_for(1, timeout_seconds=5)
        client.subscribe("ship").wait_for(0, timeout_seconds=5)
        assert client.subscribe("pay").view.values == ("a",), "the newest view, from memory"

    with new_client(NO_SESSION) as client:
        assert client.subscribe("pay").view.values == ("a",)
        assert client.subscribe("ship").view.is_known


def test_a_bad_directory_is_refused_at_once(new_client: NewClient) -> None:
    for given in ("", 5, b"bytes", "with\0zero"):
        with pytest.raises(zreg.UsageError, match=r"cache_dir .* cannot be used"):
            new_client(NO_SESSION, cache_dir=given)


def test_a_forked_child_writes_nothing_until_it_uses_the_client(
    session: FakeSession, tmp_path: Path
) -> None:
    done = run_program(
        """
with zreg.Client(sys.argv[1], config=CONFIG, cache_dir=sys.argv[2]) as client:
    # The view has one state only, so the parent writes once.
    client.publish("pay", "a").wait_registered(10)
    sub = client.subscribe("pay").wait_for(1, 10)
    # A file that is being written has another name, and a child must not remove that one.
    written = lambda name: not name.endswith(".tmp")
    until(lambda: os.path.isdir(sys.argv[2]) and any(map(written, os.listdir(sys.argv[2]))))
    for uses in (False, True):
        if os.fork() == 0:
            for name in os.listdir(sys.argv[2]):
                os.unlink(os.path.join(sys.argv[2], name))
            if uses:
                until(lambda: not sub.view.is_stale)
            client.close()
            assert bool(os.listdir(sys.argv[2])) == uses, os.listdir(sys.argv[2])
            os._exit(7)
        _, status = os.wait()
        assert os.waitstatus_to_exitcode(status) == 7, (uses, status)
""",
        session.url,
        str(tmp_path / "views"),
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_client_that_the_program_drops_writes_and_leaves_no_thread(
    session: FakeSession, tmp_path: Path
) -> None:
    done = run_program(
        """
client = zreg.Client(sys.argv[1], config=CONFIG, cache_dir=sys.argv[2])
client.publish("pay", "a")
client.subscribe("pay").wait_for(1, 10)
assert "zreg-cache" in {each.name for each in threading.enumerate()}
del client
gc.collect()
until(lambda: "zreg-cache" not in {each.name for each in threading.enumerate()})
assert b"pay#@#" in open(os.path.join(sys.argv[2], os.listdir(sys.argv[2])[0]), "rb").read()
""",
        session.url,
        str(tmp_path / "views"),
    )
    assert (done.returncode, "unclosed zreg.Client" in done.stderr) == (0, True), done.stderr


def run_program(source: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a program in a process of its own, since it forks or looks at all threads."""
    head = f"""
import gc, os, sys, threading, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
import zreg
from fake_session import CONFIG, wait_until as until
"""
    return subprocess.run(
        [sys.executable, "-W", "always::ResourceWarning", "-c", head + source, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
