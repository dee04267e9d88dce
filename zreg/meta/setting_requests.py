"""The leader's answers to who changes settings, and to who reads them.

A read is linearizable by Raft's read index: it is answered when a majority has confirmed that this
node still leads, from a state with all that was acknowledged before the question came.
"""

from collections.abc import Callable, Sequence

from zreg.config import Limits
from zreg.effects import Effect, Link, Peer, Send
from zreg.errors import LimitError, NotReadyError
from zreg.meta.group.raft_driver import RaftDriver
from zreg.meta.members.member_registrar import Propose
from zreg.meta.refusals import refused
from zreg.meta.state.applied import Applied
from zreg.meta.state.meta_state import MetaState
from zreg.raft.errors import OverloadedError, RaftError
from zreg.wire.log_commands import ChangeSetting
from zreg.wire.settings_messages import FetchSettings, SetSetting, Setting, SettingsReply


class SettingRequests:
    """Requests for settings."""

    def __init__(
        self,
        state: MetaState,
        agreement: RaftDriver,
        propose: Propose,
        elsewhere: Callable[[Peer, int], Send],
    ) -> None:
        self._state = state
        self._agreement = agreement
        self._propose = propose
        self._elsewhere = elsewhere

    def change(self, peer: Peer, message: SetSetting) -> list[Effect]:
        """Propose a change, and answer when it is applied."""

        def answer(applied: Applied | None, _now: float) -> Sequence[Effect]:
            if applied is None:
                detail = "the leader changed: nobody knows whether it is set; look, then ask again"
                return [refused(peer, message.request_id, NotReadyError.code, detail)]
            if applied.code:
                return [refused(peer, message.request_id, applied.code, applied.detail)]
            # As it was set by this change: of one that was asked before, others may have followed.
            found: tuple[Setting, ...] = ()
            if message.value is not None:
                found = (Setting(message.name, message.value, applied.version),)
            return [Send(Link.NODES, peer, SettingsReply(message.request_id, found))]

        command = ChangeSetting(message.name, message.value, message.if_version, message.change_id)
        return self._propose(command, peer, message.request_id, answer)

    def fetch(self, peer: Peer, message: FetchSettings) -> list[Effect]:
        """Answer with a state that holds all that was acknowledged before the question."""

        def answer(is_confirmed: bool, _now: float) -> Sequence[Effect]:  # noqa: FBT001 -- a callback
            if not is_confirmed:
                return [self._elsewhere(peer, message.request_id)]
            found, is_complete = self._state.settings.page(
                message.pattern, message.after, Limits.settings_per_record_max
            )
            reply = SettingsReply(message.request_id, found, is_complete)
            return [Send(Link.NODES, peer, reply)]

        try:
            self._agreement.read(answer)
        except OverloadedError as error:
            return [refused(peer, message.request_id, LimitError.code, f"meta: {error}")]
        except RaftError:
            return [self._elsewhere(peer, message.request_id)]
        return []
