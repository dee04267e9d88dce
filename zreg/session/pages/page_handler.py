"""Answers the questions of a session's pages, from what the session knows or asks for them."""

from heapq import nsmallest

from zreg.effects import Effect, Emit
from zreg.errors import UnknownMessageError
from zreg.session.clients.client_handler import ClientHandler
from zreg.session.clients.client_table import Client
from zreg.session.clients.pushes.subscriber import Subscriber
from zreg.session.data_handler import DataHandler
from zreg.session.instances.instance_questions import RegisterInstance, WithdrawInstance
from zreg.session.instances.instances import Instances
from zreg.session.pages.host_search import HostSearches
from zreg.session.pages.page_datums import PageDatums
from zreg.session.pages.page_questions import (
    ClientLine,
    ClientsRead,
    FindHost,
    ReadClients,
    ReadService,
    ReadSubscribers,
    SubscriberLine,
    SubscribersRead,
)
from zreg.session.pages.page_watches import PageWatches, WatchBegun, WatchEnded
from zreg.session.proxy.askers import PageAnswered, PageAsked, PageAsker
from zreg.session.proxy.command_questions import CommandQuestions, Question
from zreg.session.upstream.followed.followed_datum import FollowedDatum
from zreg.wire.records.common_messages import Refused

PageEvent = PageAsked | WatchBegun | WatchEnded


class PageHandler:
    """Takes the questions of pages. Those that change something are a matter of `Instances`."""

    def __init__(
        self,
        clients: ClientHandler,
        data: DataHandler,
        questions: CommandQuestions,
        instances: Instances,
    ) -> None:
        self._clients = clients
        self._instances = instances
        self._questions = questions
        self.datums = PageDatums(clients.subscriptions)
        self._watches = PageWatches(clients.subscriptions)
        self._searches = HostSearches(data.registrations)

    def receive(self, event: PageEvent, now: float) -> list[Effect]:
        """Take what the pages of this node say."""
        match event:
            case PageAsked():
                return self.ask(event, now)
            case WatchBegun():
                return self._watches.begin(event.name, now)
            case WatchEnded():
                return self._watches.end(event.name)

    def on_moved(self, followed: FollowedDatum) -> list[Effect]:
        """Answer the questions that waited for a datum, and tell its watches that it moved."""
        # Each change of each datum comes by here, and mostly no page waits for any.
        if not (self.datums.waiting_by_name or self._watches.is_watching):
            return []
        return self.datums.on_moved(followed) + self._watches.on_moved(followed)

    def ask(self, asked: PageAsked, now: float) -> list[Effect]:
        """Answer a question, or ask the nodes that can."""
        question_id = asked.question_id
        match asked.question:
            case ReadService() as question:
                return self.datums.ask(question_id, question, now)
            case ReadSubscribers() as question:
                return [Emit(PageAnswered(question_id, self._subscribers(question)))]
            case ReadClients() as question:
                return [Emit(PageAnswered(question_id, self._client_page(question, now)))]
            case RegisterInstance() | WithdrawInstance() as question:
                return self._instances.ask(question_id, question, now)
            case FindHost() as question:
                return self._searches.ask(question_id, question)
            case question if isinstance(question, Question):
                return self._questions.ask(PageAsker(question_id), question, now)
            case question:
                detail = f"a session answers no {type(question).__name__} of a page"
                refused = Refused(0, UnknownMessageError.code, detail)
                return [Emit(PageAnswered(question_id, refused))]

    def tick(self, now: float) -> list[Effect]:
        """Give up what has waited too long, and go on with a search."""
        return self.datums.tick(now) + self._searches.tick()

    def next_tick_at(self) -> float | None:
        """Return when `tick`, or that of the instances, is due; None if nothing is under way."""
        # A session looks here in each turn, and mostly no page asks anything.
        instances_at = self._instances.next_tick_at()
        if not (self.datums.until or self._searches.under_way):
            return instances_at
        search_at = self._searches.next_tick_at()
        pages_at = self.datums.next_tick_at() if search_at is None else search_at
        return min((at for at in (pages_at, instances_at) if at is not None), default=None)

    def statistics(self) -> dict[str, int | float | str]:
        """Return counters and sizes."""
        return {**self._instances.statistics(), "interests_of_pages": len(self.datums)}

    def _subscribers(self, question: ReadSubscribers) -> SubscribersRead:
        by_client: dict[bytes, list[Subscriber]] = {}
        for subscriber in self._clients.subscriptions.pusher.of(question.name):
            client_id = subscriber.client.client_id
            if client_id > question.after:
                by_client.setdefault(client_id, []).append(subscriber)
        ids = nsmallest(question.limit + 1, by_client)
        page = ids[: question.limit]
        lines = tuple(_subscriber_line(by_client[client_id]) for client_id in page)
        return SubscribersRead(question.name, lines, page[-1] if len(ids) > len(page) else None)

    def _client_page(self, question: ReadClients, now: float) -> ClientsRead:
        table = self._clients.table
        after, app = question.after, question.app
        ids = nsmallest(
            question.limit + 1,
            (
                client.client_id
                for client in table.all()
                if client.client_id > after and (not app or client.app == app)
            ),
        )
        page = ids[: question.limit]
        clients = [client for each in page if (client := table.of_id(each)) is not None]
        lines = tuple(self._client_line(client, now) for client in clients)
        return ClientsRead(len(table), lines, page[-1] if len(ids) > len(page) else None)

    def _client_line(self, client: Client, now: float) -> ClientLine:
        return ClientLine(
            client.client_id,
            client.app,
            client.zone,
            client.data_center,
            client.peer is not None,
            client.peer is not None and client.peer in self._clients.slow,
            now - client.since,
            len(client.publisher_ids),
            len(client.subscription_keys),
        )


def _subscriber_line(subscribers: list[Subscriber]) -> SubscriberLine:
    """Return one line for all subscriptions of a client to one datum."""
    client = subscribers[0].client
    versions = [each.client_version for each in subscribers]
    known = [version for version in versions if version is not None]
    return SubscriberLine(
        client.client_id,
        client.app,
        client.zone,
        client.data_center,
        tuple(sorted(each.visibility[0] for each in subscribers)),
        min(known) if len(known) == len(versions) else None,
        sum(len(each.in_flight) for each in subscribers),
        any(each.evaluated != each.followed.mirror.version for each in subscribers),
    )
