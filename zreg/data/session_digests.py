"""For each session, a digest of the publishers in the store that it registered."""

from zreg.model import Incarnation, Publisher
from zreg.primitives.digest import DigestSum


class SessionDigests:
    """Digests over (publisher id, version), by the session incarnation of the publisher.

    Invariant: a session's digest covers exactly the publishers in the store that it registered.
    """

    def __init__(self) -> None:
        self._digests: dict[Incarnation, DigestSum] = {}

    def of(self, session: Incarnation) -> DigestSum:
        """Return the digest of one session; an empty one if it registered nothing here."""
        return self._digests.get(session) or DigestSum()

    def sessions(self) -> list[Incarnation]:
        """Return the sessions that registered something here, in order."""
        return sorted(session for session, digest in self._digests.items() if digest.count)

    def add(self, publisher: Publisher) -> None:
        """Take in a new publisher."""
        digest = self._digests.get(publisher.session)
        if digest is None:
            digest = self._digests[publisher.session] = DigestSum()
        digest.add(publisher.publisher_id, publisher.version)

    def discard(self, publisher: Publisher) -> None:
        """Take out a publisher."""
        self._digests[publisher.session].discard(publisher.publisher_id, publisher.version)

    def replace(self, old: Publisher, new: Publisher) -> None:
        """Exchange a publisher for its new state, which another session may have registered."""
        if new.session == old.session:
            digest = self._digests[new.session]
            digest.replace(new.publisher_id, old.version, new.version)
        else:
            self.discard(old)
            self.add(new)

    def forget(self, session: Incarnation) -> None:
        """Drop the digest of a session that has no publishers here any more."""
        self._digests.pop(session, None)
