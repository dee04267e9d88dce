"""The examples do what README.md says."""

import json
import re
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from zreg.testing.processes import Running, clean_environment, zreg_command

EXAMPLES = Path(__file__).parents[2] / "examples"
README = EXAMPLES.parent / "README.md"
LINES_MAX = 60


@pytest.fixture
def url() -> Iterator[str]:
    with Running(zreg_command("dev", "--port", "0", "-o", "json")) as registry:
        yield [json.loads(registry.line()) for _ in range(4)][-1]["url"]


def example(name: str, *options: str) -> Running:
    return Running([sys.executable, str(EXAMPLES / f"{name}.py"), *options])


def test_the_examples_are_short_enough_for_a_tutorial() -> None:
    for name in ("producer", "consumer"):
        assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) < LINES_MAX


def test_the_tour_ends_by_itself_with_success() -> None:
    result = subprocess.run(
        [sys.executable, EXAMPLES / "tour.py"],
        capture_output=True,
        text=True,
        timeout=60,
        env=clean_environment(),
        check=False,
    )
    assert (result.stderr, result.returncode) == ("", 0)
    assert result.stdout.splitlines()[-1].startswith("Done: 15 calls, no error,")


def test_calls_are_spread_over_producers_and_a_killed_one_causes_no_error(url: str) -> None:
    """One of three producers gets SIGKILL between two calls: 60 calls, no error."""
    with ExitStack() as stack:
        names = ("alice", "bob", "carol")
        producers = [
            stack.enter_context(example("producer", f"--name={name}", f"--url={url}"))
            for name in names
        ]
        for producer, name in zip(producers, names, strict=True):
            assert producer.line().startswith(f"{name} serves at http://127.0.0.1:")
        consumer = stack.enter_context(
            example("consumer", "--count=60", "--interval-seconds=0.1", f"--url={url}")
        )
        before = Counter(consumer.line().split()[2] for _ in range(30))
        producers[0].send(signal.SIGKILL)
        after = Counter(consumer.line().split()[2] for _ in range(30))

        assert before == {"alice": 10, "bob": 10, "carol": 10}
        # A call made before the kill may be written after it.
        assert after["alice"] <= 2
        assert min(after["bob"], after["carol"]) >= 13
        assert consumer.wait() == 0
        assert (consumer.line(), consumer.error_line()) == ("", "")


def test_a_producer_that_stopped_is_not_called_again(url: str) -> None:
    with (
        example("producer", "--name=alice", f"--url={url}") as alice,
        example("producer", "--name=bob", f"--url={url}") as bob,
    ):
        assert alice.line()
        assert bob.line()
        alice.send(signal.SIGTERM)
        assert alice.wait(3) == 0
        with example("consumer", "--count=4", "--interval-seconds=0", f"--url={url}") as consumer:
            assert {consumer.line().split()[2] for _ in range(4)} == {"bob"}


def test_the_consumer_waits_for_the_first_producer(url: str) -> None:
    with example("consumer", "--count=1", f"--url={url}") as consumer:
        with example("producer", "--name=late", f"--url={url}"):
            assert consumer.line().startswith("hello from late (127.0.0.1:")
        assert consumer.wait() == 0


def test_the_eight_lines_of_the_readme_work(url: str) -> None:
    code = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)[0]
    assert len([line for line in code.splitlines() if line.strip()]) == 8
    assert "zreg://127.0.0.1:9600" in code
    with Running([sys.executable, "-c", code.replace("zreg://127.0.0.1:9600", url)]) as running:
        assert running.line() == "http://127.0.0.1:8080/v1/order/7"
        assert running.wait() == 0
        assert running.error_line() == ""


def test_the_asyncio_lines_of_the_readme_work(url: str) -> None:
    code = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)[1]
    assert "zreg://127.0.0.1:9600" in code
    lines = ["import asyncio, zreg", "async def main():", textwrap.indent(code, "    ")]
    lines.append("asyncio.run(main())")
    program = "\n".join(lines).replace("zreg://127.0.0.1:9600", url).replace('"orders"', '"hello"')
    with (
        example("producer", "--name=alice", f"--url={url}") as alice,
        Running([sys.executable, "-u", "-c", program]) as running,
    ):
        assert alice.line()
        address, count = running.line().split()
        assert (address.partition(":")[0], count) == ("127.0.0.1", "1")
        running.send(signal.SIGINT)


def test_a_wrong_url_is_reported_in_one_sentence() -> None:
    for name in ("producer", "consumer"):
        with example(name, "--url=http://x") as running:
            assert running.error_line().startswith("url 'http://x' does not start with zreg://")
            assert running.wait() == 1
            assert running.error_line() == ""
