"""A node that this process starts gets nothing that is meant for this process alone."""

import os
import signal
from pathlib import Path

import pytest

import zreg
from zreg.cli.process.children import inherited
from zreg.cli.process.stop_signals import is_urgent, stop_signals

FOLDER = str(Path(zreg.__file__).parent.parent)


def test_a_child_gets_no_settings_and_nothing_that_systemd_gave_its_parent() -> None:
    environment = {
        "HOME": "/home/me",
        "ZREG_LOG_LEVEL": "debug",
        "ZREG_DIR": "/var/lib/zreg",
        "NOTIFY_SOCKET": "/run/systemd/notify",
        "WATCHDOG_USEC": "1000000",
        "WATCHDOG_PID": "7",
        "STATE_DIRECTORY": "/var/lib/zreg",
        "LISTEN_FDS": "1",
        "JOURNAL_STREAM": "8:9",
    }

    kept = inherited(environment)

    kept.pop("PYTHONPATH", None)
    assert kept == {"HOME": "/home/me", "ZREG_LOG_LEVEL": "debug", "JOURNAL_STREAM": "8:9"}


def test_a_child_runs_the_package_of_its_parent_and_looks_into_no_working_directory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda _name: "/usr/lib/python3")
    paths = {"PYTHONPATH": os.pathsep.join(["", "/mine", ""])}
    assert inherited(paths) == {"PYTHONPATH": os.pathsep.join([FOLDER, "/mine"])}

    monkeypatch.setattr("sysconfig.get_path", lambda _name: FOLDER)
    assert inherited(paths) == {"PYTHONPATH": "/mine"}
    assert inherited({}) == {}


def test_sighup_ends_a_node_unless_it_is_ignored_as_under_nohup(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(signal, "getsignal", lambda _number: signal.SIG_DFL)
    assert stop_signals() == (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    monkeypatch.setattr(signal, "getsignal", lambda _number: signal.SIG_IGN)
    assert stop_signals() == (signal.SIGTERM, signal.SIGINT)


def test_a_second_sighup_does_not_end_a_node_at_once() -> None:
    assert [is_urgent(number) for number in (signal.SIGINT, signal.SIGTERM)] == [True, True]
    assert not is_urgent(signal.SIGHUP)
