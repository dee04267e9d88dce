"""The datums that pages watch: each of their moves is told to the pages, as a hint."""

import msgspec

from zreg.effects import Effect, Emit, Local
from zreg.model import DataInfoId, Version
from zreg.session.clients.pushes.subscriptions import Subscriptions
from zreg.session.upstream.followed.followed_datum import FollowedDatum


class WatchBegun(Local, frozen=True):
    """The pages of this node begin to watch a datum; None: all that the session follows."""

    name: DataInfoId | None


class WatchEnded(Local, frozen=True):
    """No page of this node watches a datum any more; None: all that the session follows."""

    name: DataInfoId | None


class DatumMoved(msgspec.Struct, frozen=True):
    """Event: a watched datum is at this version now, with so many publishers."""

    name: DataInfoId
    version: Version
    publisher_count: int


class PageWatches:
    """What pages watch. They count the watches of one datum, and tell the first and the last.

    Invariant: each name in `_names` is followed once for the watches.
    """

    def __init__(self, subscriptions: Subscriptions) -> None:
        self._subscriptions = subscriptions
        self._names: set[DataInfoId] = set()
        self._watches_all = False
        # Whether anything is watched.
        self.is_watching = False

    def begin(self, name: DataInfoId | None, now: float) -> list[Effect]:
        """Tell of the moves of a datum from now on."""
        self.is_watching = True
        if name is None:
            self._watches_all = True
            return []
        if name in self._names:
            return []
        self._names.add(name)
        _, effects = self._subscriptions.follow(name, now)
        return effects

    def end(self, name: DataInfoId | None) -> list[Effect]:
        """Tell of the moves of a datum no more."""
        effects: list[Effect] = []
        if name is None:
            self._watches_all = False
        elif name in self._names:
            self._names.remove(name)
            effects = self._subscriptions.unfollow(name)
        self.is_watching = self._watches_all or bool(self._names)
        return effects

    def on_moved(self, followed: FollowedDatum) -> list[Effect]:
        """Tell of a datum that has moved, if it is watched."""
        if not self._watches_all and followed.name not in self._names:
            return []
        mirror = followed.mirror
        return [Emit(DatumMoved(followed.name, mirror.version, len(mirror.content)))]
