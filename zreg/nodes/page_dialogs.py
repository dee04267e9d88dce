"""The questions of a session's pages that wait for the answer of its core."""

import asyncio
from collections.abc import Callable
from itertools import count

import msgspec

from zreg.effects import Local
from zreg.session.proxy.askers import PageAnswered, PageAsked


class PageDialogs:
    """Hands questions to the core, and its answers to the pages that wait.

    There are as many as HTTP connections with a request. The core gives each answer up in time, so
    a page that ends before its answer only ignores it.
    """

    def __init__(self, post: Callable[[Local], None]) -> None:
        self._post = post
        self._ids = count(1)
        self._waiting: dict[int, asyncio.Future[msgspec.Struct]] = {}

    async def ask(self, question: msgspec.Struct) -> msgspec.Struct:
        """Return the core's answer to a question."""
        question_id = next(self._ids)
        waiting: asyncio.Future[msgspec.Struct] = asyncio.get_running_loop().create_future()
        self._waiting[question_id] = waiting
        self._post(PageAsked(question_id, question))
        try:
            return await waiting
        finally:
            del self._waiting[question_id]

    def take(self, answered: PageAnswered) -> None:
        """Give an answer to the page that waits for it, if it still does."""
        waiting = self._waiting.get(answered.question_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(answered.answer)
