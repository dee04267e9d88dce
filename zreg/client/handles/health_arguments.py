"""Check what `publish` and `heartbeat` are told of health, so that nothing fails later."""

from collections.abc import Callable

from zreg.client.arguments import checked_seconds
from zreg.client.health.instance_health import WhenUnhealthy
from zreg.client.health.verdict import CheckRules
from zreg.client.runtime.health.heartbeat import Heartbeat
from zreg.client.runtime.health.watch import HealthPlan
from zreg.errors import UsageError


def plan_of(
    source: object,
    *,
    interval_seconds: object,
    timeout_seconds: object,
    failures_max: object,
    when_unhealthy: object,
    check_function: Callable[[object], None],
) -> HealthPlan:
    """Return how a publication is checked; `UsageError` for what cannot be."""
    interval = checked_seconds(interval_seconds, "health_interval_seconds")
    timeout = checked_seconds(timeout_seconds, "health_timeout_seconds")
    if timeout > interval:
        raise UsageError(
            f"health_timeout_seconds {timeout:g} is longer than health_interval_seconds "
            f"{interval:g}: a check has to end before the next one begins"
        )
    if not isinstance(failures_max, int) or isinstance(failures_max, bool) or failures_max < 1:
        raise UsageError(
            f"health_failures_max {failures_max!r:.80} is no count: give a whole number from 1 on"
        )
    if not isinstance(source, Heartbeat):
        check_function(source)
    rules = CheckRules(
        interval_seconds=interval,
        timeout_seconds=timeout,
        failures_max=failures_max,
        when_unhealthy=_checked_consequence(when_unhealthy),
    )
    return HealthPlan(source, rules)  # type: ignore[arg-type]  # it can be called


def new_heartbeat(timeout_seconds: object) -> Heartbeat:
    """Return a heartbeat that has just beaten; `UsageError` for a timeout that cannot be."""
    return Heartbeat(checked_seconds(timeout_seconds, "timeout_seconds"))


def _checked_consequence(given: object) -> WhenUnhealthy:
    try:
        return WhenUnhealthy(given)
    except ValueError:
        names = ", ".join(f"zreg.WhenUnhealthy.{each.name}" for each in WhenUnhealthy)
        raise UsageError(f"when_unhealthy {given!r:.80} cannot be used: give {names}") from None
