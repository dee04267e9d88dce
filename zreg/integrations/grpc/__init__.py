"""gRPC calls a service by name: `channel(client, "orders")` reaches all of its instances."""

from typing import TYPE_CHECKING, Any, cast, overload

from zreg.client.aio.async_client import AsyncClient
from zreg.client.aio.async_service import AsyncService
from zreg.client.api import Client
from zreg.client.handles.client_handle import balancing_of
from zreg.client.service import Service
from zreg.errors import UsageError
from zreg.integrations.grpc.balanced_calls import BalancedCalls, CallRules
from zreg.integrations.grpc.loop_channel import AsyncChannel
from zreg.integrations.grpc.thread_channel import ThreadChannel
from zreg.model import DEFAULT_GROUP, Scope

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    from zreg.client.balancing.policy import BalancingOptions
    from zreg.integrations.grpc.balanced_calls import RpcOptions


@overload
def channel(
    client: Client,
    data_id: str,
    *,
    credentials: object = None,
    options: "Sequence[tuple[str, object]]" = (),
    scope: Scope = Scope.DATA_CENTER,
    group: str = DEFAULT_GROUP,
    **rules: "Unpack[RpcOptions]",
) -> ThreadChannel: ...


@overload
def channel(
    client: AsyncClient,
    data_id: str,
    *,
    credentials: object = None,
    options: "Sequence[tuple[str, object]]" = (),
    scope: Scope = Scope.DATA_CENTER,
    group: str = DEFAULT_GROUP,
    **rules: "Unpack[RpcOptions]",
) -> AsyncChannel: ...


def channel(
    client: Client | AsyncClient,
    data_id: str,
    *,
    credentials: object = None,
    options: "Sequence[tuple[str, object]]" = (),
    scope: Scope = Scope.DATA_CENTER,
    group: str = DEFAULT_GROUP,
    **rules: "Unpack[RpcOptions]",
) -> ThreadChannel | AsyncChannel:
    """Return a channel whose calls go to the instances of a service, each to one of them.

    It is a `grpc.Channel` for a `zreg.Client`, and a `grpc.aio.Channel` for a `zreg.AsyncClient`.
    `credentials` and `options` are those of gRPC for the channel of each instance, `RpcOptions` has
    the other keywords. Close it to end its subscription.
    """
    given: dict[str, Any] = dict(rules)
    call_rules = CallRules(**{name: given.pop(name) for name in CallRules.names() if name in given})
    balancing_options = cast("BalancingOptions", given)
    channel_options = _with_defaults(options, data_id)
    if isinstance(client, Client):
        balancing = balancing_of(client, balancing_options)
        follow = client.subscribe(data_id, scope=scope, group=group)
        calls = BalancedCalls(Service(follow, balancing), call_rules)
        return ThreadChannel(calls, follow, credentials, channel_options)
    if isinstance(client, AsyncClient):
        balancing = balancing_of(client, balancing_options)
        follow_async = client.subscribe(data_id, scope=scope, group=group)
        async_calls = BalancedCalls(AsyncService(follow_async, balancing), call_rules)
        return AsyncChannel(async_calls, follow_async, credentials, channel_options)
    raise UsageError(f"{client!r:.80} cannot be used here: give a zreg.Client or zreg.AsyncClient")


def _with_defaults(
    options: "Sequence[tuple[str, object]]", data_id: str
) -> "list[tuple[str, Any]]":
    """Return the options of the channel of each instance."""
    defaults = {
        # Servers see the name of the service, and certificates are checked against it.
        "grpc.default_authority": data_id,
        # An instance that returns is picked after five seconds. gRPC would wait for up to two
        # minutes until it connects again.
        "grpc.max_reconnect_backoff_ms": 2000,
    }
    return list((defaults | dict(options)).items())
