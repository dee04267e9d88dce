"""Which instances a program accepts: by version, tags and zone."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from zreg.client.balancing.instance import Instance
from zreg.client.view.endpoint import Endpoint
from zreg.errors import UsageError

Where = Callable[[Endpoint], object]


class Selection(msgspec.Struct, frozen=True):
    """What an instance has to be; None or empty: that does not matter."""

    version: str | None = None
    tags: frozenset[str] = frozenset()
    zone: str | None = None

    def matches(self, instance: Instance) -> bool:
        """Return whether the instance is what is wanted."""
        endpoint = instance.endpoint
        return (
            (self.version is None or endpoint.version == self.version)
            and self.tags <= endpoint.tags
            and (self.zone is None or instance.zone == self.zone)
        )

    def parts(self) -> Iterable[tuple[str, "Selection"]]:
        """Yield each thing that is wanted, as it is written, alone."""
        if self.version is not None:
            yield f"version={self.version!r:.80}", Selection(version=self.version)
        if self.tags:
            tags = ", ".join(repr(tag) for tag in sorted(self.tags))
            yield f"tags={{{tags:.80}}}", Selection(tags=self.tags)
        if self.zone is not None:
            yield f"zone={self.zone!r:.80}", Selection(zone=self.zone)


EVERY: Final = Selection()


def checked_selection(version: object, tags: object, zone: object) -> Selection:
    """Return what a program wants, `EVERY` for nothing; `UsageError` for what cannot be."""
    if version is None and zone is None and tags == ():
        # Mostly.
        return EVERY
    for name, text in (("version", version), ("zone", zone)):
        if text is not None and not isinstance(text, str):
            raise UsageError(f"{name} {text!r:.80} cannot be used: give text")
    is_set = isinstance(tags, Iterable) and not isinstance(tags, str | bytes | Mapping)
    wanted: tuple[object, ...] = tuple(tags) if is_set else ()  # type: ignore[arg-type]
    if not is_set or not all(isinstance(tag, str) for tag in wanted):
        raise UsageError(f"tags {tags!r:.80} cannot be used: give a set of texts, such as {{'eu'}}")
    selection = Selection(version, frozenset(wanted), zone)  # type: ignore[arg-type]  # checked above
    return EVERY if selection == EVERY else selection


def check_where(where: object) -> None:
    """Raise `UsageError` for a `where` that cannot be called."""
    if where is not None and not callable(where):
        raise UsageError(
            f"where {where!r:.80} cannot be called: give a function that takes an endpoint, such "
            "as lambda endpoint: endpoint.version >= '2'"
        )
