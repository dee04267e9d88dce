"""A reader of the pages of all sessions, who asks their cores what HTTP asks them.

It asks at random, also sessions that are frozen or about to die, asks far too much at once, pages
through lists, and opens and closes watches. Sessions must end every question in time, with an
answer or a refusal, and hold nothing for it afterwards.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from random import Random
from typing import Final, NamedTuple

import msgspec

from zreg.errors import LimitError, NotReadyError, UnknownNodeError
from zreg.model import DataInfoId, Version, data_info_id
from zreg.session.core import SessionCore
from zreg.session.pages.page_questions import (
    ClientsRead,
    ReadClients,
    ReadService,
    ReadSubscribers,
    ServiceRead,
    SubscribersRead,
)
from zreg.session.pages.page_watches import DatumMoved, WatchBegun, WatchEnded
from zreg.session.proxy.askers import PageAnswered, PageAsked
from zreg.testing.checkers.page_checker import followed_for_pages, held_for_pages
from zreg.testing.sim.cluster import SimCluster
from zreg.testing.sim.sim_process import Process
from zreg.testing.workloads.pages.walks import (
    Page,
    Walk,
    clients_walk,
    datums_walk,
    service_walk,
    subscribers_walk,
)
from zreg.wire.records.common_messages import (
    ClientsFound,
    EventsReply,
    FetchEvents,
    FetchStatistics,
    FindClients,
    FindInstances,
    InstancesFound,
    Refused,
    StatisticsReply,
)
from zreg.wire.records.data_messages import DatumsListed, ListDatums
from zreg.wire.records.membership_messages import FetchMembership, MembershipReply
from zreg.wire.records.meta_messages import FetchMetaNodes, MetaNodesReply
from zreg.wire.records.settings_messages import FetchSettings, SettingsReply

# A session gives every question up after two seconds, and a tick may wait for input for one.
ANSWER_SECONDS_MAX: Final = 3.5
# What a session keeps for a page goes fifteen seconds after the last question.
KEPT_SECONDS: Final = 16.0
KINDS: Final = (
    "page answered",
    "page refused",
    "page asked of a session that died",
    "list paged through",
    "watch opened",
    "watch told",
    "too many questions",
)
_WATCHES_MAX: Final = 12
# More than a session follows for pages, searches, or passes on to meta at one time.
_FLOOD: Final = 120

# What answers each question, if it is answered.
_ANSWERS: Final[dict[type[msgspec.Struct], type[msgspec.Struct]]] = {
    ReadService: ServiceRead,
    ReadSubscribers: SubscribersRead,
    ReadClients: ClientsRead,
    FindInstances: InstancesFound,
    FindClients: ClientsFound,
    ListDatums: DatumsListed,
    FetchMembership: MembershipReply,
    FetchSettings: SettingsReply,
    FetchMetaNodes: MetaNodesReply,
    FetchEvents: EventsReply,
    FetchStatistics: StatisticsReply,
}
_REFUSALS: Final = {NotReadyError.code, LimitError.code, UnknownNodeError.code}


class _Asked(NamedTuple):
    question: msgspec.Struct
    at: float
    walk: Walk | None


class _Watched(NamedTuple):
    """A watched datum: the version that its session had, and how many watches there are.

    A session that is stopped takes the watch later, perhaps behind moves: `is_late`.
    """

    version: Version | None
    watch_count: int
    is_late: bool


class _SessionPages:
    """The questions and watches at one process of a session."""

    def __init__(self, process: Process) -> None:
        self.process: Final = process
        self.asked: dict[int, _Asked] = {}
        self.walks: list[Walk] = []
        self.watched: dict[DataInfoId | None, _Watched] = {}
        self.moved: dict[DataInfoId, DatumMoved] = {}
        self.read_count = 0

    @property
    def core(self) -> SessionCore:
        assert isinstance(self.process.core, SessionCore)
        return self.process.core


class PageReader:
    """Reads the pages of the sessions of one cluster. It draws from a source of its own.

    `lasting` returns the publishers that every page has to show as long as they are in it.
    """

    def __init__(
        self,
        cluster: SimCluster,
        names: Iterable[DataInfoId],
        lasting: Callable[[], Iterable[tuple[DataInfoId, bytes]]],
        rng: Random,
    ) -> None:
        self._cluster = cluster
        self._names = tuple(names)
        self._lasting = lasting
        self._rng = rng
        # How much it has asked; a watch counts too, since it may have a datum fetched.
        self.question_count = 0
        self._sessions: dict[str, _SessionPages] = {}
        self._found: list[str] = []
        self.counts: Counter[str] = Counter()

    # --- what it does -------------------------------------------------------------------------

    def step(self) -> None:
        """Do a few things at random sessions."""
        self._meet_sessions()
        for _ in range(self._rng.randint(1, 4)):
            if self._sessions:
                pages = self._sessions[self._rng.choice(sorted(self._sessions))]
                self._rng.choice(self._actions())(pages)

    def _actions(self) -> list[Callable[[_SessionPages], None]]:
        often = [self._ask_one, self._ask_one, self._begin_walk, self._go_on, self._go_on]
        return [*often, *often, self._open_watch, self._close_watch, self._ask_too_much]

    def _ask_one(self, pages: _SessionPages) -> None:
        self._ask(pages, self._rng.choice(self._questions()))

    def _questions(self) -> list[msgspec.Struct]:
        rng = self._rng
        name, limit = rng.choice(self._names), rng.randint(1, 5)
        node_id = rng.choice(("", "session-1", "data-1", self._cluster.meta_names[0], "unknown"))
        find = FindInstances if limit % 2 else FindClients
        return [
            ReadService(name, b"", limit, zone=rng.choice(("", "", "z1"))),
            ReadService(data_info_id(f"unknown-{rng.randint(1, 9)}"), b"", limit),
            ReadSubscribers(name, b"", limit),
            ReadClients(b"", limit),
            find(0, f"value-{rng.randint(1, 40)}", node_id),
            ListDatums(0, rng.choice(("*", "service-1*")), "", limit),
            FetchMembership(0),
            FetchSettings(0, "*"),
            FetchMetaNodes(0),
            FetchEvents(0, node_id),
            FetchStatistics(0, node_id),
        ]

    def _ask_too_much(self, pages: _SessionPages) -> None:
        self.counts["too many questions"] += 1
        kind = self._rng.randrange(4)
        for number in range(_FLOOD):
            name = data_info_id(f"flood-{number}")
            floods = (
                ReadService(name, b"", 1),
                FindInstances(0, "10.0.0.1", "data-1"),
                FetchSettings(0, "*"),
                ListDatums(0, "*", "", 1),
            )
            self._ask(pages, floods[kind])

    def _ask(
        self, pages: _SessionPages, question: msgspec.Struct, walk: Walk | None = None
    ) -> None:
        self.question_count += 1
        number = self.question_count
        pages.asked[number] = _Asked(question, self._cluster.sim.now, walk)
        self._cluster.sim.post(pages.process.name, PageAsked(number, question))

    # --- lists --------------------------------------------------------------------------------

    def _begin_walk(self, pages: _SessionPages) -> None:
        core, name, limit = pages.core, self._rng.choice(self._names), self._rng.randint(1, 3)
        begin: list[Callable[[], Walk | None]] = [
            lambda: service_walk(core, name, limit),
            lambda: subscribers_walk(core, name, limit),
            lambda: clients_walk(core, limit),
            lambda: datums_walk(self._lasting, limit),
        ]
        walk = self._rng.choice(begin)()
        if walk is not None:
            self._read_next(pages, walk)

    def _go_on(self, pages: _SessionPages) -> None:
        if pages.walks:
            walk = pages.walks.pop(self._rng.randrange(len(pages.walks)))
            self._read_next(pages, walk)

    def _read_next(self, pages: _SessionPages, walk: Walk) -> None:
        walk.look()
        self._ask(pages, walk.question(), walk)
        if walk.is_at_once:
            self._read_events(pages)
            # A session that is stopped, or has no copy any more, answers later.
            for number, asked in pages.asked.items():
                if asked.walk is walk:
                    pages.asked[number] = asked._replace(walk=None)

    def _on_page(self, pages: _SessionPages, walk: Walk, page: Page) -> None:
        walk.take(page)
        if walk.after is not None:
            pages.walks.append(walk)
            return
        walk.look()
        self.counts["list paged through"] += 1
        self._note(pages, *walk.violations())

    # --- watches ------------------------------------------------------------------------------

    def _open_watch(self, pages: _SessionPages) -> None:
        name = self._rng.choice((None, *self._names))
        watched = pages.watched.get(name)
        if watched is not None:
            # A page that watches what is watched already tells its core nothing.
            pages.watched[name] = watched._replace(watch_count=watched.watch_count + 1)
        elif len(pages.watched) < _WATCHES_MAX:
            self.counts["watch opened"] += 1
            self.question_count += 1
            self._cluster.sim.post(pages.process.name, WatchBegun(name))
            is_late = bool(pages.process.deferred)
            if name is not None:
                # A watch of all may have told of it, and have ended before this one began.
                pages.moved.pop(name, None)
            pages.watched[name] = _Watched(_version_of(pages, name), 1, is_late)

    def _close_watch(self, pages: _SessionPages) -> None:
        if pages.watched:
            name = self._rng.choice(sorted(pages.watched, key=str))
            watched = pages.watched[name]
            if watched.watch_count > 1:
                pages.watched[name] = watched._replace(watch_count=watched.watch_count - 1)
            else:
                self._end_watch(pages, name)

    def _end_watch(self, pages: _SessionPages, name: DataInfoId | None) -> None:
        del pages.watched[name]
        if name is not None:
            pages.moved.pop(name, None)
        self._cluster.sim.post(pages.process.name, WatchEnded(name))

    def followed_count(self) -> int:
        """Return how many datums the sessions follow for it."""
        self._meet_sessions()
        every = self._sessions.values()
        return sum(int(each.core.statistics()["interests_of_pages"]) for each in every) + sum(
            len(each.watched) for each in every
        )

    # --- what it is told ----------------------------------------------------------------------

    def check(self) -> list[str]:
        """Return what sessions did wrong since the last call, a line for each."""
        self._meet_sessions()
        for pages in self._sessions.values():
            for walk in [*pages.walks, *(each.walk for each in pages.asked.values() if each.walk)]:
                if not walk.is_at_once:
                    walk.look()
            self._read_events(pages)
            now, awake_since = self._cluster.sim.now, pages.process.frozen_until
            for asked in pages.asked.values():
                seconds = now - max(asked.at, awake_since)
                if seconds > ANSWER_SECONDS_MAX:
                    self._note(pages, f"no answer to {asked.question} for {seconds:.1f} s")
            if not pages.process.deferred:
                self._note(pages, *held_for_pages(pages.core, pages.asked, pages.watched))
        found, self._found = self._found, []
        return found

    def end(self) -> list[str]:
        """Check the hints of all watches, close them, and ask nothing more.

        After `KEPT_SECONDS` `leftovers` must be empty.
        """
        self._meet_sessions()
        for pages in self._sessions.values():
            self._read_events(pages)
            pages.walks.clear()
            for name, watched in list(pages.watched.items()):
                self._check_hint(pages, name, watched)
                self._end_watch(pages, name)
        return self.check()

    def leftovers(self) -> list[str]:
        """Return what sessions still hold for pages, or have not answered."""
        found = self.check()
        for name, pages in self._sessions.items():
            found += [f"{name} has not answered {asked.question}" for asked in pages.asked.values()]
            found += [f"{name} {line}" for line in followed_for_pages(pages.core)]
        return found

    def _check_hint(self, pages: _SessionPages, name: DataInfoId | None, watched: _Watched) -> None:
        version, moved = _version_of(pages, name), pages.moved.get(name) if name else None
        if moved is None and watched.is_late:
            return
        told = watched.version if moved is None else moved.version
        if version is not None and told != version:
            self._note(pages, f"watches of {name} were told of {told}, and it is at {version}")

    def _read_events(self, pages: _SessionPages) -> None:
        events = pages.process.events
        while pages.read_count < len(events):
            event = events[pages.read_count]
            pages.read_count += 1
            if isinstance(event, PageAnswered):
                self._on_answer(pages, event)
            elif isinstance(event, DatumMoved):
                self.counts["watch told"] += 1
                pages.moved[event.name] = event

    def _on_answer(self, pages: _SessionPages, answered: PageAnswered) -> None:
        asked = pages.asked.pop(answered.question_id, None)
        answer = answered.answer
        if asked is None:
            self._note(pages, f"answered a question again, with {answer}")
        elif isinstance(answer, Refused):
            self.counts["page refused"] += 1
            if answer.code not in _REFUSALS:
                self._note(pages, f"refused {asked.question} with {answer}")
        elif type(answer) is not _ANSWERS[type(asked.question)]:
            self._note(pages, f"answered {asked.question} with {answer}")
        else:
            self.counts["page answered"] += 1
            if asked.walk is not None:
                assert isinstance(answer, Page)
                self._on_page(pages, asked.walk, answer)

    def _note(self, pages: _SessionPages, *lines: str) -> None:
        self._found += [
            f"{self._cluster.sim.now:.3f} {pages.process.name} {line}" for line in lines
        ]

    def _meet_sessions(self) -> None:
        """Forget the questions of processes that died, and note new ones."""
        processes = self._cluster.sim.processes
        for name, pages in list(self._sessions.items()):
            if processes.get(name) is not pages.process:
                self.counts["page asked of a session that died"] += len(pages.asked)
                del self._sessions[name]
        for name, process in processes.items():
            is_session = isinstance(process.core, SessionCore) and not process.is_stopping
            if is_session and name not in self._sessions:
                self._sessions[name] = _SessionPages(process)


def _version_of(pages: _SessionPages, name: DataInfoId | None) -> Version | None:
    """Return the version that the session has of a datum; None if it has none."""
    followed = pages.core._data.followed.find(name) if name else None  # noqa: SLF001
    return followed.mirror.version if followed is not None and followed.mirror.is_known else None
