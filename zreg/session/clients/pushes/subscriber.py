"""One client's subscription to one datum, and which publishers it can see."""

from typing import TYPE_CHECKING

from zreg.config import Limits
from zreg.model import Publisher, Scope, Version
from zreg.session.clients.client_table import Client
from zreg.session.upstream.followed.followed_datum import FollowedDatum

if TYPE_CHECKING:
    from zreg.primitives.reports.hop_rings import PushRound

# Scope, zone and data center, the last two empty where the scope ignores them: subscribers with
# equal visibility see the same publishers.
Visibility = tuple[Scope, str, str]


class Subscriber:
    """One client's subscription to one datum, and how far the client's copy is.

    Invariants: `client_version` and `evaluated` are None together: then the client has nothing
    that a delta could start from, and gets a snapshot. Nothing is sent after a snapshot until the
    client has acknowledged it.
    """

    __slots__ = (
        "claim",
        "client",
        "client_version",
        "evaluated",
        "followed",
        "in_flight",
        "is_claim_held",
        "is_current",
        "is_filling",
        "is_reset",
        "is_unsure",
        "request_id",
        "sent_at",
        "visibility",
    )

    def __init__(self, client: Client, followed: FollowedDatum, scope: Scope) -> None:
        self.client = client
        self.followed = followed
        # Of the Subscribe that began it.
        self.request_id = 0
        self.visibility = _visibility(scope, client)
        # The version that the client has when it has taken all that was sent, and the version up to
        # which all changes were looked at for it: higher if the changes between are out of scope.
        self.client_version: Version | None = None
        self.evaluated: Version | None = None
        # Version and digest of the view that the client says it has; judged at the next push.
        self.claim: tuple[Version, int] | None = None
        # The claim is of an epoch that this session has not seen, so the primary was not asked yet.
        self.is_claim_held = False
        # Of each push that is not acknowledged, the oldest first: version, bytes of the bodies, and
        # the pushes that it belongs to, if it brings a change.
        self.in_flight: tuple[tuple[Version, int, PushRound | None], ...] = ()
        # A snapshot is among them.
        self.is_filling = False
        # When the newest push was sent.
        self.sent_at = 0.0
        # The client's version is above that of all primaries: it has to start again.
        self.is_reset = False
        # The client has exactly what there is, so the next push says only that.
        self.is_current = False
        # The client's copy was merged from a partial snapshot: send the whole once there is one.
        self.is_unsure = False

    @property
    def is_window_full(self) -> bool:
        """Whether the next push has to wait until the client has acknowledged one."""
        in_flight = self.in_flight
        if not in_flight:
            return False
        if self.is_filling or len(in_flight) >= self.client.pushes_max:
            return True
        in_flight_bytes = 0
        for _, size, _ in in_flight:
            in_flight_bytes += size
        return in_flight_bytes >= Limits.push_window_bytes

    def note_sent(self, size: int, now: float, *, is_snapshot: bool) -> None:
        """Note a push that brings the client to the version of the mirror."""
        mirror, push_round = self.followed.mirror, None
        if self.evaluated is not None:
            push_round = self.followed.push_round
            if push_round is not None:
                push_round.first_at = push_round.first_at or now
                push_round.last_at = now
                push_round.count += 1
        if is_snapshot:
            self.is_unsure, self.is_filling = mirror.is_unsure, True
        self.client_version = self.evaluated = mirror.version
        self.in_flight += ((mirror.version, size, push_round),)
        self.sent_at = now

    def acknowledge(self, version: Version, now: float) -> None:
        """End the pushes up to a version: an acknowledgement holds for the earlier ones too."""
        for pushed, _, push_round in self.in_flight:
            if pushed <= version and push_round is not None:
                push_round.confirmed_count += 1
                push_round.confirmed_at = now
        self.in_flight = tuple(push for push in self.in_flight if push[0] > version)
        self.is_filling = self.is_filling and bool(self.in_flight)

    def start_anew(self) -> None:
        """Note that nothing is known of the client's copy: it gets a snapshot next."""
        self.in_flight = ()
        self.client_version = self.evaluated = None
        self.is_filling = self.is_reset = False


def _visibility(scope: Scope, client: Client) -> Visibility:
    if scope is Scope.GLOBAL:
        return (scope, "", "")
    if scope is Scope.DATA_CENTER:
        return (scope, "", client.data_center)
    return (scope, client.zone, client.data_center)


def sees(visibility: Visibility, publisher: Publisher) -> bool:
    """Return whether a publisher is in scope."""
    scope, zone, data_center = visibility
    if scope is Scope.GLOBAL:
        return True
    if publisher.data_center != data_center:
        return False
    return scope is Scope.DATA_CENTER or publisher.zone == zone
