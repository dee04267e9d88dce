"""The questions that threads of the application have asked, and the answers that came back."""

from collections.abc import Callable

from zreg.client.core.commands import Answer, Answered, AskRefused, Unanswered
from zreg.errors import Error, UnavailableError, refusal

OutcomeListener = Callable[[Answer | Error], None]


class PendingAnswers:
    """The outcome of each question, by ask id; the runtime's lock guards it.

    An outcome is the answer, or the error to raise. It is None until the core reports it. It is
    dropped if its thread has stopped waiting. A question that no thread waits for has a listener.
    """

    def __init__(self) -> None:
        self._outcomes: dict[int, Answer | Error | None] = {}
        self._listeners: dict[int, OutcomeListener] = {}

    def add(self, ask_id: int) -> None:
        """Add a question, before the core is given it."""
        self._outcomes[ask_id] = None

    def listen(self, ask_id: int, listener: OutcomeListener) -> None:
        """Add a question whose outcome is passed to the listener, under the lock."""
        self._listeners[ask_id] = listener

    def has_outcome(self, ask_id: int) -> bool:
        """Return whether the question is answered, refused or given up."""
        return self._outcomes[ask_id] is not None

    def take(self, ask_id: int) -> Answer | Error | None:
        """End a question and return its outcome."""
        return self._outcomes.pop(ask_id)

    def on_answered(self, event: Answered) -> None:
        """Note the answer."""
        self._set(event.ask_id, event.answer)

    def on_failed(self, event: AskRefused | Unanswered, why: str) -> None:
        """Note the refusal, or that no answer came in time; `why` describes the connection."""
        if isinstance(event, AskRefused):
            self._set(event.ask_id, refusal(event.code, event.detail))
        else:
            self._set(event.ask_id, unanswered(why))

    def _set(self, ask_id: int, outcome: Answer | Error) -> None:
        if (listener := self._listeners.pop(ask_id, None)) is not None:
            listener(outcome)
        if ask_id in self._outcomes:
            self._outcomes[ask_id] = outcome


def unanswered(why: str) -> UnavailableError:
    """Return the error for a question that got no answer."""
    return UnavailableError(f"no session answered the question: {why}")
