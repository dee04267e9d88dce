"""Instances of a service with gRPC and generic handlers; messages are bytes."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import grpc

import zreg

GET, CREATE, WATCH, UPLOAD, CHAT = (
    f"/orders.Orders/{name}" for name in ("Get", "Create", "Watch", "Upload", "Chat")
)
_KINDS = {
    GET: "unary_unary",
    CREATE: "unary_unary",
    WATCH: "unary_stream",
    UPLOAD: "stream_unary",
    CHAT: "stream_stream",
}


class GrpcInstance(grpc.GenericRpcHandler):
    """One instance on a port that the kernel chooses; it answers with its name."""

    def __init__(self, name: str) -> None:
        self.name = name.encode()
        self.seen: list[str] = []
        self.fails_with: grpc.StatusCode | None = None
        self.goes_on = threading.Event()
        self.goes_on.set()
        self._server = grpc.server(ThreadPoolExecutor(8), [self])
        self._port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    @property
    def endpoint(self) -> zreg.Endpoint:
        return zreg.Endpoint("127.0.0.1", self._port)

    def service(self, details: Any) -> Any:
        kind = _KINDS[details.method]
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        is_stream = kind.endswith("stream")

        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            requests = [request] if kind.startswith("unary") else list(request)
            self.seen.append(
                f"{details.method.rpartition('/')[2][0]} {b''.join(requests).decode()}"
            )
            assert self.goes_on.wait(20)
            if self.fails_with is not None:
                context.abort(self.fails_with, "as the test wants")
            return self._parts() if is_stream else self.name

        return make(answer)

    def _parts(self) -> Iterator[bytes]:
        yield self.name
        assert self.goes_on.wait(20)
        yield b"end"

    def kill(self) -> None:
        self.goes_on.set()
        self._server.stop(None).wait(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
