"""Check the promises of meta nodes from outside while a simulation runs."""

from typing import TYPE_CHECKING

from zreg.meta.core import MetaCore
from zreg.meta.state.losses import LOSSES_MAX
from zreg.raft.status import Role
from zreg.testing.workloads.clients.settings_writer import SettingsWriter

if TYPE_CHECKING:
    from zreg.meta.state.losses import Losses
    from zreg.meta.state.meta_state import MetaState
    from zreg.model import Membership


class MetaChecker:
    """Remembers leaders, memberships and epochs; raises AssertionError at a broken promise."""

    def __init__(self) -> None:
        self._leaders: dict[int, str] = {}
        self._memberships: dict[int, Membership] = {}
        # The highest epoch by state; a restarted node has a new state.
        self._epochs: dict[MetaState, int] = {}
        # The losses after each applied entry.
        self._losses: dict[int, Losses] = {}

    def check(self, cores: dict[str, MetaCore]) -> None:
        """Check: one leader per term, one membership per epoch, no epoch of a node goes back."""
        for name, core in cores.items():
            raft = core.raft_driver.raft
            if raft.role is Role.LEADER:
                assert self._leaders.setdefault(raft.term, name) == name, (
                    f"two nodes lead {raft.term}"
                )
            known = self._memberships.setdefault(core.epoch, core.membership)
            if core.epoch:
                assert known == core.membership, f"{name} has another epoch {core.epoch}"
            before = self._epochs.get(core.state, 0)
            assert before <= core.epoch, f"{name} went back from {before} to {core.epoch}"
            self._epochs[core.state] = core.epoch
            self._check_losses(name, core)

    def _check_losses(self, name: str, core: MetaCore) -> None:
        """Check: all nodes remember the same losses, few, one for each id, and none of the living.

        A snapshot is applied with its index, so a node without an entry has applied nothing.
        """
        losses, index = core.state.losses, core.raft_driver.raft.log.applied_index
        known = self._losses.setdefault(index, losses)
        assert known == losses, f"{name} remembers {losses} at entry {index}, another one {known}"
        ids = [loss.incarnation.node_id for loss in losses]
        assert len(ids) == len(set(ids)) <= LOSSES_MAX, f"{name} remembers {ids}"
        for loss in losses:
            is_back = core.membership.living(loss.incarnation.node_id) is not None
            assert loss.is_over or not is_back, f"{name} shows {loss}, which is a member"

    def check_settings(self, core: MetaCore, writer: SettingsWriter) -> None:
        """Check that settings are as last answered; the unanswered change may have happened."""
        for name, setting in sorted(writer.settings.items()):
            present, change = core.state.settings.find(name), writer.under_way
            if change is not None and change.name == name:
                value = None if present is None else present.value
                assert present == setting or value == change.value, f"{name} is {present}"
            else:
                assert present == setting, f"{name} is {present}, {setting} was answered"
