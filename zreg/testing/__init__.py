"""Test tools for zreg and its users: a fake registry, real processes, simulated clusters, checkers.

The names below are loaded when they are first used: the plugin of pytest imports this package in
each run of a user's tests.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zreg.testing.fake.fake_instance import FakeInstance as FakeInstance
    from zreg.testing.fake.fake_registry import ConnectedClient as ConnectedClient
    from zreg.testing.fake.fake_registry import FakeRegistry as FakeRegistry
    from zreg.testing.processes.dev_registry import DevRegistry as DevRegistry

_HOMES = {
    "ConnectedClient": "zreg.testing.fake.fake_registry",
    "DevRegistry": "zreg.testing.processes.dev_registry",
    "FakeInstance": "zreg.testing.fake.fake_instance",
    "FakeRegistry": "zreg.testing.fake.fake_registry",
}

# Hidden from type checkers: with `__getattr__` they would accept any name.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Load a public name from the module that defines it."""
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module 'zreg.testing' has no attribute {name!r}")
        return getattr(import_module(home), name)
