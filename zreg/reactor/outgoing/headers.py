"""The header of each message that leaves."""

from zreg.effects import Core, Link
from zreg.reactor.link_table import BETWEEN_META_NODES
from zreg.wire.envelope import Envelope


class Headers:
    """The header of each link: the cluster, the protocol's version, the core's epoch."""

    def __init__(self, core: Core, envelope: Envelope, cluster: str) -> None:
        self._core = core
        self._envelope = envelope
        # Between meta nodes the epoch has no meaning. A header that never changes is one that the
        # receiver has decoded before.
        self._without_epoch = Envelope(cluster).header(0)

    def of(self, link: Link) -> bytes:
        """Return the header of what leaves on a link now."""
        if link in BETWEEN_META_NODES:
            return self._without_epoch
        return self._envelope.header(self._core.epoch)
