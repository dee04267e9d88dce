"""`PUT` and `DELETE /v1/services/{data_id}/instances/{id}`, for programs without a client."""

import math
import time
from typing import Annotated, Final, Literal

from aiohttp import hdrs, web
from msgspec import Meta

from zreg.errors import UsageError
from zreg.http.catalogue.asked_node import AskedNode, asked
from zreg.http.catalogue.queries import DatumQuery, name_of
from zreg.http.catalogue.shapes import ServiceName, ShownSession, name_parts
from zreg.http.instances.instance_document import InstanceDocument, packed, read_document
from zreg.http.instances.write_checks import check_write, read_body
from zreg.http.pages import Page
from zreg.http.responses import FaultError, answer
from zreg.http.served_node import ServedNode
from zreg.model import ID_PART, DataInfoId, http_publisher_id
from zreg.reactor.link_table import bare_host
from zreg.session.instances.instance_questions import (
    InstanceRegistered,
    InstanceWithdrawn,
    RegisterInstance,
    WithdrawInstance,
)

PATH: Final = "/v1/services/{data_id}/instances/{id}"
LEASE_SECONDS: Final = 30.0
LEASE_SECONDS_MAX: Final = 600.0


class RegisterQuery(DatumQuery, frozen=True, kw_only=True):
    """The query of a registration."""

    lease_seconds: Annotated[
        float,
        Meta(
            ge=1,
            le=LEASE_SECONDS_MAX,
            description="After so much time without a renewal the instance is withdrawn.",
        ),
    ] = LEASE_SECONDS


class RegisteredInstance(ServiceName, frozen=True, kw_only=True):
    """An instance that is registered; `copies`: how many data nodes hold it."""

    id: str
    publisher_id: str
    outcome: Literal["registered", "updated", "renewed"]
    version: int
    copies: int
    session: ShownSession
    lease_seconds: float
    renew_within_seconds: float


class WithdrawnInstance(ServiceName, frozen=True, kw_only=True):
    """An instance that is withdrawn; `copies`: how many data nodes have removed it."""

    id: str
    publisher_id: str
    was_registered: bool
    version: int
    copies: int


class InstancePages:
    """The pages that register and withdraw an instance; the core of the session decides."""

    def __init__(self, node: AskedNode, served: ServedNode) -> None:
        self._node = node
        self._served = served

    def pages(self) -> list[Page]:
        """Return the pages."""
        return [
            Page(
                path=PATH,
                method=hdrs.METH_PUT,
                summary="Register an instance, change it, or renew its lease",
                handler=self._register,
                query=RegisterQuery,
                body=InstanceDocument,
                answer=RegisteredInstance,
                statuses=(403, 413, 415, 429, 503, 504),
            ),
            Page(
                path=PATH,
                method=hdrs.METH_DELETE,
                summary="Withdraw an instance",
                handler=self._withdraw,
                query=DatumQuery,
                answer=WithdrawnInstance,
                statuses=(403, 429, 503, 504),
            ),
        ]

    async def _register(self, request: web.Request, query: RegisterQuery) -> web.Response:
        check_write(request)
        name, instance = name_of(request, query), _instance_of(request)
        if not math.isfinite(query.lease_seconds):
            raise FaultError(400, "lease_seconds is a number of seconds")
        document = read_document(await read_body(request))
        body = packed(
            document,
            instance,
            host=bare_host(self._served.address),
            registered_at=time.time(),  # noqa: TID251 -- wall time, shown to people
        )
        labels = (document.zone, document.data_center, document.app)
        question = RegisterInstance(name, instance, body, query.lease_seconds, *labels)
        registered = await asked(self._node, question, InstanceRegistered)
        if not registered.copies:
            raise FaultError(
                504,
                "this session holds the instance, but no data node has accepted it in time: send "
                "the same request again, which is a renewal too",
            )
        shown = RegisteredInstance(
            **_shown_name(name, instance),
            outcome=registered.outcome,
            version=registered.version,
            copies=registered.copies,
            session=ShownSession(registered.session.node_id, registered.session.epoch),
            lease_seconds=registered.lease_seconds,
            renew_within_seconds=registered.renew_within_seconds,
        )
        return answer(shown)

    async def _withdraw(self, request: web.Request, query: DatumQuery) -> web.Response:
        check_write(request)
        name, instance = name_of(request, query), _instance_of(request)
        question = WithdrawInstance(name, instance)
        withdrawn = await asked(self._node, question, InstanceWithdrawn)
        if not withdrawn.copies:
            raise FaultError(
                504,
                "this session will withdraw the instance, but no data node has accepted that in "
                "time: send the same request again",
            )
        shown = WithdrawnInstance(
            **_shown_name(name, instance),
            was_registered=withdrawn.was_registered,
            version=withdrawn.version,
            copies=withdrawn.copies,
        )
        return answer(shown)


def _instance_of(request: web.Request) -> str:
    try:
        return ID_PART.check("id of an instance", request.match_info["id"])
    except UsageError as error:
        raise FaultError(400, str(error)) from None


def _shown_name(name: DataInfoId, instance: str) -> dict[str, str]:
    publisher_id = http_publisher_id(name, instance).hex()
    return {**name_parts(name), "id": instance, "publisher_id": publisher_id}
