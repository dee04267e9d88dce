"""Instances of a service with HTTP, which the test kills or lets misbehave."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import zreg


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "HttpInstance"

    def do_GET(self) -> None:
        instance = self.server
        body = self._read_body()
        instance.seen.append(
            f"{self.command} {self.path} {body.decode()}".strip() + f" to {self.headers['Host']}"
        )
        assert instance.goes_on.wait(20)
        if instance.hangs_up:
            self.close_connection = True
            return
        if instance.location:
            self.send_response(302)
            self.send_header("Location", instance.location)
            instance.location = ""
        else:
            self.send_response(instance.status)
        answer = f"{instance.name}{self.path}".encode()
        if instance.breaks_off:
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(answer)
            self.wfile.flush()
            self.close_connection = True
            return
        self.send_header("Content-Length", str(len(answer) + instance.padding))
        self.end_headers()
        self.wfile.write(answer + b" " * instance.padding)

    do_POST = do_PUT = do_GET  # noqa: N815 -- the names that http.server calls

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def log_message(self, *arguments: Any) -> None:
        """Write nothing."""


class HttpInstance(ThreadingHTTPServer):
    """One instance on a port that the kernel chooses; it answers with its name and the path."""

    daemon_threads = True

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.name = name
        self.seen: list[str] = []
        self.status = 200
        self.location = ""
        self.padding = 0
        self.hangs_up = False
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.breaks_off = False
        self._connections: list[socket.socket] = []
        self._is_killed = False
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> zreg.Endpoint:
        return zreg.Endpoint("127.0.0.1", self.server_address[1])

    def finish_request(self, request: Any, client_address: Any) -> None:
        self._connections.append(request)
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Write nothing: a test closes connections in the middle."""

    def kill(self) -> None:
        """Refuse connections and close those that there are, as for a dead process."""
        if self._is_killed:
            return
        self._is_killed = True
        self.goes_on.set()
        self.shutdown()
        self.server_close()
        self._thread.join(5)
        for connection in self._connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
