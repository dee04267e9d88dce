"""Publish a service that gunicorn serves: once for all workers, from its parent process.

# gunicorn.conf.py
from zreg.integrations.gunicorn import publishing

when_ready = publishing("orders")
"""

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from zreg.client.api import Client
from zreg.client.view.endpoint import Endpoint
from zreg.errors import UsageError
from zreg.model import DEFAULT_GROUP, DEFAULT_INSTANCE_ID


class _Listener(Protocol):
    """A listening socket of gunicorn."""

    def getsockname(self) -> Any:  # noqa: ANN401 -- text for a Unix socket, else a tuple
        """Return the address that it is bound to."""
        ...


class Arbiter(Protocol):
    """The parent process of gunicorn, which starts and replaces its workers."""

    LISTENERS: Sequence[_Listener]
    stop: Callable[..., None]


def publishing(
    data_id: str,
    endpoint: Endpoint | None = None,
    *,
    group: str = DEFAULT_GROUP,
    instance_id: str = DEFAULT_INSTANCE_ID,
    attributes: Mapping[str, str] | None = None,
    new_client: Callable[[], Client] = Client,
) -> Callable[[Arbiter], None]:
    """Return a `when_ready` hook that publishes the server until it is stopped.

    Without an endpoint it publishes the address of the first socket that is bound to a port.
    Workers may come and go meanwhile. At a stop it says goodbye first, before the sockets are
    closed and the requests that are under way end.
    """

    def when_ready(arbiter: Arbiter) -> None:
        published = endpoint or bound_endpoint(arbiter.LISTENERS)
        client = new_client()
        client.publish(
            data_id, published, group=group, instance_id=instance_id, attributes=attributes
        )
        stop = arbiter.stop

        def leave_and_stop(*arguments: object, **keywords: object) -> None:
            client.close()
            stop(*arguments, **keywords)

        # `on_exit` comes after the last request, up to `graceful_timeout` later.
        arbiter.stop = leave_and_stop

    return when_ready


def bound_endpoint(listeners: Sequence[_Listener]) -> Endpoint:
    """Return the endpoint of the first socket that is bound to a port."""
    for listener in listeners:
        address = listener.getsockname()
        if isinstance(address, tuple):
            host, port = address[:2]
            is_any = ipaddress.ip_address(host.partition("%")[0]).is_unspecified
            return Endpoint(port=port) if is_any else Endpoint(host, port)
    raise UsageError(
        "gunicorn is bound to no port that can be published: give publishing() an endpoint"
    )
