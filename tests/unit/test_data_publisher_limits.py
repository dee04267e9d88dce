"""A data node refuses new publishers beyond its limits, and still takes what it has to take."""

import pytest
import test_data_core
from msgspec.structs import replace
from strategies import make_publisher
from test_data_core import (
    CONFIG,
    NAME,
    ONE,
    OTHER,
    P1,
    P2,
    ask,
    held,
    make_reconciled,
    publish,
    refused,
    to,
    unpublish,
)

from zreg.data.core import DataCore
from zreg.effects import WARNING, Log
from zreg.errors import LimitError
from zreg.health import Harm
from zreg.model import ZERO, Change, DataInfoId, Version
from zreg.wire.records.common_messages import Accepted
from zreg.wire.records.data_messages import PublishDatum

P3 = b"\x03" * 16
NODE_FULL = (
    "the data node that owns this id holds 2 publishers, as many as it takes: add a data node, or "
    "raise publishers_max on the data nodes"
)
DATUM_FULL = (
    "this id has 2 publishers, as many as it may have: publish under several ids, or raise "
    "publishers_per_datum_max on the data nodes"
)


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the cores of a test take two publishers."""
    monkeypatch.setattr(test_data_core, "CONFIG", replace(CONFIG, publishers_max=2))


@pytest.fixture
def datum_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the ids of a test have two publishers each."""
    monkeypatch.setattr(test_data_core, "CONFIG", replace(CONFIG, publishers_per_datum_max=2))


def make_full(name: DataInfoId = NAME) -> DataCore:
    """Return a core with two publishers."""
    core = make_reconciled()
    publish(core, P1)
    publish(core, P2, name=name, request_id=2)
    core.settle(0.0)
    return core


def third(request_id: int = 3, name: DataInfoId = NAME) -> PublishDatum:
    return PublishDatum(request_id, name, make_publisher(P3, session=test_data_core.S1))


def problems(core: DataCore, now: float = 0.0) -> dict[str, Harm]:
    return {problem.code: problem.harm for problem in core.health(now).problems}


@pytest.mark.usefixtures("limits")
def test_a_full_node_refuses_a_new_publisher_of_any_id_and_says_what_to_do() -> None:
    core = make_full(OTHER)

    log = Log(WARNING, "data.publishers.full", {"publishers": 2, "refused": 1})
    assert ask(core, third()) == [log, refused(3, LimitError, NODE_FULL)]

    assert core.settle(0.0) == []
    assert P3 not in held(core)
    assert core.statistics()["publishers_refused"] == 1
    assert problems(core) == {"publishers-full": Harm.DEGRADES}


@pytest.mark.usefixtures("limits")
def test_a_full_node_takes_new_states_of_what_it_holds_and_removals() -> None:
    core = make_full()

    newer = publish(core, P1, version=2, request_id=3)
    assert held(core)[P1] == newer
    assert core.settle(0.0)[-1] == to(ONE, Accepted((3,)))
    assert core.statistics()["publishers_refused"] == 0
    unpublish(core, P2, 1, request_id=4)
    assert problems(core) == {}

    assert ask(core, third()) == []
    assert P3 in held(core)


@pytest.mark.usefixtures("limits")
def test_a_full_node_takes_the_copies_of_other_primaries() -> None:
    core = make_full()
    change = Change(ZERO, Version(7, 9), (make_publisher(P3),), ())

    core._store.apply(NAME, change, 0.0)

    assert P3 in held(core)
    assert "holds 3 publishers" in core.health(0.0).problems[0].detail


@pytest.mark.usefixtures("datum_limits")
def test_a_full_id_refuses_a_new_publisher_and_others_do_not() -> None:
    core = make_full()

    log = Log(WARNING, "data.datum.full", {"id": NAME, "publishers": 2, "refused": 1})
    assert ask(core, third()) == [log, refused(3, LimitError, DATUM_FULL)]
    assert ask(core, third(name=OTHER)) == []

    assert problems(core, 59.9) == {"datum-full": Harm.DEGRADES}
    assert NAME in core.health(0.0).problems[0].detail
    assert problems(core, 60.0) == {}


@pytest.mark.usefixtures("datum_limits")
def test_refusals_are_logged_once_a_minute_and_all_counted() -> None:
    core = make_full()

    def logged(now: float) -> list[Log]:
        return [each for each in ask(core, third(), now) if isinstance(each, Log)]

    assert len(logged(1.0)) == 1
    assert logged(60.9) == []
    (line,) = logged(61.0)
    assert line.fields["refused"] == 3


def test_the_defaults_are_limits() -> None:
    assert CONFIG.publishers_max == 5_000_000
    assert CONFIG.publishers_per_datum_max == 100_000
