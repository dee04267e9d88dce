"""The pushes that bring a subscriber from its version to the present one: a delta or a snapshot."""

from collections.abc import Iterable
from typing import NamedTuple

from zreg.model import Change, Publisher, Removal, Version
from zreg.primitives.mirror import absent
from zreg.session.clients.pushes.subscriber import Subscriber, Visibility, sees
from zreg.session.upstream.followed.followed_datum import FollowedDatum, Step
from zreg.wire.parts import fit_one_record, in_parts
from zreg.wire.records.client_messages import Push, body_bytes


class MadePush(NamedTuple):
    """A push as it is sent: one message, or the parts of a snapshot; none if nothing is visible."""

    messages: list[Push]
    # What it takes of the window: the bytes of the bodies in its last message.
    size: int

    @property
    def is_snapshot(self) -> bool:
        """Whether it replaces the client's view, and does not start from it."""
        return self.messages[-1].source_version is None


class PushMessages:
    """The pushes made in this turn: subscribers that start at the same place share them."""

    def __init__(self) -> None:
        self._made: dict[
            tuple[str, Visibility, Version | None, Version | None, bool], MadePush
        ] = {}

    def clear(self) -> None:
        """Forget all pushes when the turn ends: in the next one the datums may have changed."""
        self._made.clear()

    def for_subscriber(self, subscriber: Subscriber) -> MadePush:
        """Return what a subscriber has to be sent; empty if it can see nothing of what changed."""
        name = subscriber.followed.name
        start, evaluated = subscriber.client_version, subscriber.evaluated
        key = (name, subscriber.visibility, start, evaluated, subscriber.is_reset)
        made = self._made.get(key)
        if made is None:
            messages = None
            if start is not None and evaluated is not None:
                messages = _delta(subscriber.followed, subscriber.visibility, start, evaluated)
            if messages is None:
                messages = _snapshot(subscriber)
            size = body_bytes(messages[-1]) if messages else 0
            made = self._made[key] = MadePush(messages, size)
        return made


def current_push(subscriber: Subscriber) -> MadePush:
    """Return the push that tells a client that its view is up to date."""
    followed = subscriber.followed
    version = followed.mirror.version
    return MadePush([Push(followed.name, subscriber.visibility[0], version, version, ())], 0)


def _snapshot(subscriber: Subscriber) -> list[Push]:
    followed, visibility = subscriber.followed, subscriber.visibility
    mirror = followed.mirror
    parts = list(in_parts(p for p in mirror.content.values() if sees(visibility, p)))
    return [
        Push(
            followed.name,
            visibility[0],
            None,
            mirror.version,
            part,
            parts_left=len(parts) - 1 - index,
            is_unreconciled=mirror.is_unsure,
            is_reset=subscriber.is_reset,
        )
        for index, part in enumerate(parts)
    ]


def _delta(
    followed: FollowedDatum, visibility: Visibility, start: Version, evaluated: Version
) -> list[Push] | None:
    """Return the visible changes since `evaluated`, as one push from the version `start`.

    Empty if there are none; None if the log no longer has them, or they are too large for one push.
    """
    steps = followed.log.since(evaluated)
    if steps is None:
        return None
    publishers, removals = _visible(steps, visibility)
    if not publishers and not removals:
        return []
    version = followed.mirror.version
    change = Change(start, version, tuple(publishers), tuple(removals))
    if not fit_one_record((change,)):
        return None
    return [Push(followed.name, visibility[0], start, version, change.publishers, change.removals)]


def _visible(
    steps: Iterable[Step], visibility: Visibility
) -> tuple[list[Publisher], list[Removal]]:
    """Join steps, as far as they are in scope: publishers that came or changed, and removals."""
    upserts: dict[bytes, Publisher | None] = {}
    former: dict[bytes, Publisher] = {}
    causes: dict[bytes, Removal | None] = {}
    for step in steps:
        former |= {
            publisher_id: p
            for publisher_id, p in step.former.items()
            if publisher_id not in upserts
        }
        upserts.update(step.upserts)
        for publisher_id, removal in step.removals.items():
            upserts[publisher_id] = None
            causes[publisher_id] = removal
    publishers: list[Publisher] = []
    removals: list[Removal] = []
    for publisher_id, publisher_now in upserts.items():
        if publisher_now is not None and sees(visibility, publisher_now):
            publishers.append(publisher_now)
        elif publisher_id in former and sees(visibility, former[publisher_id]):
            removals.append(_at_any_version(publisher_id, causes.get(publisher_id)))
    return publishers, removals


def _at_any_version(publisher_id: bytes, removal: Removal | None) -> Removal:
    """Return a removal for clients: it holds for each version, since a client follows the session.

    A publisher that moved out of scope has no removal of its own, and is pushed as absent.
    """
    gone = absent(publisher_id)
    if removal is None:
        return gone
    return Removal(publisher_id, gone.version, removal.cause, removal.session)
