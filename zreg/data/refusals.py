"""The refusals that a data node sends."""

from zreg.effects import Effect, Link, Peer, Send
from zreg.errors import NotPrimaryError, RefusedError
from zreg.wire.records.common_messages import Refused


class Refusals:
    """Builds refusals with the epoch that this node follows, and counts them."""

    def __init__(self) -> None:
        self.epoch = 0
        self.count = 0

    def refuse(self, peer: Peer, request_id: int, error: type[RefusedError], detail: str) -> Effect:
        """Return the effect that refuses a request; `detail` is for people."""
        self.count += 1
        return Send(Link.REQUESTS, peer, Refused(request_id, error.code, detail, self.epoch))

    def not_primary(self, peer: Peer, request_id: int) -> Effect:
        """Refuse a request for an id that this node is not the primary of."""
        detail = (
            "this data node is not the primary of that id: compare epochs, then ask the primary"
        )
        return self.refuse(peer, request_id, NotPrimaryError, detail)
