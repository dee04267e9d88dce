"""What the HTTP pages ask of the session's core for an instance, and the answers."""

from typing import Literal

import msgspec

from zreg.model import DataInfoId, Incarnation, http_publisher_id

Outcome = Literal["registered", "updated", "renewed"]


class InstanceQuestion(msgspec.Struct, frozen=True):
    """A question about one instance: the datum that it is of, and the id that its program chose."""

    name: DataInfoId
    instance: str

    @property
    def publisher_id(self) -> bytes:
        """The publisher id, which every session finds from the two names."""
        return http_publisher_id(self.name, self.instance)


class RegisterInstance(InstanceQuestion, frozen=True):
    """Register an instance, change it, or renew it. Answer: `InstanceRegistered`.

    A label that is None stays as it is registered; a new instance gets that of the session.
    """

    body: bytes
    lease_seconds: float
    zone: str | None = None
    data_center: str | None = None
    app: str | None = None


class WithdrawInstance(InstanceQuestion, frozen=True):
    """Withdraw an instance. Answer: `InstanceWithdrawn`."""


class InstanceRegistered(msgspec.Struct, frozen=True):
    """The session answers for the instance until its lease ends.

    `copies`: how many data nodes hold it. 0: none has accepted it in time.
    """

    outcome: Outcome
    session: Incarnation
    version: int
    copies: int
    lease_seconds: float
    renew_within_seconds: float


class InstanceWithdrawn(msgspec.Struct, frozen=True):
    """The instance is withdrawn; `was_registered`: a data node or this session held it.

    `copies`: how many data nodes have removed it. 0: none has accepted that in time.
    """

    was_registered: bool
    version: int
    copies: int
