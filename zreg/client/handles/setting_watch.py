"""What `watch_setting` returns: a setting that is followed until it is closed."""

from typing import TYPE_CHECKING

from zreg.client.runtime.callbacks.callback_runner import CallbackRunner
from zreg.client.runtime.events.setting_watches import SettingCallback

if TYPE_CHECKING:
    from zreg.client.runtime.runtime import Runtime


class SettingWatch:
    """A watched setting. It lasts until it is closed or its client ends, also if it is dropped."""

    def __init__(
        self, runtime: "Runtime", name: str, callback: SettingCallback, runner: CallbackRunner
    ) -> None:
        self.name = name
        self._runtime = runtime
        with runtime.changed:
            runtime.lifecycle.check_open()
            self._watcher = runtime.setting_watches.add(name, callback, runner)

    def close(self) -> None:
        """End it: no call begins after this; a second call does nothing."""
        self._runtime.lifecycle.enter_process()
        self._runtime.lifecycle.check_thread()
        with self._runtime.changed:
            self._runtime.setting_watches.remove(self.name, self._watcher)

    def __repr__(self) -> str:
        """Show the name."""
        return f"<SettingWatch {self.name!r}>"
