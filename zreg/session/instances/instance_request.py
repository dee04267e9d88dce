"""One request of a program that is under way."""

from msgspec.structs import replace

from zreg.effects import Effect, Emit
from zreg.session.instances.instance_questions import (
    InstanceRegistered,
    InstanceWithdrawn,
    RegisterInstance,
    WithdrawInstance,
)
from zreg.session.proxy.askers import PageAnswered
from zreg.wire.parts import cut_detail
from zreg.wire.records.common_messages import Refused

Answer = InstanceRegistered | InstanceWithdrawn


class InstanceRequest:
    """A question of a page: first the primary is asked, then what follows has to be accepted.

    `answer` is what the program is told once the data nodes have accepted it; None: the primary
    has not answered yet.
    """

    __slots__ = (
        "answer",
        "ask_at",
        "deadline",
        "peer",
        "publisher_id",
        "question",
        "question_id",
        "request_id",
        "why",
    )

    def __init__(
        self,
        question_id: int,
        question: RegisterInstance | WithdrawInstance,
        deadline: float,
        request_id: int,
    ) -> None:
        self.question_id = question_id
        self.question = question
        self.publisher_id = question.publisher_id
        self.deadline = deadline
        # The request to the primary, which keeps its id however often it is sent.
        self.request_id = request_id
        # The data node that was asked last, and when it is asked again.
        self.peer = ""
        self.ask_at = 0.0
        # Why there is no answer yet, for people.
        self.why = ""
        self.answer: Answer | None = None

    @property
    def due_at(self) -> float:
        """When something has to be done about it."""
        return self.deadline if self.answer is not None else min(self.ask_at, self.deadline)

    def accepted(self, copies: int) -> Effect:
        """Return the effect that answers the page; 0 copies: nothing was accepted in time."""
        assert self.answer is not None
        return Emit(PageAnswered(self.question_id, replace(self.answer, copies=copies)))

    def refused(self, code: int, detail: str) -> Effect:
        """Return the effect that tells the page why there is no answer."""
        return Emit(PageAnswered(self.question_id, Refused(0, code, cut_detail(detail))))
