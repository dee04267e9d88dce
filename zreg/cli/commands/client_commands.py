"""`publish`, `subscribe`, `watch` and `get`: use `zreg.Client` from a shell."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Annotated, Final

import typer

from zreg.cli.asking.ask import wrong_ports_text
from zreg.cli.asking.port_probe import describe_ports
from zreg.cli.asking.targets import known_sessions
from zreg.cli.exits import NOT_FOUND, CommandFailedError
from zreg.cli.flags import Cluster, Format, Group, InstanceId, Output, Timeout, Url
from zreg.cli.options.settings_sources import load_settings
from zreg.cli.output import print_table, say, say_json
from zreg.cli.process.logs import route_client
from zreg.cli.process.sd_notify import notify, watchdog_seconds
from zreg.cli.process.stop_signals import is_urgent, stop_signals, unblock_stop_signals
from zreg.cli.process.streams import drop_output
from zreg.cli.showing.repeat import now_text
from zreg.cli.showing.ring_report import copies_text
from zreg.cli.showing.shown_values import publisher_json, value_text
from zreg.client.api import Client
from zreg.client.locating.registry_url import parse_url
from zreg.client.view.view import Publisher, View
from zreg.client.view.view_change import ViewChange
from zreg.effects import Link
from zreg.errors import (
    Error,
    TimeoutError,  # noqa: A004 -- the built-in one, and ours
    UnavailableError,
    UsageError,
)
from zreg.model import DEFAULT_GROUP, DEFAULT_INSTANCE_ID, DataInfoId, Scope, shown_client_id
from zreg.wire.records.membership_messages import FetchMembership, MembershipReply

_TIMEOUT_SECONDS: Final = 5.0
_ASK_SECONDS: Final = 1.0
_ID_CHARACTERS: Final = 8

DataId = Annotated[str, typer.Argument(metavar="ID", help="Data id, for example com.acme.Pay.")]


def publish(  # noqa: PLR0913 -- one argument per option
    data_id: DataId,
    values: Annotated[
        list[str], typer.Argument(metavar="VALUE...", help="Values to publish, one or more.")
    ],
    *,
    hold: Annotated[
        bool, typer.Option("--hold", help="Keep the values published until Ctrl-C.")
    ] = False,
    group: Group = DEFAULT_GROUP,
    instance_id: InstanceId = DEFAULT_INSTANCE_ID,
    attribute: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Attribute of the values; may be repeated."),
    ] = None,
    url: Url = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _TIMEOUT_SECONDS,
    output: Output = Format.TABLE,
) -> None:
    """Publish values under an id, for as long as this command runs."""
    attributes = _attributes(attribute or [])
    _interrupt_on_signals()
    with _client(url, cluster) as client:
        publication = client.publish(
            data_id, *values, group=group, instance_id=instance_id, attributes=attributes
        )
        _wait_for(client, url, publication.wait_registered, timeout_seconds)
        # From the first line on its reader may send a signal, which ends the command with success.
        with _until_interrupted():
            if output is Format.JSON:
                say_json(
                    {
                        "data_info_id": publication.data_info_id,
                        "publisher_id": publication.publisher_id.hex(),
                        "registered": True,
                    }
                )
            elif hold:
                say(f"{data_id} is published until Ctrl-C.")
            else:
                say(
                    f"{data_id} was accepted, and is removed because this command ends: "
                    "keep it published with --hold."
                )
            if hold:
                _stay()


def subscribe(  # noqa: PLR0913 -- one argument per option
    data_id: DataId,
    *,
    group: Group = DEFAULT_GROUP,
    instance_id: InstanceId = DEFAULT_INSTANCE_ID,
    url: Url = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _TIMEOUT_SECONDS,
    output: Output = Format.TABLE,
) -> None:
    """Show what is published under an id, and every change of it, until Ctrl-C."""
    name = data_id, group, instance_id
    _follow(name, url, cluster, timeout_seconds, output, is_timed=False)


def watch(  # noqa: PLR0913 -- one argument per option
    data_id: DataId,
    *,
    group: Group = DEFAULT_GROUP,
    instance_id: InstanceId = DEFAULT_INSTANCE_ID,
    url: Url = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _TIMEOUT_SECONDS,
    output: Output = Format.TABLE,
) -> None:
    """Show every change of an id with the time at which it came here, until Ctrl-C."""
    name = data_id, group, instance_id
    _follow(name, url, cluster, timeout_seconds, output, is_timed=True)


def _follow(
    name: tuple[str, str, str],
    url: str | None,
    cluster: str | None,
    timeout_seconds: float,
    output: Format,
    *,
    is_timed: bool,
) -> None:
    data_id, group, instance_id = name
    _interrupt_on_signals()
    print_change = _print_change_json if output is Format.JSON else _print_change_lines
    with _client(url, cluster) as client:
        subscription = client.subscribe(
            data_id, scope=Scope.GLOBAL, group=group, instance_id=instance_id
        )
        _wait_for(client, url, client.wait_connected, timeout_seconds)
        # Written on this thread: a signal ends a write that waits for its reader only here.
        with _until_interrupted(), _fed_watchdog():
            for change in subscription.changes():
                print_change(subscription.data_info_id, change, now_text() if is_timed else None)
        notify("STOPPING=1")


def get(  # noqa: PLR0913 -- one argument per option
    data_id: DataId,
    *,
    group: Group = DEFAULT_GROUP,
    instance_id: InstanceId = DEFAULT_INSTANCE_ID,
    url: Url = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _TIMEOUT_SECONDS,
    output: Output = Format.TABLE,
) -> None:
    """Show what is published under an id now."""
    with _client(url, cluster) as client:
        subscription = client.subscribe(
            data_id, scope=Scope.GLOBAL, group=group, instance_id=instance_id
        )
        _wait_for(client, url, partial(subscription.wait_for, 0), timeout_seconds)
        view, name = subscription.view, subscription.data_info_id
        copies = _copies(client, name) if view and output is Format.WIDE else None
    if not view:
        raise CommandFailedError(
            f"nothing is published under {data_id!r}: see all ids with `zreg ls`, or publish a "
            f"value with `zreg publish {data_id} VALUE --hold`",
            code=NOT_FOUND,
        )
    if output is Format.JSON:
        say_json(
            {
                "data_info_id": name,
                "version": str(view.version),
                "publishers": [publisher_json(publisher) for publisher in view],
            }
        )
    else:
        _print_view(view, is_wide=output is Format.WIDE)
        if copies is not None:
            say(f"copies: {copies}")


def _client(url: str | None, cluster: str | None) -> Client:
    route_client()
    config = load_settings({"cluster": cluster}, os.environ).config
    if url is not None:
        # An empty one is a mistake, and not "any session".
        parse_url(url)
    return Client(url, cluster=config.cluster, config=config)


def _attributes(pairs: list[str]) -> dict[str, str]:
    attributes = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise UsageError(f"--attribute {pair!r:.80} has no name or no =: write NAME=VALUE")
        attributes[name] = value
    return attributes


def _wait_for(
    client: Client, url: str | None, wait: Callable[[float], object], timeout_seconds: float
) -> None:
    """Wait for a session, then for its answer; raises `UnavailableError`, which advises."""
    try:
        client.wait_connected(timeout_seconds)
    except TimeoutError as error:
        wrong = wrong_ports_text(Link.SESSION, describe_ports(known_sessions(url)))
        sentence = str(error) if wrong is None else f"no session answered: {wrong}"
        raise UnavailableError(sentence) from error
    try:
        wait(timeout_seconds)
    except TimeoutError as error:
        raise UnavailableError(f"{error}: {_advice(client, str(error))}") from error


def _advice(client: Client, known: str) -> str:
    """Return what to do when no answer comes.

    The session may know a reason, such as that it does not reach meta; `known` is not repeated.
    """
    advice = "see with `zreg nodes` whether a data node runs"
    try:
        reply = client.request(FetchMembership(0), _ASK_SECONDS)
    except Error:
        return advice
    trouble = reply.trouble if isinstance(reply, MembershipReply) else ""
    return f"{trouble}; {advice}" if trouble and trouble not in known else advice


def _copies(client: Client, name: DataInfoId) -> str:
    """Return on which data nodes the session's membership places an id, for people."""
    try:
        reply = client.request(FetchMembership(0), _ASK_SECONDS)
        if isinstance(reply, MembershipReply):
            return copies_text(reply.membership, name)
    except Error as error:
        return f"not known ({error})"
    return "not known (the session did not answer with its membership)"


def _interrupt_on_signals() -> None:
    """Have SIGTERM and SIGHUP do what Ctrl-C does.

    SIGINT is set too, since a shell makes background processes ignore it.
    """

    def interrupt(number: int, _frame: FrameType | None) -> None:
        if not is_urgent(signal.Signals(number)):
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for each in stop_signals():
        signal.signal(each, interrupt)
    unblock_stop_signals()


@contextlib.contextmanager
def _until_interrupted() -> Iterator[None]:
    """End the block with success on Ctrl-C, and drop the output that could not be written yet."""
    try:
        yield
    except KeyboardInterrupt:
        drop_output()


@contextlib.contextmanager
def _fed_watchdog() -> Iterator[None]:
    """Tell the manager that the command runs, also while it waits for a reader of its output."""
    is_over = threading.Event()

    def feed(seconds: float) -> None:
        while not is_over.wait(seconds):
            notify("WATCHDOG=1")

    notify("READY=1")
    if (seconds := watchdog_seconds()) is not None:
        threading.Thread(target=feed, args=(seconds,), name="zreg-watchdog", daemon=True).start()
    try:
        yield
    finally:
        is_over.set()


def _stay() -> None:
    """Wait for Ctrl-C, which ends the command with success."""
    with contextlib.suppress(KeyboardInterrupt), _fed_watchdog():
        threading.Event().wait()
    notify("STOPPING=1")


def _print_view(view: View, *, is_wide: bool) -> None:
    columns = ["values", "attributes", "zone", "app", "publisher"]
    rows = [_row(publisher, is_wide=is_wide) for publisher in view]
    if is_wide:
        columns += ["data center", "client"]
    print_table(columns, rows)


def _row(publisher: Publisher, *, is_wide: bool) -> list[str]:
    publisher_id, client_id = publisher.publisher_id.hex(), shown_client_id(publisher.client_id)
    attributes = ", ".join(f"{name}={value}" for name, value in publisher.attributes.items())
    return [
        ", ".join(map(value_text, publisher.values)),
        attributes,
        publisher.zone,
        publisher.app,
        publisher_id if is_wide else publisher_id[:_ID_CHARACTERS],
        *([publisher.data_center, client_id] if is_wide else []),
    ]


def _print_change_lines(_name: str, change: ViewChange, time: str | None) -> None:
    """Write a change as lines: - removed, ~ updated, + added, then how many publishers remain."""
    begin = "" if time is None else f"{time} "
    for sign, publishers in (
        ("-", change.removed),
        ("~", change.updated),
        ("+", change.added),
    ):
        for publisher in publishers:
            values = ", ".join(map(value_text, publisher.values))
            say(f"{begin}{sign} {values}  ({publisher.publisher_id.hex()[:_ID_CHARACTERS]})")
    count = len(change.view)
    say(f"{begin}  {count} publisher{'' if count == 1 else 's'}, version {change.view.version}")


def _print_change_json(name: str, change: ViewChange, time: str | None) -> None:
    say_json(
        {
            **({} if time is None else {"time": time}),
            "data_info_id": name,
            "version": str(change.view.version),
            "publishers": [publisher_json(each) for each in change.view],
            "added": [each.publisher_id.hex() for each in change.added],
            "removed": [each.publisher_id.hex() for each in change.removed],
            "updated": [each.publisher_id.hex() for each in change.updated],
        }
    )
