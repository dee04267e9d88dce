"""The application's questions to the session, each until its answer or its deadline."""

from collections.abc import Sequence
from typing import Final

import msgspec

from zreg.client.core.commands import Answer, Answered, Ask, AskRefused, Event, Question, Unanswered
from zreg.client.core.conversation import Conversation, Requester
from zreg.effects import Effect, Emit
from zreg.errors import LimitError
from zreg.wire.messages import WireMessage
from zreg.wire.records.common_messages import Refused

_QUESTIONS_MAX: Final = 1024


class QuestionRecord(Requester):
    """One question of the application."""

    __slots__ = ("ask_id", "deadline_at", "question")

    def __init__(self, ask_id: int, question: Question, *, deadline_at: float) -> None:
        super().__init__()
        self.ask_id = ask_id
        self.question = question
        self.deadline_at = deadline_at

    def message(self, request_id: int) -> WireMessage:
        """Return the question under this request id."""
        return msgspec.structs.replace(self.question, request_id=request_id)


class Questions:
    """The open questions, by the id of their `Ask`.

    Invariant: each `Ask` leads to exactly one event (`Answered`, `AskRefused` or `Unanswered`), or
    to none if it is dropped before.
    """

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._records: dict[int, QuestionRecord] = {}

    def __len__(self) -> int:
        """Return how many questions are open."""
        return len(self._records)

    def ask(self, command: Ask, now: float) -> Sequence[Effect]:
        """Pass a question on, within the limit."""
        if len(self._records) >= _QUESTIONS_MAX:
            detail = f"{_QUESTIONS_MAX} questions already wait for an answer: ask fewer at once"
            return [Emit(AskRefused(command.ask_id, LimitError.code, detail))]
        deadline_at = now + command.timeout_seconds
        record = QuestionRecord(command.ask_id, command.question, deadline_at=deadline_at)
        self._records[command.ask_id] = record
        return self._conversation.request(record, now)

    def drop(self, ask_id: int) -> None:
        """End a question without an event, if it is open: the program has stopped waiting."""
        record = self._records.get(ask_id)
        if record is not None:
            self._drop(record)

    def replay(self, now: float) -> list[Effect]:
        """Ask a new session everything that is still open."""
        effects: list[Effect] = []
        for record in self._records.values():
            effects += self._conversation.request(record, now)
        return effects

    def drop_late(self, now: float) -> list[Effect]:
        """Give up the questions whose deadline has come."""
        late = [record for record in self._records.values() if record.deadline_at <= now]
        for record in late:
            self._drop(record)
        return [Emit(Unanswered(record.ask_id)) for record in late]

    def next_deadline_at(self) -> float | None:
        """Return when the first question is given up."""
        return min((record.deadline_at for record in self._records.values()), default=None)

    def on_answer(self, answer: Answer) -> Sequence[Effect]:
        """Pass the answer to the API, if it is to an open question."""
        record = self._conversation.owner(answer.request_id)
        if not isinstance(record, QuestionRecord):
            return ()
        self._drop(record)
        return [Emit(Answered(record.ask_id, answer))]

    def on_refused(
        self, record: QuestionRecord, refused: Refused, *, is_final: bool
    ) -> Sequence[Event]:
        """Return what to tell the API; a question that is refused for now is asked again."""
        if not is_final:
            return ()
        self._drop(record)
        return [AskRefused(record.ask_id, refused.code, refused.detail)]

    def _drop(self, record: QuestionRecord) -> None:
        del self._records[record.ask_id]
        self._conversation.cancel(record)
