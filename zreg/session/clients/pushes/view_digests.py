"""The digests of views, kept: for a subscriber that returns, its whole view is not read again."""

from collections.abc import Iterable, Iterator

from zreg.model import DataInfoId, Publisher, Version
from zreg.primitives.digest import moved_view_digest, view_digest
from zreg.session.clients.pushes.subscriber import Visibility, sees
from zreg.session.upstream.followed.followed_datum import FollowedDatum


class ViewDigests:
    """The last digest of each view that a client claimed, by datum and visibility.

    Invariant: a kept digest is that of the view at the version beside it.
    """

    def __init__(self) -> None:
        self._kept: dict[DataInfoId, dict[Visibility, tuple[Version, int]]] = {}

    def present(self, followed: FollowedDatum, visibility: Visibility) -> int:
        """Return the digest of a view of the present copy.

        It follows from the kept digest and the log of the datum, as long as the log goes back so
        far.
        """
        version = followed.mirror.version
        views = self._kept.setdefault(followed.name, {})
        kept = views.get(visibility)
        digest = None if kept is None else _caught_up(followed, visibility, *kept)
        if digest is None:
            content = followed.mirror.content.values()
            digest = view_digest(each for each in content if sees(visibility, each))
        views[visibility] = (version, digest)
        return digest

    def forget(self, name: DataInfoId) -> None:
        """Drop the digests of a datum that is no longer followed."""
        self._kept.pop(name, None)


def _caught_up(
    followed: FollowedDatum, visibility: Visibility, version: Version, digest: int
) -> int | None:
    """Return the present digest of a view that had this digest at that version; None if unknown."""
    if version == followed.mirror.version:
        return digest
    steps = followed.log.since(version)
    if steps is None:
        return None
    for step in steps:
        digest = moved_view_digest(
            digest,
            _visible(step.former.values(), visibility),
            _visible(step.upserts.values(), visibility),
        )
    return digest


def _visible(publishers: Iterable[Publisher], visibility: Visibility) -> Iterator[Publisher]:
    return (publisher for publisher in publishers if sees(visibility, publisher))
