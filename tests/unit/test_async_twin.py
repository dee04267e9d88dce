"""The asyncio client has the names, signatures and sentences of the one with threads."""

import inspect
from collections.abc import Callable

import pytest

import zreg
from zreg.client.aio.async_settings import AsyncClientSettings
from zreg.client.lookups.client_settings import ClientSettings

TWINS = [
    (zreg.Client, zreg.AsyncClient),
    (zreg.Publication, zreg.AsyncPublication),
    (zreg.Subscription, zreg.AsyncSubscription),
    (zreg.Service, zreg.AsyncService),
    (ClientSettings, AsyncClientSettings),
]
# What a program awaits; all else is a plain call.
AWAITED = {
    "wait_connected",
    "wait_registered",
    "wait_for",
    "wait_until",
    "wait_up",
    "request",
    "drain",
    "list",
}
# The subscription and the service of a program end at once; only the client says goodbye.
AWAITED_BY_KIND = {zreg.Client: {*AWAITED, "close"}, ClientSettings: {*AWAITED, "get"}}
# Only a client with threads has a thread to keep callbacks off, and begins afresh in children.
ONLY_THREADS = {("subscribe", "inline"), ("publish", "in_children")}


def public_names(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def parameters(method: Callable[..., object], name: str) -> dict[str, tuple[object, object]]:
    return {
        each.name: (each.kind, each.default)
        for each in inspect.signature(method).parameters.values()
        if (name, each.name) not in ONLY_THREADS
    }


@pytest.mark.parametrize(("threads", "twin"), TWINS)
def test_both_have_the_same_names(threads: type, twin: type) -> None:
    assert public_names(threads) == public_names(twin)


@pytest.mark.parametrize(("threads", "twin"), TWINS)
def test_each_name_has_the_same_parameters_and_defaults(threads: type, twin: type) -> None:
    for name in {*public_names(threads), "__init__", "__call__"}:
        first, second = getattr(threads, name), getattr(twin, name)
        if name == "__init__" and threads is not zreg.Client:
            # Users make clients only.
            continue
        if not inspect.isfunction(first):
            assert type(first) is type(second), name
            continue
        assert parameters(first, name) == parameters(second, name), name


@pytest.mark.parametrize(("threads", "twin"), TWINS)
def test_exactly_what_waits_is_awaited(threads: type, twin: type) -> None:
    expected = AWAITED_BY_KIND.get(threads, AWAITED)
    awaited = {n for n in public_names(twin) if inspect.iscoroutinefunction(getattr(twin, n))}
    assert awaited == expected & public_names(threads)
    assert not any(inspect.iscoroutinefunction(getattr(threads, n)) for n in public_names(threads))


@pytest.mark.parametrize(
    ("threads", "twin"), [each for each in TWINS if each[0] is not ClientSettings]
)
def test_each_is_a_context_manager_of_its_own_kind(threads: type, twin: type) -> None:
    assert hasattr(threads, "__enter__")
    assert hasattr(twin, "__aenter__")
    # Two ways would leave readers in doubt which one waits.
    assert not hasattr(threads, "__aenter__")
    assert not hasattr(twin, "__enter__")


@pytest.mark.parametrize(("threads", "twin"), TWINS)
def test_the_first_sentences_are_the_same(threads: type, twin: type) -> None:
    for name in public_names(threads):
        first, second = inspect.getdoc(getattr(threads, name)), inspect.getdoc(getattr(twin, name))
        if name == "changes":
            continue
        assert first is not None, name
        assert second is not None, name
        assert first.split(".")[0].split(";")[0] == second.split(".")[0].split(";")[0], name
