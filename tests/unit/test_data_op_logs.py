"""The op logs of a store together: what is dropped, and when."""

from data_fakes import NAME, P1, P2
from strategies import make_publisher

from zreg.config import Config
from zreg.data.store.datum import Datum
from zreg.data.store.op_logs import OpLogs, size_of
from zreg.model import ZERO, Change, Publisher, Version, data_info_id

OTHER = data_info_id("other")


def change(counter: int, *publishers: Publisher) -> Change:
    """Return the change after the one with the counter below."""
    source = Version(1, counter - 1) if counter > 1 else ZERO
    return Change(source, Version(1, counter), publishers, ())


def make_logs(size_max: int) -> OpLogs:
    return OpLogs(Config(op_log_bytes_max=size_max, op_log_length_min=4))


def length(datum: Datum) -> int:
    return 0 if datum.log is None else len(datum.log)


def test_the_oldest_change_of_the_store_goes_first_when_all_logs_are_too_large() -> None:
    one = change(1, make_publisher(P1, body=b"b" * 100))
    logs = make_logs(3 * size_of(one))
    first, second = Datum(NAME), Datum(OTHER)
    logs.append(first, one, 0.0)
    logs.append(second, one, 1.0)
    logs.append(first, change(2, make_publisher(P2, body=b"b" * 100)), 2.0)
    assert (length(first), length(second)) == (2, 1)

    logs.append(second, change(2, make_publisher(P2, body=b"b" * 100)), 3.0)
    assert (length(first), length(second)) == (1, 2)
    assert first.log is not None
    assert first.log.oldest().version == Version(1, 2)

    logs.append(second, change(3, make_publisher(P2, body=b"b" * 150)), 4.0)
    assert first.log is None, "fifty bytes more cost a change more"
    assert length(second) == 2


def test_a_change_larger_than_all_logs_may_be_stays_alone() -> None:
    logs = make_logs(1000)
    first, second = Datum(NAME), Datum(OTHER)
    logs.append(first, change(1, make_publisher(P1)), 0.0)
    logs.append(second, change(1, make_publisher(P1, body=b"b" * 5000)), 0.0)

    assert first.log is None
    assert length(second) == 1


def test_a_change_that_its_log_has_dropped_already_drops_no_other() -> None:
    logs = make_logs(1 << 20)
    datum = Datum(NAME)
    for counter in range(1, 7):
        logs.append(datum, change(counter), float(counter))
    assert length(datum) == 4, "its log became too long"
    logs.expire(2.5 + Config().op_log_seconds, 1000)
    assert length(datum) == 4
    assert len(logs) == 4
    logs.expire(3.5 + Config().op_log_seconds, 1000)
    assert length(datum) == 3


def test_a_cleared_log_leaves_nothing_behind() -> None:
    logs = make_logs(1 << 20)
    datum = Datum(NAME)
    logs.append(datum, change(1), 0.0)
    datum.restart(Version(2, 1))
    logs.append(datum, Change(Version(2, 1), Version(2, 2), (), ()), 1.0)
    logs.expire(0.5 + Config().op_log_seconds, 1000)
    assert length(datum) == 1
    logs.expire(1.5 + Config().op_log_seconds, 1000)
    assert datum.log is None
    assert len(logs) == 0
    assert not logs.is_due(1e9)
