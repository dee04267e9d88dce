"""Services: which endpoint is picked, which is set aside, which value is skipped."""

from collections import Counter
from random import Random

import pytest
from service_fakes import make_service, picks, shares

from zreg.client.balancing.policy import Policy
from zreg.client.view.endpoint import Endpoint
from zreg.client.view.values import Value
from zreg.errors import NoInstanceError, UsageError


def test_equal_weights_take_turns() -> None:
    service, _, _ = make_service("a:1", "b:1", Endpoint("c", 1))

    assert picks(service, 6) == "a b c a b c"


def test_weights_are_spread_smoothly() -> None:
    service, _, _ = make_service("a:1?weight=5", "b:1?weight=1", "c:1?weight=1")

    for _ in range(3):
        turns = picks(service, 7)
        assert Counter(turns.split()) == {"a": 5, "b": 1, "c": 1}
        assert turns.startswith("a a")
        assert turns.endswith("a a")


def test_an_instance_without_weight_is_never_picked() -> None:
    service, _, _ = make_service("a:1?weight=0", "b:1")

    assert picks(service, 3) == "b b b"
    assert [endpoint.host for endpoint in service.endpoints] == ["a", "b"]


def test_an_instance_that_failed_is_set_aside_for_five_seconds() -> None:
    service, _, clock = make_service("a:1", "b:1")
    failed = service.pick()

    service.report(failed, ok=False)
    assert shares(service, 4) == {"b": 4}
    clock.now += 4.9
    assert shares(service, 4) == {"b": 4}
    clock.now += 0.1
    assert shares(service, 4) == {"a": 2, "b": 2}


def test_an_instance_that_is_reported_as_working_is_picked_again_at_once() -> None:
    service, _, _ = make_service("a:1", "b:1")
    service.report(Endpoint("a", 1), ok=False)
    service.report(Endpoint("a", 1), ok=False)
    assert picks(service, 2) == "b b"

    service.report(Endpoint("a", 1), ok=True)
    service.report(Endpoint("unknown", 1), ok=True)

    assert shares(service, 4) == {"a": 2, "b": 2}


def test_a_report_before_the_first_pick_counts() -> None:
    service, _, _ = make_service("a:1", "b:1")

    service.report(Endpoint("a", 1), ok=False)

    assert picks(service, 2) == "b b"


def test_of_two_that_fail_the_one_that_failed_last_is_set_aside() -> None:
    service, _, _ = make_service("a:1", "b:1")
    for host in ("a", "b", "a"):
        service.report(Endpoint(host, 1), ok=False)

    assert picks(service, 2) == "b b"
    assert service.statistics()["ejected"] == 1
    assert repr(service) == "<Service orders#@#I#@#G instances=2 ejected=1>"


def test_the_only_instance_is_picked_also_after_it_failed() -> None:
    service, _, _ = make_service("a:1", "b:1?weight=0")
    service.report(Endpoint("a", 1), ok=False)

    assert picks(service, 2) == "a a"


def test_an_instance_that_stays_keeps_its_pause_when_the_view_changes() -> None:
    service, subscription, _ = make_service("a:1", "b:1")
    service.report(Endpoint("a", 1), ok=False)

    subscription.set("a:1?weight=7", "b:1", "c:1")

    assert shares(service, 4) == {"b": 2, "c": 2}


def test_a_value_that_is_not_an_endpoint_is_skipped_and_counted() -> None:
    service, _, _ = make_service("hello", b"bytes", Endpoint(port=3), "a:1")

    assert picks(service, 2) == "a a"
    assert service.skipped_count == 3


def test_a_text_with_options_of_a_newer_program_is_an_endpoint() -> None:
    service, _, _ = make_service("a:1?slot=7&weight=3")

    assert service.endpoints == (Endpoint("a", 1, weight=3),)


def test_a_change_of_one_publisher_leaves_the_other_endpoints_as_they_are() -> None:
    service, subscription, _ = make_service("a:1", "b:1", "no")
    kept = service.endpoints[0]

    subscription.set("a:1", "b:1?weight=7", "c:1")

    assert [each.text for each in service.endpoints] == ["a:1", "b:1?weight=7", "c:1"]
    assert service.endpoints[0] is kept
    assert service.skipped_count == 0


def test_of_two_publishers_of_one_address_the_last_one_counts() -> None:
    service, subscription, _ = make_service("a:1?weight=3", "a:1?weight=5", "b:1")
    assert [each.text for each in service.endpoints] == ["a:1?weight=5", "b:1"]

    subscription.set("a:1?weight=3")

    assert [each.text for each in service.endpoints] == ["a:1?weight=3"]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ((), r"connected to the session.*call wait_up\(\) first.*host:port"),
        (
            ("h",),
            "1 published value is no endpoint, for example: 'h' is not an endpoint: it has no",
        ),
        (
            (b"x", Endpoint(port=3)),
            "2 published values are no endpoints, for example: b'x' is byte",
        ),
        (("a:1?weight=0", Endpoint("b", 1, weight=0)), "all 2 have weight 0, so they are drained"),
    ],
)
def test_the_error_without_an_instance_says_what_is_in_the_way(
    values: tuple[Value, ...], sentence: str
) -> None:
    service, _, _ = make_service(*values)

    with pytest.raises(NoInstanceError, match=sentence):
        service.pick()


@pytest.mark.parametrize(
    ("filters", "sentence"),
    [
        ({"version": "3"}, "2 published; version='3' matches 0 of 2"),
        ({"tags": {"x", "y"}}, r"tags=\{'x', 'y'\} matches 0 of 2$"),
        ({"zone": "q"}, "zone='q' matches 0 of 2$"),
        (
            {"version": "2", "tags": ["x"], "zone": "z"},
            r"version='2' matches 1 of 2; tags=\{'x'\} matches 1 of 2$",
        ),
        ({"version": "1", "where": lambda _: False}, "matches 1 of 2; where accepts none of 1$"),
    ],
)
def test_the_error_says_which_filter_leaves_no_instance(
    filters: dict[str, object], sentence: str
) -> None:
    service, _, _ = make_service(("a:1?version=1&tag=x", "z"), ("b:1?version=2&tag=y", "z"))

    with pytest.raises(NoInstanceError, match=sentence):
        service.pick(**filters)  # type: ignore[arg-type]
    assert picks(service, 2) == "a b"


FILTERED = (
    ("a:1?version=1&tag=x&tag=y", "n"),
    ("b:1?version=2&tag=x", "n"),
    ("c:1?version=2&tag=x&tag=y", "s"),
    ("d:1?version=2&weight=0&tag=x", "s"),
)


@pytest.mark.parametrize(
    ("filters", "hosts"),
    [
        ({}, "abc"),
        ({"version": "2"}, "bc"),
        ({"tags": ("y",)}, "ac"),
        ({"tags": {"x", "y"}, "version": "2"}, "c"),
        ({"zone": "n"}, "ab"),
        ({"where": lambda endpoint: endpoint.host != "b"}, "ac"),
        ({"zone": "n", "where": lambda endpoint: endpoint.host != "b"}, "a"),
    ],
)
def test_filters_of_a_pick_and_of_a_service_accept_the_same(
    filters: dict[str, object], hosts: str
) -> None:
    service, _, _ = make_service(*FILTERED)
    found = {str(service.pick(**filters).host) for _ in range(8)}  # type: ignore[arg-type]
    assert found == set(hosts)

    filtered, _, _ = make_service(*FILTERED, **filters)

    assert set(picks(filtered, 8).split()) == set(hosts)


def test_a_filter_of_the_service_and_one_of_the_pick_both_hold() -> None:
    service, _, _ = make_service(*FILTERED, version="2", where=lambda each: each.host != "c")

    assert {service.pick(tags={"x"}).host for _ in range(4)} == {"b"}
    assert [each.host for each in service.endpoints] == ["b", "c", "d"]
    with pytest.raises(NoInstanceError, match="version='2' matches 3 of 4; version='1' matches 1"):
        service.pick(version="1")


def test_a_function_of_the_program_is_called_without_the_lock() -> None:
    service, _, _ = make_service("a:1", "b:1")
    is_held: list[bool] = []

    def where(endpoint: Endpoint) -> bool:
        is_held.append(service._lock._is_owned())  # type: ignore[attr-defined]  # CPython has it
        return service.pick(version="") != endpoint

    with pytest.raises(NoInstanceError, match="where accepts none of 2"):
        service.pick(where=where)
    assert is_held == [False, False]


def test_a_filter_that_all_exclude_but_those_set_aside_picks_one_of_them() -> None:
    service, _, _ = make_service("a:1?version=1", "b:1", "c:1", "d:1")
    service.report(Endpoint("a", 1), ok=False)

    assert service.pick(version="1").host == "a"
    assert service.pick(where=lambda endpoint: endpoint.version == "1").host == "a"
    assert set(picks(service, 6).split()) == {"b", "c", "d"}


@pytest.mark.parametrize(
    ("filters", "sentence"),
    [
        ({"version": 2}, "version 2 cannot be used: give text"),
        ({"zone": b"z"}, "zone b'z' cannot be used: give text"),
        ({"tags": "blue"}, "tags 'blue' cannot be used: give a set of texts"),
        ({"tags": {1}}, r"tags \{1\} cannot be used"),
        ({"where": "blue"}, "where 'blue' cannot be called"),
        ({"key": 1.5}, "key 1.5 cannot be used: give text, bytes or a whole number"),
    ],
)
def test_an_argument_of_pick_that_cannot_be_used_is_refused(
    filters: dict[str, object], sentence: str
) -> None:
    service, _, _ = make_service("a:1")

    with pytest.raises(UsageError, match=sentence):
        service.pick(**filters)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=sentence), service.lease(**filters):  # type: ignore[arg-type]
        pass


def test_a_key_picks_the_same_instance_with_any_policy() -> None:
    values = [f"h{number}:1" for number in range(5)]
    keyed, _, _ = make_service(*values, policy=Policy.CONSISTENT_HASH)
    plain, _, _ = make_service(*reversed(values))

    assert [keyed.pick(n) for n in range(50)] == [plain.pick(str(n)) for n in range(50)]
    assert keyed.pick(7, where=lambda each: True) == keyed.pick(b"7")
    with pytest.raises(UsageError, match=r"picks by a key: give pick\(key=\.\.\.\)"):
        keyed.pick()


def test_the_own_zone_comes_first_while_it_has_enough_instances() -> None:
    published = (("a:1", "n"), ("b:1", "n"), ("c:1", "s"), ("d:1", "s"))
    service, subscription, clock = make_service(
        *published, own_zone="n", zone_first=True, zone_min=2
    )
    assert picks(service, 4) == "a b a b"

    service.report(Endpoint("a", 1), ok=False)
    assert set(picks(service, 6).split()) == {"b", "c", "d"}
    assert service.pick(zone="s", where=lambda each: each.host != "c").host == "d"
    clock.now += 5.0
    assert set(picks(service, 4).split()) == {"a", "b"}
    subscription.set(("a:1?weight=0", "n"), ("b:1?weight=0", "n"), *published[2:])
    assert set(picks(service, 4).split()) == {"c", "d"}


def test_the_own_zone_comes_first_with_a_key_and_with_a_function_too() -> None:
    published = (("a:1", "n"), ("b:1", "s"), ("c:1", "s"))
    service, _, _ = make_service(*published, own_zone="n", zone_first=True)

    assert {service.pick(number).host for number in range(20)} == {"a"}
    assert {service.pick(where=lambda each: True).host for _ in range(4)} == {"a"}
    assert {service.pick(where=lambda each: each.host != "a").host for _ in range(4)} == {"b", "c"}


def test_wait_up_counts_instances() -> None:
    service, subscription, _ = make_service("a:1", b"no")

    assert service.wait_up() is service
    with pytest.raises(
        AssertionError, match="1 of 2 instances are there; 1 published value is no endpoint"
    ):
        service.wait_up(2)
    assert service.view is subscription.view
    assert repr(service) == "<Service orders#@#I#@#G instances=1>"


def test_wait_up_does_not_count_instances_without_weight() -> None:
    service, _, _ = make_service("a:1?weight=0", "b:1?version=2", version="2")

    assert service.wait_up() is service
    with pytest.raises(AssertionError, match="1 of 2 instances are there; version='2' matches 1"):
        service.wait_up(2)
    drained, _, _ = make_service("a:1?weight=0")
    with pytest.raises(AssertionError, match="0 of 1 instances are there; all 1 have weight 0"):
        drained.wait_up()


def test_leaving_the_block_closes_the_subscription() -> None:
    service, subscription, _ = make_service()
    with service as entered:
        assert entered is service

    assert subscription.is_closed


@pytest.mark.parametrize("argument", ["a:1", None, 5])
def test_only_an_endpoint_can_be_reported(argument: object) -> None:
    service, _, _ = make_service("a:1")

    with pytest.raises(UsageError, match=r"report what pick\(\) returned"):
        service.report(argument, ok=False)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"min_up .* is no count"):
        service.wait_up("1")  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", ["1", True, -1, float("inf"), float("nan")])
def test_a_time_that_no_call_took_is_refused(seconds: object) -> None:
    service, _, _ = make_service("a:1")

    with pytest.raises(UsageError, match="give how long the call took"):
        service.report(Endpoint("a", 1), ok=True, seconds=seconds)  # type: ignore[arg-type]


def test_statistics_count_instances_and_calls() -> None:
    service, _, _ = make_service(("a:1", "z"), "b:1?weight=0", b"no", policy=Policy.RANDOM)
    service.report(Endpoint("a", 1), ok=True, seconds=0.1)
    service.report(Endpoint("a", 1), ok=False)

    with service.lease():
        statistics = service.statistics()

    assert statistics == {
        "policy": "random",
        "own_zone": "z",
        "instances": 2,
        "in_own_zone": 1,
        "drained": 1,
        "ejected": 0,
        "in_flight": 1,
        "calls": 2,
        "failures": 1,
        "skipped": 1,
        "unreadable": 0,
    }


def test_a_program_that_asks_for_ever_new_filters_keeps_only_some_of_their_pools() -> None:
    service, subscription, _ = make_service("a:1?version=1", "b:1?version=2")
    for number in range(100):
        with pytest.raises(NoInstanceError):
            service.pick(zone=str(number))
        assert service.pick(version="2").host == "b"
    pools = service._balancer._pools
    assert len(pools) == 32

    subscription.set("a:1?version=2")

    assert service.pick(version="2").host == "a"
    assert {service.pick(tags=set()).host, service.pick(tags=[]).host} == {"a"}
    assert len(pools) == 32


def test_a_failure_whose_time_is_not_known_does_not_bar_an_instance() -> None:
    service, _, clock = make_service("a:1", "b:1", policy=Policy.TWO_CHOICES, rng=Random(1))
    service.report(Endpoint("a", 1), ok=False)
    assert set(picks(service, 9).split()) == {"b"}
    clock.now += 5.0

    assert set(picks(service, 20).split()) == {"a", "b"}


def test_a_signal_handler_may_pick_in_the_middle_of_an_update() -> None:
    service, subscription, _ = make_service("a:1", "b:1")
    service.pick()
    hosts: list[str | None] = []

    subscription.set("a:1", "b:1", "c:1")
    renew = service._balancer.renew

    def renew_interrupted(*arguments: object) -> None:
        hosts.append(service.pick(zone="").host)
        renew(*arguments)  # type: ignore[arg-type]
        hosts.append(service.pick(zone="").host)

    service._balancer.renew = renew_interrupted  # type: ignore[method-assign]

    assert len(service.endpoints) == 3
    assert len(hosts) == 2
    assert set(picks(service, 6).split()) == {"a", "b", "c"}


def test_with_fewer_instances_fewer_are_set_aside() -> None:
    service, subscription, _ = make_service("a:1", "b:1", "c:1", "d:1")
    for host in ("a", "b"):
        service.report(Endpoint(host, 1), ok=False)
    assert set(picks(service, 6).split()) == {"c", "d"}

    subscription.set("a:1", "b:1")

    assert service.statistics()["ejected"] == 1
    assert set(picks(service, 4).split()) == {"a"}


def test_instances_that_are_all_set_aside_take_turns() -> None:
    service, _, _ = make_service("a:1?version=1", "b:1?version=1", "c:1", "d:1")
    for host in ("a", "b"):
        service.report(Endpoint(host, 1), ok=False)

    assert [service.pick(version="1").host for _ in range(4)] == ["a", "b", "a", "b"]
    assert len({service.pick("key", version="1").host for _ in range(4)}) == 1


def test_a_publisher_that_moves_to_another_zone_is_found_there() -> None:
    service, subscription, _ = make_service(("a:1", "n"), ("b:1", "s"))
    assert service.pick(zone="n").host == "a"

    subscription.set(("a:1", "s"), ("b:1", "n"))

    assert service.pick(zone="n").host == "b"
