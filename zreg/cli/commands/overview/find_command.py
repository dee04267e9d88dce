"""`zreg find`: what is on one host, before it is emptied."""

import asyncio
from typing import Annotated, Final

import typer

from zreg.cli.asking.targets import find_target
from zreg.cli.asking.whole_cluster.host_finds import HostFinds, find_on_host
from zreg.cli.exits import NOT_FOUND, CommandFailedError
from zreg.cli.flags import Cluster, Format, Meta, Output, Timeout, Url
from zreg.cli.output import Json, complain, print_table, say, say_json
from zreg.cli.showing.shown_values import publisher_json, value_text
from zreg.client.view.view import Publisher
from zreg.hosts import checked_host
from zreg.model import split_data_info_id
from zreg.wire.records.common_messages import HostInstance, HostSubscription

_TIMEOUT_SECONDS: Final = 5.0
_ID_CHARACTERS: Final = 8
_SEPARATORS: Final = 2
_INSTANCES: Final = ("id", "values", "app", "zone", "session", "publisher")
_CLIENTS: Final = ("client", "app", "zone", "session", "subscribes to", "scope")


def find(
    host: Annotated[
        str, typer.Argument(metavar="HOST", help="Address or name, for example 10.0.0.7.")
    ],
    *,
    url: Url = None,
    meta: Meta = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _TIMEOUT_SECONDS,
    output: Output = Format.TABLE,
) -> None:
    """Show what is on a host in the whole cluster: what is published there, and who subscribes."""
    host = checked_host(host.strip("[]"), "HOST")
    target = find_target(url, meta, cluster)
    finds = asyncio.run(find_on_host(target, host, timeout_seconds=timeout_seconds))
    for each in finds.silent:
        complain(f"what {each.node_id} has is missing ({each.reason}): see `zreg nodes`")
    if output is Format.JSON:
        say_json(_finds_json(host, finds))
    else:
        _show(finds, is_wide=output is Format.WIDE)
    if not finds.instances and not finds.subscriptions:
        raise CommandFailedError(
            f"nothing is on {host}: instances are found by the address or name that they publish, "
            "clients by the address from which they are connected",
            code=NOT_FOUND,
        )


def _show(finds: HostFinds, *, is_wide: bool) -> None:
    if finds.instances:
        rows = [_instance_row(each, is_wide=is_wide) for each in finds.instances]
        print_table(_INSTANCES, rows)
    if finds.instances and finds.subscriptions:
        say("")
    if finds.subscriptions:
        rows = [_client_row(*each, is_wide=is_wide) for each in finds.subscriptions]
        print_table(_CLIENTS, rows)


def _instance_row(found: HostInstance, *, is_wide: bool) -> list[str]:
    record = found.publisher
    publisher = Publisher(record)
    values = ", ".join(map(value_text, publisher.values)) if publisher.is_readable else "unreadable"
    return [
        _shown_name(found.data_info_id, is_wide=is_wide),
        values,
        record.app,
        record.zone,
        record.session.node_id,
        _shown_id(record.publisher_id, is_wide=is_wide),
    ]


def _client_row(session: str, line: HostSubscription, *, is_wide: bool) -> list[str]:
    scopes = ", ".join(scope.name.lower() for scope in line.scopes)
    return [
        _shown_id(line.client_id, is_wide=is_wide),
        line.app,
        line.zone,
        session if line.is_connected else f"{session} (not connected)",
        _shown_name(line.data_info_id, is_wide=is_wide) if line.data_info_id else "-",
        scopes,
    ]


def _shown_name(name: str, *, is_wide: bool) -> str:
    return name if is_wide else name.partition("#@#")[0]


def _shown_id(some_id: bytes, *, is_wide: bool) -> str:
    text = some_id.hex()
    return text if is_wide else text[:_ID_CHARACTERS]


def _finds_json(host: str, finds: HostFinds) -> Json:
    return {
        "host": host,
        "instances": [_instance_json(each) for each in finds.instances],
        "subscriptions": [_line_json(*each) for each in finds.subscriptions],
        "silent": [{"node_id": each.node_id, "reason": each.reason} for each in finds.silent],
    }


def _instance_json(found: HostInstance) -> Json:
    publisher = Publisher(found.publisher)
    shown = publisher_json(publisher) if publisher.is_readable else {}
    assert isinstance(shown, dict)
    return {
        **_name_json(found.data_info_id),
        "publisher_id": found.publisher.publisher_id.hex(),
        "session": found.publisher.session.node_id,
        **shown,
    }


def _line_json(session: str, line: HostSubscription) -> Json:
    return {
        "client_id": line.client_id.hex(),
        "app": line.app,
        "zone": line.zone,
        "data_center": line.data_center,
        "session": session,
        "is_connected": line.is_connected,
        "publishers": line.publisher_count,
        **_name_json(line.data_info_id),
        "scopes": [scope.name.lower() for scope in line.scopes],
    }


def _name_json(name: str) -> dict[str, Json]:
    if name.count("#@#") != _SEPARATORS:
        # A client without a subscription.
        return {"data_info_id": name}
    data_id, instance_id, group = split_data_info_id(name)  # type: ignore[arg-type]
    return {
        "data_info_id": name,
        "data_id": data_id,
        "group": group,
        "instance_id": instance_id,
    }
