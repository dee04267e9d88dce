"""What choosing an instance costs: microseconds of processor time per pick, without a registry.

    python bench/picks.py --counts 3 100 1000

It prints a JSON line for each number of instances: a pick by each policy, a lease, and the first
pick after one of the instances has changed. Picks of the round robin are those of `service()`
without options.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from zreg import model
from zreg.client.handles import instance_picker as services
from zreg.client.service import Service
from zreg.client.view.values import pack_values
from zreg.client.view.view import UNKNOWN_VIEW, View
from zreg.model import DataInfoId, Incarnation, Version

_SECONDS: Final = 0.3


class Followed:
    """A subscription whose view the benchmark sets."""

    data_info_id = DataInfoId("orders#@#I#@#G")
    own_zone = "a"

    def __init__(self, view: View) -> None:
        self.view = view


def record_of(number: int, weight: int = 100) -> model.Publisher:
    """Return a registration of one instance."""
    text = f"10.0.{number >> 8}.{number & 255}:8080?weight={weight}&version=1.4&tag=eu"
    body = pack_values([text], attributes={}, host=None, registered_at=1.0)
    publisher_id = number.to_bytes(16)
    return model.Publisher(publisher_id, 1, b"m" * 16, Incarnation(1, "s"), "a", "", "", body)


def view_of(count: int) -> View:
    """Return a view with so many instances of different weights."""
    records = {}
    for number in range(count):
        record = record_of(number, weight=100 + number % 3 * 50)
        records[record.publisher_id] = record
    return UNKNOWN_VIEW.with_changes(records, (), version=Version(1, 1), stale_since=None)


def cost_us(call: Callable[[], object]) -> float:
    """Return the processor time of a call, in microseconds."""
    call()
    done, repeats = 0, 8
    began = time.process_time()
    while (spent := time.process_time() - began) < _SECONDS:
        for _ in range(repeats):
            call()
        done += repeats
        repeats = min(1024, repeats * 2)
    return round(spent / done * 1e6, 2)


def service_of(count: int, **options: Any) -> Any:  # noqa: ANN401 -- earlier versions have no options
    """Return a service with so many instances."""
    followed: Any = Followed(view_of(count))
    if not options:
        return Service(followed)
    return Service(followed, services.Balancing(**options))


def change_cost_us(count: int) -> Mapping[str, float]:
    """Return what a change of one instance costs: the new view alone, and with the first pick."""
    service = service_of(count)
    followed = service._subscription  # noqa: SLF001 -- it is this benchmark's own
    weights = iter(range(100, 10_000_000))

    def change() -> None:
        record = record_of(1, weight=100 + next(weights) % 9000)
        followed.view = followed.view.with_changes(
            {record.publisher_id: record}, (), version=Version(1, 1), stale_since=None
        )
        len(followed.view)

    def change_and_pick() -> None:
        change()
        service.pick()

    alone = cost_us(change)
    return {"change": alone, "change_and_pick": cost_us(change_and_pick)}


def policy_costs_us(count: int) -> Mapping[str, float]:
    """Return what picks cost with each policy; nothing for versions that have no policies."""
    policies = getattr(services, "Policy", ())
    costs: dict[str, float] = {}
    for policy in policies:
        service = service_of(count, policy=policy)
        keys = iter(range(1 << 60))
        if policy.value == "consistent_hash":
            costs["new_key"] = cost_us(lambda s=service, k=keys: s.pick(next(k)))
            costs[policy.value] = cost_us(lambda s=service: s.pick("a key"))
            continue
        costs[policy.value] = cost_us(service.pick)

        def lease(service: Any = service) -> None:  # noqa: ANN401 -- as above
            with service.lease():
                pass

        costs[f"{policy.value}_lease"] = cost_us(lease)
    if policies:
        service = service_of(count, zone_first=True)
        costs["zone_first"] = cost_us(service.pick)
        costs["version_and_tags"] = cost_us(lambda: service.pick(version="1.4", tags={"eu"}))
        costs["where"] = cost_us(lambda: service.pick(where=lambda each: each.port == 8080))
    return costs


def main() -> None:
    """Print the costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[3, 100, 1000])
    parser.add_argument("--only-default", action="store_true", help="leave out the policies")
    options = parser.parse_args()
    for count in options.counts:
        line: dict[str, float] = {"instances": count, "pick": cost_us(service_of(count).pick)}
        line |= change_cost_us(count)
        if not options.only_default:
            line |= policy_costs_us(count)
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
