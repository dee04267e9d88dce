"""The leader's answers to requests that change or read settings.

A read is linearizable by Raft's read index: it is answered when a majority has confirmed that this
node still leads, from a state with all that was acknowledged before the read came.
"""

from collections.abc import Sequence

from zreg.config import Limits
from zreg.effects import DEBUG, Effect, Link, Log, Peer, Send
from zreg.errors import NotReadyError
from zreg.meta.group.proposals import Proposals, refused
from zreg.meta.state.applied import Applied
from zreg.meta.state.meta_state import MetaState
from zreg.wire.log_commands import ChangeSetting
from zreg.wire.records.settings_messages import FetchSettings, SetSetting, Setting, SettingsReply


class SettingRequests:
    """Answers requests for settings."""

    def __init__(self, state: MetaState, proposals: Proposals) -> None:
        self._state = state
        self._proposals = proposals

    def on_set_setting(self, peer: Peer, message: SetSetting) -> list[Effect]:
        """Propose a change, and answer when it is applied."""

        def on_applied(applied: Applied | None, _now: float) -> Sequence[Effect]:
            if applied is None:
                detail = (
                    "the leader of meta changed, and the setting may have been changed: look with "
                    f"`zreg settings get {message.name}`, then try again"
                )
                return [refused(peer, message.request_id, NotReadyError.code, detail)]
            if applied.code:
                return [refused(peer, message.request_id, applied.code, applied.detail)]
            # The setting as this change left it. If the change was made before, other changes may
            # have followed.
            found: tuple[Setting, ...] = ()
            if message.value is not None:
                found = (Setting(message.name, message.value, applied.version),)
            reply = Send(Link.NODES, peer, SettingsReply(message.request_id, found))
            return [*_logs(message, applied), reply]

        command = ChangeSetting(message.name, message.value, message.if_version, message.change_id)
        return self._proposals.propose_for(peer, message.request_id, command, on_applied)

    def on_fetch_settings(self, peer: Peer, message: FetchSettings) -> list[Effect]:
        """Answer with a state that holds all that was acknowledged before the request."""

        def on_confirmed(is_confirmed: bool, _now: float) -> Sequence[Effect]:  # noqa: FBT001 -- a callback
            if not is_confirmed:
                return [self._proposals.not_leading(peer, message.request_id)]
            found, is_complete = self._state.settings.page(
                message.pattern, message.after, Limits.settings_per_record_max
            )
            reply = SettingsReply(message.request_id, found, is_complete)
            return [Send(Link.NODES, peer, reply)]

        return self._proposals.read_for(peer, message.request_id, on_confirmed)


def _logs(message: SetSetting, applied: Applied) -> list[Effect]:
    """Return what the log says of a change; not the value, which is the affair of the programs."""
    if not applied.is_changed:
        return []
    event = "setting.removed" if message.value is None else "setting.changed"
    return [Log(DEBUG, event, {"name": message.name, "version": applied.version})]
