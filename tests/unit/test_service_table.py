"""The services that an HTTP client calls by name."""

from typing import Any

import pytest
from service_fakes import FakeSubscription, make_service

from zreg.client.service import Service
from zreg.client.view.endpoint import Endpoint
from zreg.errors import UsageError
from zreg.integrations import service_table
from zreg.integrations.service_table import ServiceTable, Target, target_of


def table(**options: Any) -> tuple[ServiceTable[Service], list[tuple[str, dict[str, Any]]]]:
    followed: list[tuple[str, dict[str, Any]]] = []

    def follow(name: str, **rest: Any) -> Service:
        followed.append((name, rest))
        return make_service("a:1")[0]

    return ServiceTable(follow, **options), followed


@pytest.mark.parametrize(
    ("scheme", "host", "name"),
    [
        ("http", "orders.zreg", "orders"),
        ("https", "v1.orders.zreg", "v1.orders"),
        ("zreg", "orders", "orders"),
        ("zreg", "orders.zreg", "orders"),
        ("http", "orders", None),
        ("http", ".zreg", None),
        ("http", "zreg", None),
        ("http", "orders.zreg.example", None),
        ("http", "", None),
    ],
)
def test_a_url_names_a_service_or_a_host(scheme: str, host: str, name: str | None) -> None:
    assert table()[0].name_of(scheme, host) == name


def test_a_service_is_followed_once_with_the_options_of_services() -> None:
    services, followed = table(retries=1, zone_first=True, group="G")

    assert services.find("orders") is services.find("orders")
    assert followed == [("orders", {"zone_first": True, "group": "G"})]
    services.close()
    assert services.find("orders")
    assert len(followed) == 2


def test_threads_that_follow_a_service_at_once_share_one() -> None:
    made: list[Service] = []

    def follow(name: str) -> Service:
        service, subscription, _ = make_service("a:1")
        made.append(service)
        subscriptions.append(subscription)
        if len(made) == 1:
            # Another thread comes in between.
            assert services.find(name) is made[1]
        return service

    subscriptions: list[FakeSubscription] = []
    services = ServiceTable(follow)

    assert services.find("orders") is made[1]
    assert [each.is_closed for each in subscriptions] == [True, False]


def test_names_from_outside_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_table, "_SERVICES_MAX", 2)
    services, _ = table()
    services.find("a")
    services.find("b")

    with pytest.raises(UsageError, match="2 services are followed already"):
        services.find("c")
    assert services.find("b")


def test_the_first_call_waits_and_the_next_ones_do_not() -> None:
    services, _ = table()
    assert not services.was_awaited("orders")

    with services.awaiting("orders"):
        assert not services.was_awaited("orders")
    assert services.was_awaited("orders")

    with pytest.raises(ZeroDivisionError), services.awaiting("pay"):
        1 / 0  # noqa: B018 -- the wait fails
    assert services.was_awaited("pay")


def test_an_instance_may_name_its_scheme() -> None:
    secure = Endpoint("a", 1, metadata={"scheme": "https"})

    assert target_of(secure, "http") == Target("https", "a", 1)
    assert target_of(Endpoint("a", 1), "https") == Target("https", "a", 1)
    assert target_of(Endpoint("::1", 1), "zreg") == Target("http", "::1", 1)
    assert target_of(Endpoint("a", 1, metadata={"scheme": "file"}), "http") == Target(
        "http", "a", 1
    )
