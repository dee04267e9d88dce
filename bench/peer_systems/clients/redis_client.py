"""Redis through redis-py: a key with expiry for each name, and a message on the service's channel.

A write is SET and PUBLISH in one pipeline of 64 names. A subscriber reads the keys of the service
once it is subscribed, then takes values from messages; expired keys come as keyspace events.
"""

import threading
import time
from collections.abc import Iterable
from typing import Any

import redis

from peer_systems.clients.protocol import ANSWER_SECONDS_MAX, PREFIX, Hear, batches

_EXPIRED = "__keyevent@0__:expired"


class RedisClient:
    """A redis-py client, a thread that renews its keys, and one for each followed service."""

    def __init__(self, address: str, lease_seconds: float) -> None:
        self._redis = redis.Redis.from_url(address, decode_responses=True)
        self._lease_ms = int(lease_seconds * 1000)
        self._renew_seconds = lease_seconds / 3
        self._names: dict[str, None] = {}
        self._lock = threading.Lock()
        self._renewer = threading.Thread(target=self._renew, daemon=True)
        self._redis.ping()

    def register(self, names: Iterable[str], value: str) -> int:
        """Write each name, and renew it from now on."""
        count = 0
        for batch in batches(names):
            self._write(batch, value)
            with self._lock:
                self._names.update(dict.fromkeys(batch))
            count += len(batch)
        if not self._renewer.is_alive():
            self._renewer.start()
        return count

    def republish(self, names: Iterable[str], value: str) -> int:
        """Write each name again."""
        count = 0
        for batch in batches(names):
            self._write(batch, value)
            count += len(batch)
        return count

    def _write(self, names: list[str], value: str) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for name in names:
            pipeline.set(f"{PREFIX}:{name}", value, px=self._lease_ms)
            pipeline.publish(name.partition("/")[0], f"{name}={value}")
        pipeline.execute()

    def _renew(self) -> None:
        while True:
            time.sleep(self._renew_seconds)
            with self._lock:
                names = list(self._names)
            for batch in batches(names):
                pipeline = self._redis.pipeline(transaction=False)
                for name in batch:
                    pipeline.pexpire(f"{PREFIX}:{name}", self._lease_ms)
                pipeline.execute()

    def follow(self, service: str, hear: Hear) -> None:
        """Subscribe to the channel of the service and to expiries, then read what is there."""
        subscribed = threading.Semaphore(0)
        prefix = f"{PREFIX}:{service}/"

        def on_message(message: dict[str, Any]) -> None:
            if message["type"] == "subscribe":
                subscribed.release()
            elif message["channel"] == _EXPIRED:
                if message["data"].startswith(prefix):
                    hear(message["data"].partition(":")[2], None)
            else:
                name, _, value = message["data"].partition("=")
                hear(name, value)

        pubsub = self._redis.pubsub()
        pubsub.subscribe(service, _EXPIRED)

        def listen() -> None:
            for message in pubsub.listen():
                on_message(message)

        threading.Thread(target=listen, daemon=True).start()
        for _ in range(2):
            assert subscribed.acquire(timeout=ANSWER_SECONDS_MAX), "Redis did not subscribe"
        keys = list(self._redis.scan_iter(match=f"{prefix}*", count=1000))
        for key, value in zip(keys, self._redis.mget(keys) if keys else (), strict=True):
            if value is not None:
                hear(key.partition(":")[2], value)
