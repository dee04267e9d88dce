"""Publications: which command the newest call leaves in the queue, and what events mean for it."""

from contextlib import nullcontext
from typing import TYPE_CHECKING, cast

import pytest

from zreg.client.core.commands import PublicationRefused, SetPublication, WithdrawPublication
from zreg.client.publication import Publication
from zreg.client.runtime.outgoing_queue import OutgoingQueue
from zreg.client.view.endpoint import Endpoint
from zreg.client.view.values import Value, unpack_value
from zreg.effects import Local
from zreg.errors import DeniedError, LimitError, UsageError
from zreg.model import DataInfoId
from zreg.wire.body import unpack_body

if TYPE_CHECKING:
    from collections.abc import Callable

    from zreg.client.runtime.threads.thread_runtime import ThreadRuntime

PAY = DataInfoId("pay#@#I#@#G")


class FakeConnection:
    """A connection whose host the test sets."""

    local_host: str | None = None

    def why_waiting(self) -> str:
        return "no session reached"


class FakeRuntime:
    """A queue without threads. Waiting fails at once, with the reason."""

    is_usable = True

    def __init__(self) -> None:
        self.lifecycle = self
        self.changed = nullcontext()
        self.connection = FakeConnection()
        self.outgoing = OutgoingQueue()
        self.is_full = False
        self.core_runner = self

    @property
    def is_running(self) -> bool:
        return self.is_usable

    def enter_process(self) -> None:
        return

    def check_open(self) -> None:
        assert self.is_usable

    def why_closed(self) -> str:
        return "" if self.is_usable else "this client was closed"

    def add_publication(self, publisher_id: bytes, listener: object) -> None:
        if self.is_full:
            raise UsageError("one client publishes at most 1 times")

    def publish(self, command: SetPublication) -> None:
        self.outgoing.put_publication(command)

    def withdraw(self, publisher_id: bytes) -> None:
        self.outgoing.put_withdrawal(publisher_id)

    def wait(
        self, condition: "Callable[[], bool]", timeout_seconds: float, why: "Callable[[], str]"
    ) -> None:
        assert condition(), why()


def publish(*values: Value, host: str | None = None) -> tuple[Publication, FakeRuntime]:
    runtime = FakeRuntime()
    runtime.connection.local_host = host
    publication = Publication(cast("ThreadRuntime", runtime), PAY, values, None)
    publication.submit()
    return publication, runtime


def queued(runtime: FakeRuntime) -> list[object]:
    """Take the commands; return the values of a publication, or the command itself."""
    return [shown(command) for command in runtime.outgoing.take_all()]


def shown(command: Local) -> object:
    if isinstance(command, SetPublication):
        return [unpack_value(value) for value in unpack_body(command.body).values]
    return command


def test_the_last_republish_is_the_only_one_that_leaves() -> None:
    publication, runtime = publish("a")
    publication.republish("b")
    publication.republish("c")

    assert queued(runtime) == [["c"]]
    assert publication.values == ("c",)


def test_a_publication_is_registered_when_the_registry_holds_its_newest_values() -> None:
    publication, runtime = publish("a")
    queued(runtime)
    publication.republish("b")

    publication._state.on_registered(3)
    assert not publication.is_registered
    assert publication.copies == 0
    queued(runtime)
    publication._state.on_registered(3)
    assert publication.is_registered
    assert publication.copies == 3
    assert publication.wait_registered() is publication


def test_an_unpublished_publication_keeps_its_id_only_if_the_core_never_had_it() -> None:
    publication, runtime = publish("a")
    first = publication.publisher_id
    publication.unpublish()
    publication.republish("b")
    assert (publication.publisher_id, queued(runtime)) == (first, [["b"]])

    publication.unpublish()
    publication.unpublish()
    publication.republish("c")
    assert publication.publisher_id != first
    assert queued(runtime) == [WithdrawPublication(first), ["c"]]


def test_a_republish_that_is_refused_leaves_an_unpublished_publication_as_it_is() -> None:
    publication, runtime = publish("a")
    queued(runtime)
    publication.unpublish()
    runtime.is_full = True

    with pytest.raises(UsageError, match="at most 1"):
        publication.republish("b")
    assert repr(publication).endswith(" withdrawn>")
    with pytest.raises(UsageError, match="was unpublished"):
        publication.wait_registered()


def test_an_endpoint_without_a_host_is_published_when_the_host_is_found() -> None:
    publication, runtime = publish("a")
    publication.republish(Endpoint(port=1))
    assert publication._state.needs_host

    assert queued(runtime) == [["a"]]
    publication._state.on_registered(3)
    assert not publication.is_registered
    with pytest.raises(AssertionError, match=r"machine's address is not known: no session"):
        publication.wait_registered()
    runtime.connection.local_host = "here"
    publication._state.on_host_found("here")
    assert queued(runtime) == [[Endpoint("here", 1)]]


def test_an_endpoint_is_published_again_only_if_the_host_differs() -> None:
    publication, runtime = publish(Endpoint(port=1), host="here")
    assert queued(runtime) == [[Endpoint("here", 1)]]

    publication._state.on_host_found("here")
    assert queued(runtime) == []
    runtime.connection.local_host = "there"
    publication._state.on_host_found("there")
    assert queued(runtime) == [[Endpoint("there", 1)]]


def test_a_wait_raises_a_final_refusal_and_names_one_for_now() -> None:
    publication, runtime = publish("a")
    queued(runtime)
    publication._state.on_refused(
        PublicationRefused(publication.publisher_id, 5, "later", is_final=False)
    )
    with pytest.raises(AssertionError, match="the client asks again; the last answer was: later"):
        publication.wait_registered()

    publication._state.on_refused(
        PublicationRefused(publication.publisher_id, 2, "no", is_final=True)
    )
    with pytest.raises(DeniedError, match="no"):
        publication.wait_registered()
    publication._state.on_registered(3)
    assert publication.wait_registered().is_registered


def test_a_publication_that_was_registered_is_no_longer_after_a_final_refusal() -> None:
    publication, runtime = publish("a")
    queued(runtime)
    publication._state.on_registered(3)

    refusal = PublicationRefused(publication.publisher_id, 4, "full", is_final=True)
    publication._state.on_refused(refusal)

    assert not publication.is_registered
    assert publication.copies == 0
    with pytest.raises(LimitError, match="full"):
        publication.wait_registered()


def test_a_publication_for_which_there_is_no_room_again_is_not_registered_meanwhile() -> None:
    publication, runtime = publish("a")
    queued(runtime)
    publication._state.on_registered(3)

    refusal = PublicationRefused(publication.publisher_id, 4, "full", is_final=False)
    publication._state.on_refused(refusal)
    assert not publication.is_registered
    publication._state.on_registered(2)
    assert publication.is_registered


def test_leaving_the_block_unpublishes_unless_the_client_is_closed() -> None:
    publication, runtime = publish("a")
    queued(runtime)
    with publication:
        runtime.is_usable = False
    assert queued(runtime) == []

    runtime.is_usable = True
    with publication as entered:
        assert entered is publication
    assert queued(runtime) == [WithdrawPublication(publication.publisher_id)]
