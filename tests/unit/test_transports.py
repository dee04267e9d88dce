"""The urls of registries in memory."""

from typing import Any

import pytest

from zreg.client.handles.client_handle import settings_of
from zreg.client.locating import transports
from zreg.errors import UsageError

URL = "fake://here"


def new_node(*_arguments: Any, **_named: Any) -> Any:
    raise AssertionError("no client is made")


@pytest.fixture(autouse=True)
def own_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transports, "_new_nodes", {})


def settings(url: str) -> Any:
    return settings_of(url, cluster=None, zone=None, data_center=None, app=None, config=None)


def test_a_url_that_was_added_has_its_own_nodes() -> None:
    transports.add_registry(URL, new_node)

    assert settings(URL).addresses == (URL,)
    assert transports.new_node_without_zmq((URL,)) is new_node


def test_other_urls_are_reached_with_zeromq() -> None:
    assert settings("zreg://h:1").addresses == ("tcp://h:1",)
    assert transports.new_node_without_zmq(("tcp://h:1",)) is None
    with pytest.raises(UsageError, match="is not text"):
        settings(5)  # type: ignore[arg-type]


def test_a_url_that_this_process_does_not_have_is_refused_with_the_reason() -> None:
    with pytest.raises(UsageError, match="memory of one process, and this process has none"):
        settings(URL)

    transports.add_registry(URL, new_node)
    transports.remove_registry(URL)

    with pytest.raises(UsageError, match="zreg://HOST"):
        settings(URL)


def test_two_registries_with_one_url_are_refused() -> None:
    transports.add_registry(URL, new_node)

    with pytest.raises(UsageError, match="give another name"):
        transports.add_registry(URL, new_node)


def test_an_empty_url_is_refused_and_not_the_default() -> None:
    with pytest.raises(UsageError, match="url '' does not start with zreg://"):
        settings("")
