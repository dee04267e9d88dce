"""Programs that register over HTTP in a simulation: they ask any session, and have no client.

A program sends one request at a time. It goes to another session with each renewal, as behind a
load balancer, or stays until a session does not answer. What a session does not answer in time is
sent to another one at once.
"""

from collections.abc import Iterable
from random import Random
from typing import TYPE_CHECKING, Final

import msgspec

from zreg.model import DataInfoId, http_publisher_id
from zreg.session.instances.instance_questions import (
    InstanceRegistered,
    InstanceWithdrawn,
    RegisterInstance,
    WithdrawInstance,
)
from zreg.session.proxy.askers import PageAnswered, PageAsked
from zreg.testing.sim.simulation import Simulation
from zreg.wire.body import pack_body

if TYPE_CHECKING:
    from zreg.testing.sim.sim_process import Process

# How long a program waits for one session.
_TIMEOUT_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 0.1


class HttpProgram:
    """One program with one instance."""

    def __init__(
        self,
        name: DataInfoId,
        instance: str,
        value: str,
        *,
        lease_seconds: float,
        is_alternating: bool,
    ) -> None:
        self.name = name
        self.instance = instance
        self.value = value
        self.lease_seconds = lease_seconds
        self.is_alternating = is_alternating
        self.publisher_id = http_publisher_id(name, instance)
        # It renews no more, or asks for its withdrawal.
        self.is_dead = False
        self.is_withdrawing = False
        # When it was withdrawn, as a session has answered; None if it is not.
        self.withdrawn_at: float | None = None
        # When the last request was sent that a session answered with success, and the first one of
        # those without a gap between them.
        self.renewed_at: float | None = None
        self.renewed_since: float | None = None
        # Requests that no session has answered: they may be carried out later.
        self.unanswered_count = 0
        self.session = ""
        # The question under way, and when it was sent.
        self.question_id = 0
        self.sent_at = 0.0
        self.next_at = 0.0


class HttpPrograms:
    """All programs of a simulation. `step` has to be called often."""

    def __init__(self, sim: Simulation, sessions: Iterable[str], *, rng: Random) -> None:
        self._sim = sim
        self._sessions = list(sessions)
        self._rng = rng
        self._question_count = 0
        # By process: how many of its events were looked at.
        self._read: dict[Process, int] = {}
        self._asked: dict[int, HttpProgram] = {}
        self.programs: list[HttpProgram] = []
        self.answer_counts: dict[str, int] = {}

    def start(self, program: HttpProgram) -> HttpProgram:
        """Let a program begin; its first request goes out with the next step."""
        self.programs.append(program)
        program.next_at = self._sim.now
        return program

    def withdraw(self, program: HttpProgram) -> None:
        """Let a program ask for its withdrawal, until a session has answered."""
        program.is_withdrawing = True
        if not program.question_id:
            program.next_at = self._sim.now

    def step(self) -> None:
        """Take the answers that came, and send the requests that are due."""
        self._read_answers()
        now = self._sim.now
        for program in self.programs:
            if program.question_id and now - program.sent_at >= _TIMEOUT_SECONDS:
                self._asked.pop(program.question_id)
                program.unanswered_count += 1
                self._count("no answer")
                self._try_another(program)
            if program.is_dead or program.withdrawn_at is not None or program.question_id:
                continue
            if now >= program.next_at:
                self._send(program)

    def _send(self, program: HttpProgram) -> None:
        sim = self._sim
        if program.is_alternating or program.session not in sim.processes:
            program.session = self._rng.choice(self._sessions)
        process = sim.processes.get(program.session)
        if process is None or process.is_stopping:
            self._count("no session")
            self._try_another(program)
            return
        self._question_count += 1
        program.question_id, program.sent_at = self._question_count, sim.now
        self._asked[self._question_count] = program
        sim.post(program.session, PageAsked(self._question_count, self._question(program)))

    def _question(self, program: HttpProgram) -> RegisterInstance | WithdrawInstance:
        if program.is_withdrawing:
            return WithdrawInstance(program.name, program.instance)
        body = pack_body([program.value], attributes={}, registered_at=self._sim.now)
        return RegisterInstance(program.name, program.instance, body, program.lease_seconds)

    def _try_another(self, program: HttpProgram) -> None:
        program.question_id = 0
        program.session = ""
        program.next_at = self._sim.now + _PAUSE_SECONDS

    def _read_answers(self) -> None:
        for process in list(self._sim.processes.values()):
            events = process.events
            first = self._read.get(process, 0)
            self._read[process] = len(events)
            for event in events[first:]:
                if isinstance(event, PageAnswered):
                    program = self._asked.pop(event.question_id, None)
                    if program is not None:
                        self._take(program, event.answer)

    def _take(self, program: HttpProgram, answer: msgspec.Struct) -> None:
        sent_at = program.sent_at
        match answer:
            case InstanceRegistered(copies=copies) if copies:
                self._count(answer.outcome)
                gap = program.lease_seconds / 2
                if program.renewed_at is None or sent_at - program.renewed_at > gap:
                    program.renewed_since = sent_at
                program.renewed_at = sent_at
                program.question_id = 0
                program.next_at = sent_at + answer.renew_within_seconds
                if program.is_withdrawing:
                    program.next_at = self._sim.now
            case InstanceWithdrawn(copies=copies) if copies:
                self._count("withdrawn")
                program.withdrawn_at = self._sim.now
                program.question_id = 0
            case _:
                self._count(type(answer).__name__)
                self._try_another(program)

    def _count(self, what: str) -> None:
        self.answer_counts[what] = self.answer_counts.get(what, 0) + 1

    def is_renewed(self, program: HttpProgram, *, for_seconds: float) -> bool:
        """Return whether a program has renewed without a gap for so long, until now."""
        if program.is_dead or program.is_withdrawing:
            return False
        if program.renewed_at is None or program.renewed_since is None:
            return False
        now = self._sim.now
        is_fresh = now - program.renewed_at <= program.lease_seconds / 2
        return is_fresh and now - program.renewed_since >= for_seconds
