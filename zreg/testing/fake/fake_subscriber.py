"""What one subscription of a client was pushed, and the push that it needs next."""

from collections.abc import Mapping

from zreg.model import Cause, DataInfoId, Publisher, Removal, Scope, Version, same_to_subscribers
from zreg.primitives.mirror import absent
from zreg.session.clients.pushes.subscriber import Visibility, sees
from zreg.wire.records.client_messages import Push


class FakeSubscriber:
    """One subscription. Its next push is the difference to what it was sent before.

    So changes that come while pushes are held are merged, as a session merges them.
    """

    def __init__(self, name: DataInfoId, visibility: Visibility) -> None:
        self._name = name
        self._visibility = visibility
        self._sent: dict[bytes, Publisher] | None = None
        self._version: Version | None = None

    @property
    def scope(self) -> Scope:
        """How far it looks."""
        return self._visibility[0]

    def start_anew(self) -> None:
        """Send a snapshot next."""
        self._sent = self._version = None

    def next_push(
        self,
        content: Mapping[bytes, Publisher],
        version: Version,
        causes: Mapping[bytes, Cause],
    ) -> Push | None:
        """Return the push to this content; None if the subscriber can see no difference."""
        visible = {key: each for key, each in content.items() if sees(self._visibility, each)}
        sent, source = self._sent, self._version
        if sent is None or source is None:
            self._sent, self._version = visible, version
            return Push(self._name, self.scope, None, version, tuple(visible.values()))
        changed = tuple(
            each
            for key, each in visible.items()
            if key not in sent or not same_to_subscribers(each, sent[key])
        )
        removals = tuple(_removal(key, causes.get(key)) for key in sent if key not in visible)
        if not changed and not removals:
            return None
        self._sent, self._version = visible, version
        return Push(self._name, self.scope, source, version, changed, removals)


def _removal(publisher_id: bytes, cause: Cause | None) -> Removal:
    gone = absent(publisher_id)
    return gone if cause is None else Removal(publisher_id, gone.version, cause)
