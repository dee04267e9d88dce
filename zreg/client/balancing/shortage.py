"""Why a service has fewer instances than a program wants, in sentences for people."""

from collections.abc import Iterable

from zreg.client.balancing.balancer import Balancer
from zreg.client.balancing.selection import EVERY, Selection


def what_is_in_the_way(
    balancer: Balancer, *, unreadable_count: int = 0, wanted: Selection = EVERY
) -> list[str]:
    """Return what keeps published values from being picked; empty if nothing does."""
    return [
        *_filters(balancer, wanted),
        *_drained(balancer, wanted),
        *_skipped(balancer, unreadable_count),
    ]


def _filters(balancer: Balancer, wanted: Selection) -> Iterable[str]:
    """Yield how many instances each filter accepts, if one of them accepts fewer than all."""
    instances = list(balancer.table)
    for name, part in (*balancer.base.parts(), *wanted.parts()):
        count = sum(map(part.matches, instances))
        if count < len(instances):
            yield f"{name} matches {count} of {len(instances)}"


def _drained(balancer: Balancer, wanted: Selection) -> Iterable[str]:
    matching = [
        each for each in balancer.table if balancer.base.matches(each) and wanted.matches(each)
    ]
    drained = [each for each in matching if not each.endpoint.weight]
    if drained and len(drained) == len(matching):
        yield (f"all {len(drained)} have weight 0, so they are drained; give one a weight above 0")
    elif drained:
        yield f"{len(drained)} of {len(matching)} have weight 0, so they are drained"


def _skipped(balancer: Balancer, unreadable_count: int) -> Iterable[str]:
    table = balancer.table
    if table.skipped_count:
        are = "value is no endpoint" if table.skipped_count == 1 else "values are no endpoints"
        yield f"{table.skipped_count} published {are}, for example: {table.first_objection()}"
    if unreadable_count:
        yield f"{unreadable_count} publishers cannot be read, perhaps as they use a newer zreg"
