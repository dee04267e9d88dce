"""Settings are linearizable in whole clusters with faults, and seeds notice if they are not."""

from collections import Counter
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from zreg.effects import Effect, Link, Peer, Send
from zreg.meta.setting_requests import SettingRequests
from zreg.meta.state.applied import Applied
from zreg.meta.state.settings_table import SettingsTable
from zreg.testing.workloads.cluster_workload import Workload
from zreg.wire.log_commands import ChangeSetting
from zreg.wire.records.settings_messages import FetchSettings, SettingsReply

# With three or five meta nodes.
SEEDS = range(2, 61, 2)


def test_the_seeds_cause_the_faults_that_they_are_for() -> None:
    """Clients without refusals and unknown outcomes prove nothing."""
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
        pytest.param(
            SettingRequests,
            "on_fetch_settings",
            fetch_what_is_applied,
            id="a read asks no majority",
        ),
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
