"""What meta nodes promise, checked from outside while a simulation runs."""

from typing import TYPE_CHECKING

from zreg.meta.core import MetaCore
from zreg.raft.status import Role
from zreg.testing.workloads.settings_writer import SettingsWriter

if TYPE_CHECKING:
    from zreg.meta.state.meta_state import MetaState
    from zreg.model import Membership


class MetaChecker:
    """Raises AssertionError when a promise is broken."""

    def __init__(self) -> None:
        self._leaders: dict[int, str] = {}
        self._memberships: dict[int, Membership] = {}
        # By state, which is a new one at each start.
        self._epochs: dict[MetaState, int] = {}

    def check(self, cores: dict[str, MetaCore]) -> None:
        """One leader a term, one membership an epoch, and no node's epoch goes back."""
        for name, core in cores.items():
            raft = core.raft_driver.raft
            if raft.role is Role.LEADER:
                assert self._leaders.setdefault(raft.term, name) == name, f"two lead {raft.term}"
            known = self._memberships.setdefault(core.epoch, core.membership)
            if core.epoch:
                assert known == core.membership, f"{name} has another epoch {core.epoch}"
            before = self._epochs.get(core.state, 0)
            assert before <= core.epoch, f"{name} went back from {before} to {core.epoch}"
            self._epochs[core.state] = core.epoch

    def check_settings(self, core: MetaCore, writer: SettingsWriter) -> None:
        """Every setting is as the last answer said, but for the change that was not answered."""
        for name, setting in sorted(writer.settings.items()):
            present, change = core.state.settings.find(name), writer.under_way
            if change is not None and change.name == name:
                value = None if present is None else present.value
                assert present == setting or value == change.value, f"{name} is {present}"
            else:
                assert present == setting, f"{name} is {present}, {setting} was said"
