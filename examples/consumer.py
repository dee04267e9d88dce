"""Call the instances of a service in turn, while instances come and go."""

import argparse
import itertools
import sys
import time
from http.client import HTTPConnection, HTTPException

import zreg

FAILURES = (OSError, HTTPException)


def get(endpoint: zreg.Endpoint) -> str:
    """Return what an HTTP server answers."""
    connection = HTTPConnection(str(endpoint.host), endpoint.port, timeout=2)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode().strip()
    finally:
        connection.close()


def call(service: zreg.Service) -> str:
    """Ask one instance; if it fails, ask the next one. Wait while there is none."""
    while True:
        service.wait_up(timeout_seconds=30)
        try:
            # An instance whose call fails is set aside for five seconds; by then the registry has
            # removed it, if it is gone.
            with service.lease(failures=FAILURES) as endpoint:
                return f"{get(endpoint)} ({endpoint})"
        except FAILURES:
            continue


def main() -> None:
    """Call the service again and again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--service", default="hello")
    parser.add_argument("--count", type=int, default=0, help="0: until Ctrl-C")
    parser.add_argument("--interval-seconds", type=float, default=1.0)
    parser.add_argument("--url", help="the registry, zreg://HOST:PORT")
    options = parser.parse_args()
    with zreg.Client(options.url) as client, client.service(options.service) as service:
        for number in itertools.count(1):
            print(call(service), flush=True)
            if number == options.count:
                return
            time.sleep(options.interval_seconds)


if __name__ == "__main__":
    try:
        main()
    except zreg.Error as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        pass
