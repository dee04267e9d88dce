"""What `AsyncClient.settings` returns: the values that meta keeps for the programs of a cluster."""

from typing import TYPE_CHECKING

from zreg.client.lookups.dialogs import Setting, setting_dialog, settings_dialog

if TYPE_CHECKING:
    from zreg.client.runtime.aio.loop_runtime import LoopRuntime


class AsyncClientSettings:
    """The settings of the cluster, to read. `zreg settings set` and `rm` change them."""

    def __init__(self, runtime: "LoopRuntime") -> None:
        self._runtime = runtime

    async def get(self, name: str, *, timeout_seconds: float = 5.0) -> Setting | None:
        """Return one setting, None if there is none of this name."""
        return await self._runtime.converse(setting_dialog(name), timeout_seconds)

    async def list(
        self, pattern: str = "*", *, timeout_seconds: float = 5.0
    ) -> tuple[Setting, ...]:
        """Return the settings whose names match a pattern as of a shell, in their order."""
        return await self._runtime.converse(settings_dialog(pattern), timeout_seconds)
