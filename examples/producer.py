"""An HTTP server that publishes where it can be reached. Start several: consumers find them all."""

import argparse
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import zreg


class Hello(BaseHTTPRequestHandler):
    """Answers every GET with the server's name."""

    name = "a producer"

    def do_GET(self) -> None:
        """Say hello."""
        body = f"hello from {self.name}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Log nothing, so that the terminal shows only what this example prints."""


def main() -> None:
    """Publish and serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="a producer")
    parser.add_argument("--service", default="hello", help="what to publish as")
    parser.add_argument("--host", default="127.0.0.1", help="where to serve, and be reached")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--url", help="the registry, zreg://HOST:PORT")
    options = parser.parse_args()
    Hello.name = options.name
    # Let `kill` leave the blocks below as Ctrl-C does, so that the client says goodbye.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())

    with ThreadingHTTPServer((options.host, options.port), Hello) as server:
        endpoint = zreg.Endpoint(options.host, server.server_port)
        with zreg.Client(options.url) as client, client.publish(options.service, endpoint) as mine:
            mine.wait_registered(timeout_seconds=30)
            print(f"{options.name} serves at {endpoint.url()}", flush=True)
            server.serve_forever()


if __name__ == "__main__":
    try:
        main()
    except zreg.Error as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        pass
