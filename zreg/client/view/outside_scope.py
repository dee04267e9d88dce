"""What is published under an id, but not where a subscription looks: a sentence for people."""

from collections import Counter
from typing import Final

from zreg.client.view.view import View
from zreg.model import Scope

# So many places are named, those with the most publishers first.
_PLACES_MAX: Final = 3


def what_is_outside(
    view: View, everywhere: View, *, scope: Scope, zone: str, data_center: str
) -> str:
    """Return what the view of all publishers has beyond a view in this scope; empty if not known.

    `zone` and `data_center` are the labels that the client gave; a session fills in missing ones.
    """
    if not (view.is_known and everywhere.is_known):
        return ""
    outside = [each for each in everywhere if view.find(each.publisher_id) is None]
    if not outside:
        return "" if len(everywhere) else "no program publishes this id, in any data center"
    places = Counter((each.data_center, each.zone) for each in outside)
    named = [
        f"{count} in data center {place[0]!r}, zone {place[1]!r}"
        for place, count in places.most_common(_PLACES_MAX)
    ]
    if len(places) > _PLACES_MAX:
        named.append(f"the others in {len(places) - _PLACES_MAX} more zones")
    own = [("data center", data_center), *([("zone", zone)] if scope is Scope.ZONE else [])]
    labels = [f"{name} {label!r}" if label else f"the {name} of its session" for name, label in own]
    is_near = {place[0] for place in places} == {data_center}
    wider = Scope.DATA_CENTER if scope is Scope.ZONE and is_near else Scope.GLOBAL
    return (
        f"{len(outside)} more outside of scope {scope.name}: {', '.join(named)}; this client is in "
        f"{', '.join(labels)}: use scope=zreg.Scope.{wider.name} to get them, or check the labels"
    )
