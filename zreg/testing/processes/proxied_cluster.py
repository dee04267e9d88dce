"""A cluster of real processes whose links pass through a proxy, so that a test can cut them.

Each node is bound to 127.0.0.1 and advertises 127.0.0.2, where the proxy listens at the same ports
and passes every connection on. Neither host needs any rights. The proxy finds the node that dials
in /proc, so this needs Linux.

    with ProxiedCluster(tmp_path, sessions=3, data=2) as cluster:
        cluster.cut("session-1", "meta-1")
        cluster.mend("session-1", "meta-1")
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from zreg.testing.processes.cluster_processes import PORT_OPTIONS, ClusterProcesses
from zreg.testing.processes.node_process import NodeProcess
from zreg.testing.processes.proxy.link_proxy import LinkProxy
from zreg.testing.processes.proxy.socket_owners import Ports, owners_of
from zreg.testing.processes.running_command import START_SECONDS_MAX, LineReader

_HOST: Final = "127.0.0.1"
_ADVERTISED_HOST: Final = "127.0.0.2"
# The ports of each role, by option; `peer` is Raft's.
_PORTS: Final = PORT_OPTIONS | {"meta": (*PORT_OPTIONS["meta"], "peer")}
# The name of a dialler that is no node of the cluster. All that dial a session count as clients.
CLIENT: Final = "client"


class ProxiedCluster(ClusterProcesses):
    """A cluster of real processes, and the proxy between them, until the `with` block ends."""

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
        directory.mkdir(parents=True, exist_ok=True)
        counts = {"meta": metas, "session": sessions, "data": data}
        self._roles = {
            f"{role}-{number}": role
            for role, count in counts.items()
            for number in range(1, count + 1)
        }
        self._ports = self._choose_ports()
        self._proxy = LinkProxy(self._diallers_of)
        try:
            for node_id in self._roles:
                self._add_to_proxy(node_id)
            self._start_all()
            self.wait_until(self._is_serving, timeout_seconds=START_SECONDS_MAX)
        except BaseException:
            self.close()
            raise

    @property
    def proxy_stalls(self) -> list[tuple[float, float]]:
        """When the proxy passed nothing on (`time.monotonic`), and for how many seconds."""
        return self._proxy.stalls

    # --- nodes --------------------------------------------------------------------------------

    def kill(self, node_id: str) -> None:
        """Kill a node, so that it says no goodbye; connections to it are refused then."""
        super().kill(node_id)
        self._proxy.refuse(node_id)

    def restart(self, node_id: str) -> NodeProcess:
        """Start a node again that has ended, with the same id, settings and ports.

        On Linux the node ends with the thread that calls this.
        """
        reader = self.restart_nowait(node_id)
        return self._wait_bound(node_id, reader, self.nodes[node_id].arguments)

    def restart_nowait(self, node_id: str) -> LineReader:
        """Start a node again, and do not wait for its sockets.

        Returns the reader of the line that the node writes once they are bound.
        """
        self._wait_gone(node_id)
        self._proxy.accept(node_id)
        node = self.nodes[node_id]
        reader = self._launch(node.role, node_id, node.arguments)
        node.pid = self._started[node_id].pid
        return reader

    # --- links --------------------------------------------------------------------------------

    def cut(self, left: str, right: str, *, is_one_way: bool = False) -> int:
        """Hold all bytes between two nodes, or only those from the first to the second.

        Returns how many connections there are between them.
        """
        if is_one_way:
            return self._proxy.cut_one_way([(left, right)])
        return self._proxy.cut(left, right)

    def mend(self, left: str, right: str) -> None:
        """Let all bytes between two nodes pass again."""
        self._proxy.mend([(left, right), (right, left)])

    def reset_clients(self, node_id: str) -> int:
        """Reset the connections of all clients to a session; return how many there were."""
        return self._proxy.reset(node_id, CLIENT)

    def refuse(self, node_id: str) -> None:
        """Refuse new connections to a node."""
        self._proxy.refuse(node_id)

    def swallow(self, node_id: str) -> None:
        """Make the addresses of a node black holes: a dial is neither accepted nor refused."""
        self._proxy.swallow(node_id)

    def accept(self, node_id: str) -> None:
        """Pass new connections on to a node again."""
        self._proxy.accept(node_id)

    def close(self) -> None:
        """End all processes and the proxy."""
        super().close()
        self._proxy.close()

    # --- helpers ------------------------------------------------------------------------------

    def _choose_ports(self) -> dict[str, dict[str, int]]:
        """Return the ports of each node, by option."""
        ports = iter(self._reserve_ports(sum(len(_PORTS[role]) for role in self._roles.values())))
        return {
            node_id: {option: next(ports) for option in _PORTS[role]}
            for node_id, role in self._roles.items()
        }

    def _add_to_proxy(self, node_id: str) -> None:
        # To look a dialler up takes milliseconds, and hundreds of clients may dial at once.
        dialled_by = CLIENT if self._roles[node_id] == "session" else None
        for port in self._ports[node_id].values():
            address, target = (_ADVERTISED_HOST, port), (_HOST, port)
            self._proxy.add(node_id, address, target, dialled_by=dialled_by)

    def _start_all(self) -> None:
        """Start all nodes at the same time; return once all their sockets are bound."""
        readers = {
            node_id: self._launch(role, node_id, self._arguments(node_id))
            for node_id, role in self._roles.items()
        }
        for node_id, reader in readers.items():
            self._wait_bound(node_id, reader, self._arguments(node_id))

    def _arguments(self, node_id: str) -> list[str]:
        role, ports = self._roles[node_id], self._ports[node_id]
        options = [f"--{name}={port}" for name, port in ports.items() if name != "peer"]
        metas = [node for node, of in self._roles.items() if of == "meta"]
        if role == "meta":
            peers = [(m, f"{_ADVERTISED_HOST}:{self._ports[m]['peer']}") for m in metas]
            options += [f"--peer={m}={address}" for m, address in peers if len(metas) > 1]
        else:
            addresses = [f"{_ADVERTISED_HOST}:{self._ports[m]['port']}" for m in metas]
            options.append(f"--meta={','.join(addresses)}")
        return [
            *options,
            *(f"--host={_HOST}", f"--advertise-host={_ADVERTISED_HOST}"),
            *(f"--dir={self.directory / node_id}", *self._options_of(role)),
        ]

    def _is_serving(self) -> bool:
        """Whether every node is ready, and knows all others."""
        try:
            if not all(node.health("/readyz").ready for node in self.nodes.values()):
                return False
        except OSError:
            # A node writes its line before it answers over HTTP.
            return False
        statistics = [self.statistics(node_id) for node_id in self.nodes]
        others = [role for role in self._roles.values() if role != "meta"]
        members = {
            int(s["sessions"]) + int(s["data_nodes"]) for s in statistics if s["role"] == "meta"
        }
        return members == {len(others)} and len({s["epoch"] for s in statistics}) == 1

    def _diallers_of(self, connections: Sequence[Ports]) -> list[str]:
        nodes = {process.pid: node_id for node_id, process in list(self._started.items())}
        return [name or CLIENT for name in owners_of(connections, nodes)]
