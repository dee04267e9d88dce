"""requests calls services by name: `session.mount("http://", Adapter(client))`."""

from typing import TYPE_CHECKING, Any

from zreg.errors import NoInstanceError, TimeoutError  # noqa: A004 -- zreg's own
from zreg.integrations.attempts import Attempts
from zreg.integrations.service_table import ready_service, services_of, target_of

try:
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.exceptions import MaxRetryError, NewConnectionError
    from urllib3.util import parse_url
except ImportError as error:
    raise ImportError("zreg.integrations.requests needs requests: pip install requests") from error

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from zreg.client.api import Client
    from zreg.client.view.endpoint import Endpoint
    from zreg.integrations.service_table import CallOptions

# What an instance is blamed for. `ProxyError` and `SSLError` are connection errors as well.
_FAILURES = (
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
)
_NO_FAILURES = (requests.exceptions.ProxyError, requests.exceptions.SSLError)


class Adapter(HTTPAdapter):
    """Sends requests to `http://orders.zreg/` to an instance of `orders`, all others as they are.

    `CallOptions` has the keywords, `adapter` those of `requests.adapters.HTTPAdapter`.
    """

    def __init__(
        self,
        client: "Client",
        *,
        adapter: dict[str, Any] | None = None,
        **options: "Unpack[CallOptions]",
    ) -> None:
        super().__init__(**(adapter or {}))
        self._services = services_of(client, **options)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002 -- as in requests
        timeout: float | tuple[float | None, float | None] | None = None,
        verify: bool | str = True,  # noqa: FBT001, FBT002 -- as in requests
        cert: str | tuple[str, str] | None = None,
        proxies: dict[str, str] | None = None,
    ) -> requests.Response:
        """Send a request, to one instance after the other as long as that is safe."""
        url = parse_url(request.url or "")
        name = self._services.name_of(url.scheme or "", url.host or "")
        if name is None:
            return super().send(request, stream, timeout, verify, cert, proxies)
        attempts = self._begin(request, name)
        while True:
            sent = _to_instance(request, attempts.endpoint, keep_host=self._services.keep_host)
            try:
                response = super().send(sent, stream, timeout, verify, cert, proxies)
                if not stream:
                    # Read here, so that a connection that breaks meanwhile is a failure as well.
                    response.content  # noqa: B018 -- reading it has this effect
            except BaseException as error:
                if _goes_on(attempts, error):
                    continue
                raise
            if self._services.is_failure(response.status_code) and attempts.go_on(was_sent=True):
                response.close()
                continue
            # Redirects, cookies and the program know the name of the service only.
            response.request, response.url = request, request.url or ""
            attempts.answered()
            if stream:
                _end_with_connection(response, attempts)
            else:
                attempts.succeed()
            return response

    def close(self) -> None:
        """Close the connections, and follow no service any more."""
        self._services.close()
        super().close()

    def _begin(self, request: requests.PreparedRequest, name: str) -> Attempts:
        is_body_left = request.body is None or isinstance(request.body, bytes | str)
        try:
            service = ready_service(self._services, name)
            return self._services.begin(
                service, request, request.method or "", is_body_left=is_body_left
            )
        except (NoInstanceError, TimeoutError) as error:
            raise requests.exceptions.ConnectionError(str(error), request=request) from error


def _to_instance(
    request: requests.PreparedRequest, endpoint: "Endpoint", *, keep_host: bool
) -> requests.PreparedRequest:
    url = parse_url(request.url or "")
    scheme, host, port = target_of(endpoint, url.scheme or "")
    sent = request.copy()
    sent.url = url._replace(scheme=scheme, host=f"[{host}]" if ":" in host else host, port=port).url
    if keep_host:
        sent.headers.setdefault("Host", url.netloc or "")
    return sent


def _goes_on(attempts: Attempts, error: BaseException) -> bool:
    if isinstance(error, _FAILURES) and not isinstance(error, _NO_FAILURES):
        return attempts.go_on(was_sent=not _was_not_sent(error))
    attempts.give_up()
    return False


def _was_not_sent(error: BaseException) -> bool:
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return True
    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)


def _end_with_connection(response: requests.Response, attempts: Attempts) -> None:
    """End the call when the body has been read or the answer is closed.

    urllib3 then gives the connection back to its pool, which is the only moment that both share.
    """
    give_back: Callable[[], None] = response.raw.release_conn

    def release_conn() -> None:
        attempts.succeed()
        give_back()

    response.raw.release_conn = release_conn
