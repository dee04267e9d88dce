"""Code with integrations as users write it. Only mypy reads it; it is never run."""

from typing import assert_type

import aiohttp
import httpx
import requests
from fastapi import FastAPI

import zreg
from zreg.integrations import asgi
from zreg.integrations.aiohttp import Middleware
from zreg.integrations.grpc import channel
from zreg.integrations.grpc.loop_channel import AsyncChannel
from zreg.integrations.grpc.thread_channel import ThreadChannel
from zreg.integrations.httpx import AsyncTransport, Transport
from zreg.integrations.requests import Adapter


def with_threads(client: zreg.Client) -> None:
    """Call services from threads."""
    transport = Transport(
        client,
        transport=httpx.HTTPTransport(retries=1),
        policy=zreg.Policy.TWO_CHOICES,
        zone_first=True,
        retries=1,
        failure_statuses={503},
        key=lambda request: request.headers.get("customer"),
        scope=zreg.Scope.GLOBAL,
    )
    with httpx.Client(transport=transport) as http:
        assert_type(http.get("http://orders.zreg/"), httpx.Response)
    session = requests.Session()
    session.mount("http://", Adapter(client, adapter={"pool_maxsize": 50}, keep_host=False))
    with channel(client, "orders", idempotent_methods=["/orders.Orders/Get"]) as orders:
        assert_type(orders, ThreadChannel)


async def with_asyncio(client: zreg.AsyncClient) -> None:
    """Call services from coroutines."""
    async with (
        httpx.AsyncClient(transport=AsyncTransport(client, wait_seconds=1)) as http,
        aiohttp.ClientSession(middlewares=[Middleware(client, suffix=".service")]) as session,
        channel(client, "orders", key=str) as orders,
    ):
        await http.get("http://orders.zreg/")
        await session.get("http://orders.service/")
        assert_type(orders, AsyncChannel)


def serve() -> FastAPI:
    """Publish an application."""
    endpoint = zreg.Endpoint("10.0.0.7", 8000, version="2")
    return FastAPI(lifespan=asgi.lifespan("orders", endpoint=endpoint, group="G"))
