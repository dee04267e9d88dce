"""A cluster in real processes, to be killed, stopped, continued and restarted, node by node.

`RunningCluster` runs `zreg cluster --json` on ports that are reserved for it. Nodes that are
started later (`restart`, `add`) are children of the test. No process outlives the process that uses
this.

    with RunningCluster(tmp_path, sessions=2, data=3) as cluster:
        client = zreg.Client(cluster.url)
        cluster.kill("data-1")
        cluster.restart("data-1")
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from zreg.testing.processes.cluster_processes import PORT_OPTIONS, ClusterProcesses
from zreg.testing.processes.node_process import NodeProcess, options_of

if TYPE_CHECKING:
    import subprocess


class RunningCluster(ClusterProcesses):
    """A cluster of real processes, which run until the `with` block ends."""

    def __init__(
        self,
        directory: Path,
        *,
        sessions: int = 1,
        data: int = 1,
        metas: int = 1,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(directory, options, environment)
        # Several meta nodes need one port more each, to name each other before any is bound.
        peer_count = metas if metas > 1 else 0
        nodes = {"meta": metas, "session": sessions, "data": data}
        count = sum(number * len(PORT_OPTIONS[role]) for role, number in nodes.items())
        ports = self._reserve_ports(peer_count + count)
        counts = [f"--session={sessions}", f"--data={data}", f"--meta={metas}"]
        places = [f"--dir={directory}", f"--base-port={ports.start}"]
        arguments = [*counts, *places, *options]
        # The process of `zreg cluster`, which ends its nodes when it ends.
        self.process = self._popen(["cluster", *arguments, "--json", f"--parent-pid={os.getpid()}"])
        try:
            self._read_nodes()
        except BaseException:
            self.close()
            raise

    def restart(self, node_id: str) -> NodeProcess:
        """Start a node again that has ended, with the same id, settings and ports.

        On Linux the node ends with the thread that calls this.
        """
        former = self.nodes[node_id]
        self._wait_gone(node_id)
        return self._start(former.role, node_id, former.arguments)

    def add(self, role: str, node_id: str, *options: str) -> NodeProcess:
        """Start one more node, which joins by itself."""
        names = PORT_OPTIONS[role]
        ports = zip(names, self._reserve_ports(len(names)), strict=True)
        common = [f"--{name}={port}" for name, port in ports] + self._options_of(role)
        if role != "meta":
            common.append(f"--meta={self.meta_address}")
        return self._start(role, node_id, [*common, *options])

    def _processes(self) -> "list[subprocess.Popen[str]]":
        return [*super()._processes(), self.process]

    def _read_nodes(self) -> None:
        reader = self._readers[0]
        while True:
            line = reader.next()
            assert line, f"zreg cluster ended with exit code {self.process.wait()}"
            record = json.loads(line)
            if record.get("ready"):
                return
            node = msgspec.convert(record, NodeProcess)
            node.arguments = options_of(node.pid)
            self.nodes[node.node_id] = node
