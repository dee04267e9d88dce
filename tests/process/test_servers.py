"""The programs of docs/forks.md, with the real servers: gunicorn, uvicorn, celery, fork."""

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import zreg
from zreg.testing.processes import Running, clean_environment, wait_until, zreg_command
from zreg.testing.processes.with_block import WithBlock

PAGE = (Path(__file__).parents[2] / "docs" / "forks.md").read_text()
# A second, and what two busy processors add.
LEAVE_SECONDS_MAX = 2.0
LEASE_SECONDS = 3.0
START_SECONDS_MAX = 30.0
PAYMENTS = "10.0.0.7:12200"
CELERY_CONFIG = """
from pathlib import Path
for folder in ("queue", "done", "control"):
    Path(folder).mkdir(exist_ok=True)
broker_url = "filesystem://"
broker_transport_options = {
    "data_folder_in": "queue", "data_folder_out": "queue", "processed_folder": "done",
    "control_folder": "control",
}
result_backend = "file://" + str(Path("done").absolute())
worker_hijack_root_logger = False
# Each process of the pool is replaced after one task. A test must not kill one: with a broker in
# files the pool shares a queue, and the process that waits for a task holds the lock of it.
worker_max_tasks_per_child = 1
"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with Running(zreg_command("dev", "--port", "0", "-o", "json")) as registry:
        lines = [registry.line() for _ in range(4)]
        yield next(
            found[1] for line in lines if (found := re.search(r'"url": ?"(zreg:[^"]+)"', line))
        )


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[zreg.Client]:
    with zreg.Client(url) as client:
        client.publish("payments", zreg.Endpoint.parse(PAYMENTS)).wait_registered(10)
        yield client


@pytest.fixture
def orders(client: zreg.Client) -> Iterator[zreg.Subscription]:
    with client.subscribe("orders").wait_for(0, 10) as subscription:
        wait_until(lambda: not subscription.view.values)
        yield subscription


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def needs(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed; tox -e process installs it")


class Server(WithBlock):
    """A server that runs the files of one section of docs/forks.md, until the block ends."""

    def __init__(self, directory: Path, url: str, port: int = 8080) -> None:
        self._directory = directory
        self._url, self._port = url, port

    def write(self, heading: str, **more: str) -> None:
        """Write the blocks of code of the section into the files that they name."""
        section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
        files = dict(re.findall(r"```python\n# (\S+)\n(.*?)```", section, re.DOTALL))
        assert files, heading
        for name, text in files.items():
            (self._directory / name).write_text(text.replace("8080", str(self._port)))
        for name, text in more.items():
            (self._directory / f"{name}.py").write_text(text)

    def command(self, heading: str, *options: str) -> list[str]:
        """Return the command of the section, for the interpreter of the tests."""
        section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
        program, *words = re.findall(r"```sh\n(.*?)\n", section)[0].split()
        words = [word.replace("8080", str(self._port)) for word in words]
        return [sys.executable, "-m", program, *words, *options]

    def start(self, command: list[str]) -> None:
        self.log = (self._directory / "log").open("w+")
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            env=clean_environment({"ZREG_URL": self._url}),
            cwd=self._directory,
            # So that the end of the test also ends orphaned workers.
            start_new_session=True,
        )

    def ask(self) -> int:
        """Return the process id of the worker that answers; 0 if none does."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/", timeout=10) as answer:
                text = answer.read().decode()
        except OSError:
            return 0
        found = re.fullmatch(rf"(\d+) asks {PAYMENTS}", text)
        assert found, text
        return int(found[1])

    def wait_workers(self, count: int, *, besides: int = 0) -> set[int]:
        """Wait until so many workers have answered, other than the one that was killed."""
        seen: set[int] = set()

        def have_answered() -> bool:
            assert self.process.poll() is None, self.text()
            seen.add(self.ask())
            return len(seen - {0, besides}) >= count

        wait_until(have_answered, timeout_seconds=START_SECONDS_MAX, describe=self.text)
        return seen - {0, besides}

    def text(self) -> str:
        return (self._directory / "log").read_text()

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.close()


@pytest.fixture
def server(tmp_path: Path, url: str, port: int) -> Server:
    directory = tmp_path / "program"
    directory.mkdir()
    return Server(directory, url, port)


def seconds_until_gone(subscription: zreg.Subscription) -> float:
    return wait_until(lambda: not subscription.view.values, timeout_seconds=LEASE_SECONDS + 3)


# --- gunicorn ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--preload"],
        ["--worker-class=gthread", "--threads=2"],
        ["--worker-class=gthread", "--threads=2", "--preload"],
    ],
    ids=" ".join,
)
def test_gunicorn_is_one_instance_until_it_is_stopped(
    server: Server, orders: zreg.Subscription, options: list[str], port: int
) -> None:
    needs("gunicorn")
    server.write("gunicorn")
    with server:
        server.start(server.command("gunicorn", *options))
        workers = server.wait_workers(2)
        orders.wait_for(1, 10)
        (publisher,) = orders.view
        assert publisher.values == (zreg.Endpoint("127.0.0.1", port),)

        killed = min(workers)
        os.kill(killed, signal.SIGKILL)
        assert server.wait_workers(2, besides=killed) - workers
        assert [each.publisher_id for each in orders.view] == [publisher.publisher_id]

        server.process.terminate()
        assert seconds_until_gone(orders) < LEAVE_SECONDS_MAX
        assert server.process.wait(10) == 0
        assert "Traceback" not in server.text()


def test_gunicorn_leaves_before_its_last_request_ends(
    server: Server, orders: zreg.Subscription, tmp_path: Path, port: int
) -> None:
    needs("gunicorn")
    may_end = tmp_path / "may-end"
    os.mkfifo(may_end)
    server.write(
        "gunicorn",
        app="import os\n"
        "def app(environ, start_response):\n"
        ""
        f"    print('started', flush=True)\n    text = open({str(may_end)!r}).read()\n"
        "    start_response('200 OK', [])\n"
        "    return [text.encode()]\n",
    )
    answers: list[str] = []

    def ask() -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
            answers.append(answer.read().decode())

    with server:
        server.start(server.command("gunicorn"))
        orders.wait_for(1, START_SECONDS_MAX)
        asking = threading.Thread(target=ask)
        asking.start()
        wait_until(lambda: "started" in server.text(), describe=server.text)
        server.process.terminate()
        seconds_until_gone(orders)
        assert answers == []
        assert server.process.poll() is None
        may_end.write_text("the last one")
        asking.join(10)
        assert server.process.wait(10) == 0
    assert answers == ["the last one"]


def test_a_killed_gunicorn_leaves_within_the_lease_although_its_workers_go_on(
    server: Server, orders: zreg.Subscription
) -> None:
    needs("gunicorn")
    server.write("gunicorn")
    with server:
        server.start(server.command("gunicorn", "--preload"))
        server.wait_workers(2)
        orders.wait_for(1, 10)
        server.process.kill()
        assert seconds_until_gone(orders) < LEASE_SECONDS + 1


# --- uvicorn -------------------------------------------------------------------------------------


def test_each_worker_of_uvicorn_publishes_for_as_long_as_it_lives(
    server: Server, orders: zreg.Subscription, port: int
) -> None:
    needs("uvicorn")
    server.write("uvicorn")
    with server:
        server.start(server.command("uvicorn"))
        workers = server.wait_workers(2)
        orders.wait_for(2, 10)
        assert {each.values for each in orders.view} == {(zreg.Endpoint("127.0.0.1", port),)}

        former = set(orders.view.publisher_ids())
        os.kill(min(workers), signal.SIGKILL)
        wait_until(lambda: orders.view.publisher_ids() - former, timeout_seconds=15)
        wait_until(lambda: len(orders.view) == 2)
        assert len(orders.view.publisher_ids() & former) == 1

        server.process.terminate()
        assert seconds_until_gone(orders) < LEAVE_SECONDS_MAX
        assert server.process.wait(10) == 0


def test_the_program_that_starts_uvicorn_publishes_once(
    server: Server, orders: zreg.Subscription
) -> None:
    needs("uvicorn")
    server.write("uvicorn")
    with server:
        # Without the publication of each worker.
        asgi = server._directory / "asgi.py"
        asgi.write_text(re.sub(r".*client\.publish\(.*\n", "", asgi.read_text()))
        server.start([sys.executable, "serve.py"])
        workers = server.wait_workers(2)
        orders.wait_for(1, 10)
        (publisher,) = orders.view

        killed = min(workers)
        os.kill(killed, signal.SIGKILL)
        server.wait_workers(2, besides=killed)
        assert [each.publisher_id for each in orders.view] == [publisher.publisher_id]

        server.process.terminate()
        assert seconds_until_gone(orders) < LEAVE_SECONDS_MAX
        server.process.wait(10)


# --- celery --------------------------------------------------------------------------------------


def run_tasks(server: Server, count: int) -> None:
    """Have the worker run tasks; the process that asks for them is one of its own."""
    program = (
        "import tasks\n"
        f"answers = [tasks.pay.delay(n) for n in range({count})]\n"
        "print([each.get(timeout=20) for each in answers])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env=clean_environment({"ZREG_URL": server._url}),
        cwd=server._directory,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr + server.text()
    assert done.stdout == f"{[f'{n}: {PAYMENTS}' for n in range(count)]}\n"


def pool_of(process_id: int) -> set[int]:
    """Return the forked children of a process, which have its command line."""

    def command_line(child: str | int) -> bytes:
        with suppress(OSError):
            return Path(f"/proc/{child}/cmdline").read_bytes()
        return b""

    # Each thread has its own: one of celery's replaces what was killed.
    files = Path(f"/proc/{process_id}/task").glob("*/children")
    children = [child for file in files for child in file.read_text().split()]
    return {int(child) for child in children if command_line(child) == command_line(process_id)}


@pytest.mark.parametrize("last_signal", [signal.SIGTERM, signal.SIGKILL])
def test_a_celery_worker_is_one_instance_and_its_pool_picks_instances(
    server: Server, client: zreg.Client, last_signal: signal.Signals
) -> None:
    needs("celery")
    server.write("celery", celeryconfig=CELERY_CONFIG)
    with server, client.subscribe("mailers") as mailers:
        server.start(server.command("celery"))
        mailers.wait_for(1, START_SECONDS_MAX)
        (publisher,) = mailers.view
        run_tasks(server, 4)

        wait_until(lambda: len(pool_of(server.process.pid)) == 2)
        pool = pool_of(server.process.pid)
        run_tasks(server, 4)
        wait_until(lambda: len(pool_of(server.process.pid) - pool) == 2)
        assert [each.publisher_id for each in mailers.view] == [publisher.publisher_id]

        server.process.send_signal(last_signal)
        seconds = seconds_until_gone(mailers)
        assert seconds < (LEAVE_SECONDS_MAX if last_signal == signal.SIGTERM else LEASE_SECONDS + 1)


# --- without a server ----------------------------------------------------------------------------


def run_file(server: Server, name: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", name],
        capture_output=True,
        text=True,
        timeout=60,
        env=clean_environment({"ZREG_URL": server._url}),
        cwd=server._directory,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def test_workers_of_multiprocessing_pick_instances(server: Server, client: zreg.Client) -> None:
    server.write("multiprocessing")
    assert run_file(server, "work.py") == f"{[f'{n}: {PAYMENTS}' for n in range(4)]}\n"


def test_a_plain_child_publishes_what_is_meant_for_children(
    server: Server, client: zreg.Client
) -> None:
    server.write("Plain fork")
    with client.subscribe("load", inline=True) as load:
        seen: set[tuple[object, ...]] = set()
        load(lambda change: seen.update(each.values for each in change.view))
        run_file(server, "plain.py")
        wait_until(lambda: seen == {("0",), ("7",)}, describe=lambda: str(seen))
        wait_until(lambda: not load.view.values)
