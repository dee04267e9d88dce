"""The channels of gRPC to the instances of a service, in step with the view."""

import threading
from collections.abc import Callable, Collection, Iterable
from typing import Generic, TypeVar

C = TypeVar("C")


class Subchannel(Generic[C]):
    """The channel to one instance, and how many calls use it."""

    __slots__ = ("address", "call_count", "channel")

    def __init__(self, address: str, channel: C) -> None:
        self.address = address
        self.channel = channel
        self.call_count = 0


class Subchannels(Generic[C]):
    """A channel for each instance that has been called. Any thread may use it.

    To close a channel cancels its calls. So the channel of an instance that left is closed when the
    last of its calls has ended.
    """

    def __init__(
        self, open_channel: Callable[[str], C], close_channel: Callable[[C], None]
    ) -> None:
        self._open = open_channel
        self._close = close_channel
        self._by_address: dict[str, Subchannel[C]] = {}
        self._left: set[Subchannel[C]] = set()
        # What was kept last; None if nothing is known yet.
        self._addresses: Collection[str] | None = None
        # A finalizer may end a call in the middle of another method.
        self._lock = threading.RLock()

    def __len__(self) -> int:
        """Return how many channels are open."""
        return len(self._by_address) + len(self._left)

    def take(self, address: str) -> Subchannel[C]:
        """Return the channel to an instance for one call, which gives it back."""
        with self._lock:
            found = self._by_address.get(address)
            if found is None:
                found = Subchannel(address, self._open(address))
                if self._addresses is None or address in self._addresses:
                    self._by_address[address] = found
                else:
                    # It was picked just before it left.
                    self._left.add(found)
            found.call_count += 1
            return found

    def give_back(self, used: Subchannel[C]) -> None:
        """Note that a call has ended."""
        with self._lock:
            used.call_count -= 1
            if used.call_count or used not in self._left:
                return
            self._left.remove(used)
        self._close(used.channel)

    def keep(self, addresses: Collection[str]) -> None:
        """Close the channels to all other instances, each after its calls."""
        with self._lock:
            self._addresses = addresses
            gone = [each for each in self._by_address.values() if each.address not in addresses]
            for each in gone:
                del self._by_address[each.address]
            self._left.update(each for each in gone if each.call_count)
        self._close_all(each for each in gone if not each.call_count)

    def close(self) -> None:
        """Close all channels, and cancel the calls."""
        with self._lock:
            every = [*self._by_address.values(), *self._left]
            self._by_address.clear()
            self._left.clear()
        self._close_all(every)

    def _close_all(self, subchannels: Iterable[Subchannel[C]]) -> None:
        for each in subchannels:
            self._close(each.channel)
