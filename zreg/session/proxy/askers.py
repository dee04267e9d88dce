"""Who waits for the answer to a question: a client behind a connection, or a page of this node."""

import msgspec

from zreg.effects import Effect, Emit, Link, Local, Peer, Send
from zreg.wire.messages import Message


class PageAsked(Local, frozen=True):
    """A page of this node asks a question. The core answers once, with `PageAnswered`."""

    question_id: int
    question: msgspec.Struct


class PageAnswered(msgspec.Struct, frozen=True):
    """Event: the answer to the question of a page; `Refused` says why there is none."""

    question_id: int
    answer: msgspec.Struct


class PageAsker(msgspec.Struct, frozen=True):
    """A page that waits for the answer to one question."""

    question_id: int


Asker = Peer | PageAsker


def answer_to(asker: Asker, message: Message) -> Effect:
    """Return the effect that gives an answer to the client or the page that asked."""
    if isinstance(asker, PageAsker):
        return Emit(PageAnswered(asker.question_id, message))
    return Send(Link.CLIENTS, asker, message)
