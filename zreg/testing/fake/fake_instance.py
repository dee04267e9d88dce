"""An instance that a test puts into a `FakeRegistry` without a client."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from zreg.client.view.values import Payload, Value
from zreg.errors import UsageError
from zreg.model import Cause, DataInfoId, Publisher
from zreg.testing.fake.exchange import Exchange
from zreg.testing.fake.registry_core import SESSION

# An endpoint without a host gets this one, as from a client on this machine.
_LOCAL_HOST: Final = "127.0.0.1"


class Labels(msgspec.Struct, frozen=True):
    """The labels of the client that an instance stands for."""

    zone: str
    data_center: str
    app: str


class FakeInstance:
    """One registration, as a client of its own would make it.

    Each method returns when all clients on other threads have seen the change.
    """

    def __init__(
        self, exchange: Exchange, wait_idle: Callable[[], None], name: DataInfoId, labels: Labels
    ) -> None:
        self._exchange = exchange
        self._wait_idle = wait_idle
        self._labels = labels
        self._version = 0
        self._attributes: Mapping[str, str] = {}
        self.data_info_id = name
        self.publisher_id = os.urandom(16)
        self.client_id = os.urandom(16)

    @property
    def is_registered(self) -> bool:
        """Whether the registry has it."""
        return self._exchange.look(lambda core: core.datums.has(self.publisher_id))

    def update(self, *values: Value, attributes: Mapping[str, str] | None = None) -> None:
        """Have these values in place of the last ones; attributes stay if none are given.

        An instance that was removed or has crashed comes back.
        """
        self._attributes = self._attributes if attributes is None else dict(attributes)
        publisher = self._publisher(values)
        self._exchange.act(lambda core: core.register(self.data_info_id, publisher))
        self._wait_idle()

    def remove(self) -> None:
        """Go in good order: as a program that unpublishes, or ends."""
        self._end(Cause.UNPUBLISHED)

    def crash(self) -> None:
        """Go as a program that was killed: its lease expires."""
        self._end(Cause.SILENT)

    def _end(self, cause: Cause) -> None:
        self._exchange.act(lambda core: core.remove([self.publisher_id], cause))
        self._wait_idle()

    def _publisher(self, values: Sequence[Value]) -> Publisher:
        if not values:
            raise UsageError("an instance without values cannot be called: give at least one")
        payload = Payload(values, self._attributes, registered_at=time.time_ns() / 1e9)
        self._version += 1
        return Publisher(
            self.publisher_id,
            self._version,
            self.client_id,
            SESSION,
            self._labels.zone,
            self._labels.data_center,
            self._labels.app,
            payload.body_with(_LOCAL_HOST),
        )

    def __repr__(self) -> str:
        """Show id and state."""
        state = "registered" if self.is_registered else "gone"
        return f"<FakeInstance {self.data_info_id} {self.publisher_id.hex()[:8]} {state}>"
