"""What a client knows of its connection, for people and for health pages."""

import msgspec

from zreg.client.core.commands import ClientState


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How the connection of a client is at one moment."""

    state: ClientState
    session: str
    """The address of the session, as `host:port`; the one that was tried last if none answers."""
    round_trip_seconds: float | None
    """How long the session took to answer the last greeting or ping; None without a session. An
    idle client pings once in a ping interval."""
    heard_seconds: float
    """How long ago the last message of the session came; infinite before the first one."""
    publications: int
    subscriptions: int
    why: str
    """A sentence that says how the connection is, and what to check if there is none."""
