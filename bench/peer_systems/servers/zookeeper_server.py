"""ZooKeeper: one server, which syncs each write to its directory before it answers."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from peer_systems.processes import server_process
from peer_systems.servers.protocol import ResidentServer, Server, wait_listening
from zreg.cli.process.ports import free_ports

JAR: Final = Path("/usr/share/java/zookeeper.jar")
_MAIN: Final = "org.apache.zookeeper.server.ZooKeeperServerMain"
# A tick of half a second allows sessions of one second and more; the default allows four and more.
_SETTINGS: Final = """\
tickTime=500
minSessionTimeout=1000
maxSessionTimeout=120000
maxClientCnxns=0
admin.enableServer=false
clientPortAddress=127.0.0.1
"""


class ZookeeperServer(ResidentServer):
    """A Java process: its memory is the heap in use after a collection, where `jcmd` exists.

    The resident memory of a Java process tells how far its heap once grew, not what it holds.
    """

    def memory_bytes(self) -> int:
        """Return the heap in use, or the resident memory without a JDK."""
        if shutil.which("jcmd") is None:
            return super().memory_bytes()
        self._jcmd("GC.run")
        used = re.findall(r"heap\s+total \d+K, used (\d+)K", self._jcmd("GC.heap_info"))
        return int(used[0]) * 1024

    def _jcmd(self, command: str) -> str:
        words = ["jcmd", str(self.pids[0]), command]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@contextmanager
def start_zookeeper(directory: Path, _lease_seconds: float) -> Iterator[Server]:
    """Run ZooKeeper with a heap of 1 GiB at most."""
    (port,) = free_ports(1)
    log, settings = directory / "zookeeper.log", directory / "zoo.cfg"
    settings.write_text(
        f"{_SETTINGS}clientPort={port}\ndataDir={directory / 'zookeeper'}\n", encoding="utf-8"
    )
    command = [
        *("java", "-Xmx1g", "-XX:+UseG1GC", "-cp", f"{directory}:{JAR}", _MAIN, settings),
    ]
    with server_process(command, log) as process:
        wait_listening(port, log)
        yield ZookeeperServer(f"127.0.0.1:{port}", [process.pid])
