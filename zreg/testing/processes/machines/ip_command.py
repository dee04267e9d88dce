"""The `ip` command of iproute2, and the namespaces that it makes."""

import contextlib
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Final

_PREFIX: Final = "zreg-"
_NAME: Final = re.compile(rf"{_PREFIX}(\d+)-")


def run_ip(*arguments: str) -> str:
    """Run `ip` and return what it writes; raises `OSError` with what it says went wrong."""
    done = subprocess.run(  # noqa: S603 -- a program of the system, with arguments of this package
        ["ip", *arguments],  # noqa: S607 -- found by PATH, as in a shell
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def add_namespace(name: str) -> str:
    """Add a namespace for this process, with a loopback interface; return its whole name."""
    namespace = f"{_PREFIX}{os.getpid()}-{name}"
    run_ip("netns", "add", namespace)
    run_ip("-n", namespace, "link", "set", "lo", "up")
    return namespace


def remove_namespace(namespace: str) -> None:
    """Kill the processes in a namespace, and remove it with its interfaces."""
    with contextlib.suppress(OSError):
        for pid in run_ip("netns", "pids", namespace).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        run_ip("netns", "del", namespace)


def remove_leftovers() -> None:
    """Remove the namespaces of test processes that were killed before they could do it."""
    for line in run_ip("netns", "list").splitlines():
        namespace = line.split()[0]
        owner = _NAME.match(namespace)
        if owner is not None and not Path(f"/proc/{owner[1]}").exists():
            remove_namespace(namespace)
