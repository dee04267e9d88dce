"""The JSON of a session's pages, which docs/http.md shows with examples."""

import base64
import datetime as dt
from typing import Literal

import msgspec

from zreg.client.view.endpoint import Endpoint
from zreg.client.view.marked import HEALTH_ATTRIBUTE
from zreg.client.view.values import Value
from zreg.client.view.view import Publisher
from zreg.model import DataInfoId, shown_client_id, split_data_info_id
from zreg.model import Publisher as PublisherRecord


class ServiceName(msgspec.Struct, frozen=True, kw_only=True):
    """The three parts of the name of a service."""

    data_id: str
    instance_id: str
    group: str


class ServiceLine(ServiceName, frozen=True, kw_only=True):
    """One service of a list."""

    instance_count: int
    version: str


class ServiceList(msgspec.Struct, frozen=True):
    """A page of the services with at least one instance."""

    services: list[ServiceLine]
    next_cursor: str | None


class ShownEndpoint(msgspec.Struct, frozen=True):
    """Where an instance can be reached."""

    address: str
    host: str | None
    port: int
    weight: int
    version: str
    tags: list[str]
    metadata: dict[str, str]


class ShownValue(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One published value; `kind` says which of the other fields it has."""

    kind: Literal["text", "bytes", "endpoint"]
    text: str | msgspec.UnsetType = msgspec.UNSET
    base64: str | msgspec.UnsetType = msgspec.UNSET
    endpoint: ShownEndpoint | msgspec.UnsetType = msgspec.UNSET


class ShownSession(msgspec.Struct, frozen=True):
    """The session incarnation that answers for an instance."""

    node_id: str
    epoch: int


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One instance of a service; without `values` if no reader can unpack them.

    `registered_at` is the time of the publisher's clock; None if it is no time.
    """

    publisher_id: str
    state: Literal["up", "unhealthy", "unreadable"]
    reason: str
    values: list[ShownValue]
    attributes: dict[str, str]
    zone: str
    data_center: str
    app: str
    client_id: str
    session: ShownSession
    version: int
    registered_at: str | None


class Service(ServiceName, frozen=True, kw_only=True):
    """A page of the instances of one service.

    `instance_count` is that of the whole service. `is_complete` False: the data node has just begun
    to serve this service, and there may be more instances.
    """

    version: str
    is_complete: bool
    instance_count: int
    instances: list[Instance]
    next_cursor: str | None


class FoundInstance(ServiceName, frozen=True, kw_only=True):
    """An instance on a host, and the name of its service."""

    instance: Instance


class HostInstances(msgspec.Struct, frozen=True, kw_only=True):
    """The instances of this session's clients on one host; `is_cut`: there are more."""

    host: str
    instances: list[FoundInstance]
    is_cut: bool


class ShownSubscriber(msgspec.Struct, frozen=True, kw_only=True):
    """One client that subscribes to a service at this session."""

    client_id: str
    app: str
    zone: str
    data_center: str
    scopes: list[str]
    version: str | None
    pushes_in_flight: int
    is_behind: bool


class SubscriberList(ServiceName, frozen=True, kw_only=True):
    """A page of the subscribers of one service at this session."""

    subscribers: list[ShownSubscriber]
    next_cursor: str | None


class ShownClient(msgspec.Struct, frozen=True, kw_only=True):
    """One client of this session."""

    client_id: str
    app: str
    zone: str
    data_center: str
    state: Literal["connected", "slow", "disconnected"]
    seconds: float
    publisher_count: int
    subscription_count: int


class ClientList(msgspec.Struct, frozen=True):
    """A page of the clients of this session, and how many it has in all."""

    client_count: int
    clients: list[ShownClient]
    next_cursor: str | None


class ShownNode(msgspec.Struct, frozen=True, kw_only=True):
    """One member of the cluster."""

    node_id: str
    role: str
    status: str
    joined_epoch: int
    address: str
    changes_address: str
    zone: str
    data_center: str
    weight: int


class NodeList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the membership; `meta_outage` says why meta is not reached, if it is not."""

    cluster_id: str
    epoch: int
    ring_epoch: int
    replica_count: int
    meta_outage: str
    nodes: list[ShownNode]
    next_cursor: str | None


class ShownSetting(msgspec.Struct, frozen=True):
    """One setting of the cluster."""

    name: str
    value: str
    version: int


class SettingList(msgspec.Struct, frozen=True):
    """A page of the settings of the cluster."""

    settings: list[ShownSetting]
    next_cursor: str | None


class ShownEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened at a node. `at` is the time by the clock of the session asked."""

    number: int
    at: str | None
    level: str
    kind: str
    subject: str
    detail: str


class EventList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the events of one node.

    There is always a next page, with what happens later; `is_complete` True: nothing has yet.
    """

    node_id: str
    is_complete: bool
    events: list[ShownEvent]
    next_cursor: str | None


def name_parts(name: DataInfoId) -> dict[str, str]:
    """Return the fields of `ServiceName`."""
    data_id, instance_id, group = split_data_info_id(name)
    return {"data_id": data_id, "instance_id": instance_id, "group": group}


def shown_instance(record: PublisherRecord) -> Instance:
    """Return an instance as JSON shows it."""
    publisher = Publisher(record)
    is_readable = publisher.is_readable
    attributes = dict(publisher.attributes) if is_readable else {}
    reason = attributes.get(HEALTH_ATTRIBUTE, "")
    state: Literal["up", "unhealthy", "unreadable"] = "unhealthy" if reason else "up"
    if not is_readable:
        state, reason = "unreadable", "what was published cannot be unpacked"
    return Instance(
        publisher_id=record.publisher_id.hex(),
        state=state,
        reason=reason,
        values=list(map(_shown_value, publisher.values)) if is_readable else [],
        attributes=attributes,
        zone=record.zone,
        data_center=record.data_center,
        app=record.app,
        client_id=shown_client_id(record.client_id),
        session=ShownSession(record.session.node_id, record.session.epoch),
        version=record.version,
        registered_at=shown_time(publisher.registered_at) if is_readable else None,
    )


def _shown_value(value: Value) -> ShownValue:
    if isinstance(value, str):
        return ShownValue(kind="text", text=value)
    if isinstance(value, bytes):
        return ShownValue(kind="bytes", base64=base64.b64encode(value).decode())
    return ShownValue(kind="endpoint", endpoint=_shown_endpoint(value))


def _shown_endpoint(endpoint: Endpoint) -> ShownEndpoint:
    return ShownEndpoint(
        str(endpoint),
        endpoint.host,
        endpoint.port,
        endpoint.weight,
        endpoint.version,
        sorted(endpoint.tags),
        dict(endpoint.metadata),
    )


def shown_time(seconds: float) -> str | None:
    """Return a time of Unix as RFC 3339 writes it, to the millisecond; None if it is no time."""
    try:
        moment = dt.datetime.fromtimestamp(seconds, dt.UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
