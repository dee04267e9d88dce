"""The examples of docs/integrations.md run, each as it is printed there."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import django
import httpx
import pytest
from asgi_server import Served
from django.conf import settings
from django.test import RequestFactory
from fake_session import FakeSession
from grpc_instances import GrpcInstance
from http_instances import HttpInstance

import zreg

PAGE = Path(__file__).parents[2] / "docs/integrations.md"
# The heading that a block stands under, and the block.
BLOCKS = [
    (section.partition("\n")[0], block)
    for section in re.split(r"^#+ ", PAGE.read_text(), flags=re.MULTILINE)
    for block in re.findall(r"```python\n(.*?)```", section, re.DOTALL)
]
SCRIPTS = [(name, block) for name, block in BLOCKS if "print(" in block]
ANSWER = "a/v1/order/7"


@pytest.fixture(autouse=True)
def _registry(session: FakeSession, client: zreg.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZREG_URL", session.url)
    monkeypatch.setenv("ZREG_CLUSTER", "test")


@pytest.fixture
def instance(client: zreg.Client) -> Iterator[HttpInstance]:
    with HttpInstance("a") as instance, client.publish("orders", instance.endpoint) as mine:
        mine.wait_registered(5)
        yield instance


def run(heading: str, port: int = 8000) -> dict[str, Any]:
    """Run the only block under a heading, and return its names."""
    (block,) = [block for name, block in BLOCKS if name == heading]
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(block.replace("8000", str(port)), heading, "exec"), names)  # noqa: S102 -- the page is ours
    return names


def close(names: dict[str, Any]) -> None:
    names["session"].close()
    names["client"].close()


def test_the_page_has_an_example_of_each_library() -> None:
    names = ["httpx", "httpx", "requests", "aiohttp", "gRPC", "gRPC"]
    assert [name for name, _ in SCRIPTS] == names
    assert {name for name, _ in BLOCKS} - set(names) == {
        "FastAPI and Starlette",
        "Flask",
        "Django",
    }


@pytest.mark.parametrize(("name", "block"), SCRIPTS, ids=[name for name, _ in SCRIPTS])
def test_a_script_prints_the_answer(
    name: str, block: str, client: zreg.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    with ExitStack() as stack:
        kind = GrpcInstance if name == "gRPC" else HttpInstance
        instance = stack.enter_context(kind("a"))
        client.publish("orders", instance.endpoint).wait_registered(5)

        exec(compile(block, name, "exec"), {"__name__": "page"})  # noqa: S102 -- the page is ours

    assert capsys.readouterr().out.strip() == ("a" if name == "gRPC" else ANSWER)


def test_the_example_of_fastapi(client: zreg.Client, port: int) -> None:
    app = run("FastAPI and Starlette", port)["app"]
    with Served(app, port), client.service("orders") as orders:
        endpoint = orders.wait_up(timeout_seconds=5).pick()
        assert endpoint.port == port
        url = f"http://127.0.0.1:{port}/v1/order/7"
        assert httpx.get(url).json() == "order 7, connected"


def test_the_example_of_flask(instance: HttpInstance) -> None:
    names = run("Flask")
    try:
        assert names["app"].test_client().get("/").text == ANSWER
    finally:
        close(names)


def test_the_example_of_django(instance: HttpInstance) -> None:
    settings.configure()
    django.setup()
    names = run("Django")
    try:
        assert names["order"](RequestFactory().get("/")).content == ANSWER.encode()
    finally:
        close(names)
