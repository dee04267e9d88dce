"""Settings are linearizable in whole clusters that fail; if they were not, a seed would tell."""

from collections import Counter
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from zreg.effects import Effect, Link, Peer, Send
from zreg.meta.setting_requests import SettingRequests
from zreg.meta.state.applied import Applied
from zreg.meta.state.settings_table import SettingsTable
from zreg.testing.checkers.linearizability import (
    NEVER,
    Kind,
    Outcome,
    VersionedOperation,
    find_versioned_anomaly,
)
from zreg.testing.workloads.cluster_workload import Workload
from zreg.wire.log_commands import ChangeSetting
from zreg.wire.settings_messages import FetchSettings, SettingsReply

# With three or five meta nodes.
SEEDS = range(2, 61, 2)


def read(value: int, version: int, start: int, end: float) -> VersionedOperation:
    return VersionedOperation(Kind.READ, Outcome.DONE, value, version, None, start, end)


def set_(
    value: int,
    version: int,
    start: int,
    end: float = NEVER,
    outcome: Outcome = Outcome.DONE,
    if_version: int | None = None,
) -> VersionedOperation:
    return VersionedOperation(Kind.SET, outcome, value, version, if_version, start, end)


def remove(
    start: int,
    end: float = NEVER,
    outcome: Outcome = Outcome.DONE,
    if_version: int | None = None,
) -> VersionedOperation:
    return VersionedOperation(Kind.REMOVE, outcome, 0, 0, if_version, start, end)


LOST, REFUSED = Outcome.UNKNOWN, Outcome.REFUSED


@pytest.mark.parametrize(
    "history",
    [
        [],
        [read(0, 0, 1, 2)],
        [set_(1, 5, 1, 2), read(1, 5, 3, 4), remove(5, 6), read(0, 0, 7, 8)],
        [set_(1, 5, 1, 6), read(0, 0, 2, 3), read(1, 5, 4, 5)],
        [set_(1, 5, 1, 2), set_(2, 6, 3, 4, if_version=5), read(2, 6, 5, 6)],
        [set_(1, 5, 1, 2), set_(2, 0, 3, 4, REFUSED, if_version=0), read(1, 5, 5, 6)],
        [set_(1, 5, 1, 2), remove(3, 4, REFUSED, if_version=4), read(1, 5, 5, 6)],
        # What nobody knows of may have happened, at any time later, or never.
        [set_(1, 0, 1, outcome=LOST), read(0, 0, 2, 3), read(1, 9, 4, 5)],
        [set_(1, 0, 1, outcome=LOST), read(0, 0, 2, 3), read(0, 0, 4, 5)],
        [set_(1, 5, 1, 2), remove(3, outcome=LOST), read(1, 5, 4, 5), read(0, 0, 6, 7)],
        # Somebody else must have changed it meanwhile, and nobody saw to what.
        [set_(1, 5, 1, 2), set_(2, 0, 3, outcome=LOST), remove(4, 5, REFUSED, if_version=5)],
        [
            VersionedOperation(Kind.READ, LOST, 0, 0, None, 1, NEVER),
            set_(1, 5, 2, 3),
            read(1, 5, 4, 5),
        ],
    ],
)
def test_linearizable_histories_pass(history: list[VersionedOperation]) -> None:
    assert find_versioned_anomaly(history) is None
    assert find_versioned_anomaly(reversed(history)) is None


@pytest.mark.parametrize(
    ("history", "why"),
    [
        ([read(1, 5, 1, 2)], "read 1 at 5"),
        ([set_(1, 5, 1, 2), read(0, 0, 3, 4)], "holds 1 at 5, and none fits of: [3, 4] read"),
        ([set_(1, 5, 1, 2), set_(2, 6, 3, 4), read(1, 5, 5, 6)], "holds 2 at 6"),
        ([set_(1, 5, 1, 2), read(1, 6, 3, 4)], "seen at versions 5 and 6"),
        ([set_(1, 5, 1, 2), set_(2, 4, 3, 4)], "set 2 at 4"),
        ([set_(1, 5, 1, 2), remove(3, 4), read(1, 5, 5, 6)], "holds nothing"),
        ([set_(1, 5, 1, 2), remove(3, 4), set_(2, 5, 5, 6)], "set 2 at 5: done"),
        ([set_(1, 5, 1, 2), set_(2, 6, 3, 4, if_version=0)], "set 2 at 6 if at 0: done"),
        ([set_(1, 5, 1, 2), remove(3, 4, REFUSED, if_version=5)], "remove nothing if at 5"),
        ([set_(1, 0, 5, outcome=LOST), read(1, 9, 1, 2)], "read 1 at 9"),
        ([set_(1, 0, 1, outcome=LOST, if_version=7), read(1, 9, 2, 3)], "if at 7: unknown"),
        # It happened once: what was seen to be removed does not come back.
        (
            [set_(1, 0, 1, outcome=LOST), read(1, 9, 2, 3), remove(4, 5), read(1, 9, 6, 7)],
            "holds nothing",
        ),
    ],
)
def test_what_no_order_explains_is_found(history: list[VersionedOperation], why: str) -> None:
    anomaly = find_versioned_anomaly(history)

    assert anomaly is not None
    assert why in anomaly


def test_what_cannot_be_decided_is_not_taken_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zreg.testing.checkers.linearizability._STEPS_MAX", 20)
    history = [set_(n, 0, n, outcome=LOST) for n in range(1, 9)]

    with pytest.raises(OverflowError, match="too many orders"):
        find_versioned_anomaly([*history, read(99, 1, 10, 11)])


def test_the_seeds_meet_what_they_are_for() -> None:
    """Clients to whom nothing happens prove nothing."""
    counts: Counter[str] = Counter()
    cut_count = 0
    for seed in SEEDS[:6]:
        workload = Workload(seed)
        workload.run()
        counts += workload.history.counts
        cut_count += sum(" cut " in line for line in workload.cluster.sim.trace)

    assert cut_count > 3
    for kind in ("set", "remove"):
        assert counts[f"{kind} done"] > 10
        assert counts[f"{kind} refused"] > 3
        assert counts[f"{kind} unknown"] > 0
    assert counts["read done"] > 50


def fetch_what_is_applied(
    self: SettingRequests, peer: Peer, message: FetchSettings
) -> list[Effect]:
    """Answer without asking a majority whether this node still leads."""
    found, is_complete = self._state.settings.page(message.pattern, message.after, 10)
    return [Send(Link.NODES, peer, SettingsReply(message.request_id, found, is_complete))]


_change = SettingsTable.change


def change_always(self: SettingsTable, command: ChangeSetting, epoch: int) -> Applied:
    """Change the setting also if it is at another version."""
    return _change(self, replace(command, if_version=None), epoch)


@pytest.mark.parametrize(
    ("owner", "name", "mutation"),
    [
        pytest.param(SettingRequests, "fetch", fetch_what_is_applied, id="a read asks no majority"),
        pytest.param(SettingsTable, "change", change_always, id="a condition is ignored"),
    ],
)
def test_seeds_notice_a_removed_guard(
    owner: type, name: str, mutation: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, mutation)
    for seed in SEEDS:
        try:
            Workload(seed).run()
        except AssertionError as error:
            if "not linearizable" in str(error):
                return
    pytest.fail(f"{len(SEEDS)} seeds did not notice")
