"""The client for asyncio: the same names as the one with threads, and what waits is awaited."""
