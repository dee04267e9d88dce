"""A service registry over ZeroMQ: publish where you can be reached, and follow where others can.

The names below are loaded when they are first used, so `import zreg` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from zreg.forks_and_signals import loading

if TYPE_CHECKING:
    from zreg.client.aio.async_client import AsyncClient as AsyncClient
    from zreg.client.aio.async_publication import AsyncPublication as AsyncPublication
    from zreg.client.aio.async_service import AsyncService as AsyncService
    from zreg.client.aio.async_subscription import AsyncSubscription as AsyncSubscription
    from zreg.client.api import Client as Client
    from zreg.client.balancing.policy import Ejection as Ejection
    from zreg.client.balancing.policy import Policy as Policy
    from zreg.client.client_status import Status as Status
    from zreg.client.core.commands import ClientState as ClientState
    from zreg.client.handles.setting_watch import SettingWatch as SettingWatch
    from zreg.client.health.instance_health import HealthState as HealthState
    from zreg.client.health.instance_health import InstanceHealth as InstanceHealth
    from zreg.client.health.instance_health import WhenUnhealthy as WhenUnhealthy
    from zreg.client.lookups.dialogs import PublishedId as PublishedId
    from zreg.client.lookups.dialogs import Setting as Setting
    from zreg.client.publication import Publication as Publication
    from zreg.client.runtime.events.state_callbacks import StateChange as StateChange
    from zreg.client.runtime.health.heartbeat import Heartbeat as Heartbeat
    from zreg.client.service import Service as Service
    from zreg.client.subscription import Subscription as Subscription
    from zreg.client.view.endpoint import Endpoint as Endpoint
    from zreg.client.view.view import Publisher as Publisher
    from zreg.client.view.view import View as View
    from zreg.client.view.view_change import ViewChange as ViewChange
    from zreg.config import Config as Config
    from zreg.errors import ClosedError as ClosedError
    from zreg.errors import DeniedError as DeniedError
    from zreg.errors import Error as Error
    from zreg.errors import LimitError as LimitError
    from zreg.errors import NoInstanceError as NoInstanceError
    from zreg.errors import NotPrimaryError as NotPrimaryError
    from zreg.errors import NotReadyError as NotReadyError
    from zreg.errors import RefusedError as RefusedError
    from zreg.errors import TimeoutError as TimeoutError  # noqa: A004 -- a subclass of the built-in one
    from zreg.errors import UnavailableError as UnavailableError
    from zreg.errors import UsageError as UsageError
    from zreg.model import Scope as Scope
    from zreg.model import Version as Version

    __version__: str

_HOMES = {
    "AsyncClient": "zreg.client.aio.async_client",
    "AsyncPublication": "zreg.client.aio.async_publication",
    "AsyncService": "zreg.client.aio.async_service",
    "AsyncSubscription": "zreg.client.aio.async_subscription",
    "Client": "zreg.client.api",
    "ClientState": "zreg.client.core.commands",
    "Ejection": "zreg.client.balancing.policy",
    "Policy": "zreg.client.balancing.policy",
    "Heartbeat": "zreg.client.runtime.health.heartbeat",
    "HealthState": "zreg.client.health.instance_health",
    "InstanceHealth": "zreg.client.health.instance_health",
    "WhenUnhealthy": "zreg.client.health.instance_health",
    "PublishedId": "zreg.client.lookups.dialogs",
    "Setting": "zreg.client.lookups.dialogs",
    "SettingWatch": "zreg.client.handles.setting_watch",
    "Publication": "zreg.client.publication",
    "Service": "zreg.client.service",
    "StateChange": "zreg.client.runtime.events.state_callbacks",
    "Status": "zreg.client.client_status",
    "Subscription": "zreg.client.subscription",
    "Endpoint": "zreg.client.view.endpoint",
    "Publisher": "zreg.client.view.view",
    "View": "zreg.client.view.view",
    "ViewChange": "zreg.client.view.view_change",
    "Config": "zreg.config",
    "ClosedError": "zreg.errors",
    "DeniedError": "zreg.errors",
    "Error": "zreg.errors",
    "LimitError": "zreg.errors",
    "NoInstanceError": "zreg.errors",
    "NotPrimaryError": "zreg.errors",
    "NotReadyError": "zreg.errors",
    "RefusedError": "zreg.errors",
    "TimeoutError": "zreg.errors",
    "UnavailableError": "zreg.errors",
    "UsageError": "zreg.errors",
    "Scope": "zreg.model",
    "Version": "zreg.model",
}

# Hidden from type checkers: with `__getattr__` they would accept any name.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Load a public name from the module that defines it."""
        home = _HOMES.get(name)
        if name == "__version__":
            # pyproject.toml has it; the installed package carries a copy.
            found = import_module("importlib.metadata").version("zreg")
        elif home is not None:
            with loading():
                found = getattr(import_module(home), name)
        else:
            raise AttributeError(f"module 'zreg' has no attribute {name!r}")
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        """Return the public names, loaded or not."""
        return sorted({*globals(), *_HOMES, "__version__"})
