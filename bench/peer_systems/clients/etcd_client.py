"""etcd through pyetcd (etcd-sdk-python): keys that are attached to leases, and prefix watches.

pyetcd's `put` waits for its answer. To have 64 in flight from one thread, this sends the same
request through the gRPC stub of the same client, which returns a future.
"""

import threading
import time
from collections.abc import Iterable
from typing import Final

import grpc
import pyetcd

from peer_systems.clients.protocol import ANSWER_SECONDS_MAX, PREFIX, Hear, keep_in_flight

# One lease for all keys would make all writes of a client wait for one lock of the server.
LEASES_MAX: Final = 128
# Otherwise gRPC joins all clients of a process in one connection, and they stand for programs.
_OWN_CONNECTION: Final = [("grpc.use_local_subchannel_pool", 1)]


class EtcdClient:
    """A pyetcd client, and a thread that keeps its leases alive."""

    def __init__(self, address: str, lease_seconds: float) -> None:
        host, _, port = address.partition(":")
        self._client = pyetcd.client(
            host, int(port), timeout=ANSWER_SECONDS_MAX, grpc_options=_OWN_CONNECTION
        )
        self._client.status()
        self._lease_seconds = lease_seconds
        self._leases: list[pyetcd.Lease] = []
        self._lease_of: dict[str, int] = {}
        self._renewer = threading.Thread(target=self._renew, daemon=True)

    def register(self, names: Iterable[str], value: str) -> int:
        """Put each name with one of the leases, in turns."""
        return keep_in_flight((self._register(name, value) for name in names), _wait)

    def _register(self, name: str, value: str) -> grpc.Future:
        number = len(self._lease_of) % LEASES_MAX
        if number == len(self._leases):
            self._leases.append(self._client.lease(int(self._lease_seconds)))
            if not self._renewer.is_alive():
                self._renewer.start()
        self._lease_of[name] = self._leases[number].id
        return self._put(name, value)

    def republish(self, names: Iterable[str], value: str) -> int:
        """Put each name again with its lease."""
        return keep_in_flight((self._put(name, value) for name in names), _wait)

    def _put(self, name: str, value: str) -> grpc.Future:
        request = pyetcd.etcdrpc.PutRequest(
            key=f"{PREFIX}/{name}".encode(), value=value.encode(), lease=self._lease_of[name]
        )
        return self._client.kvstub.Put.future(request, ANSWER_SECONDS_MAX)

    def _renew(self) -> None:
        while True:
            time.sleep(self._lease_seconds / 3)
            for lease in tuple(self._leases):
                lease.refresh()

    def follow(self, service: str, hear: Hear) -> None:
        """Watch the prefix of the service, and read what is there."""

        def on_events(response: pyetcd.watch.WatchResponse | Exception) -> None:
            # pyetcd hands a failure of the stream to the callback, too.
            for event in getattr(response, "events", ()):
                name = event.key.decode().partition("/")[2]
                is_put = isinstance(event, pyetcd.events.PutEvent)
                hear(name, event.value.decode() if is_put else None)

        prefix = f"{PREFIX}/{service}/"
        self._client.add_watch_prefix_callback(prefix, on_events)
        for value, metadata in self._client.get_prefix(prefix):
            hear(metadata.key.decode().partition("/")[2], value.decode())


def _wait(future: grpc.Future) -> None:
    future.result()
