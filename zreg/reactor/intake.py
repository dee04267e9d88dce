"""Take one message from a peer: check its header, decode it, hand its records to the core.

Nothing that a peer can send raises here. A bad message is counted by its code, and answered if the
peer waits for an answer.
"""

from collections import Counter
from typing import Final

from zreg.effects import OTHER_CLUSTER, WARNING, Core, EpochSeen, Log, Peer, PeerIncompatible
from zreg.errors import ForeignClusterError, PeerError, ProtocolVersionError
from zreg.reactor.core_calls import CoreCalls
from zreg.reactor.link_table import WITHOUT_EPOCH
from zreg.reactor.outgoing.effect_runner import EffectRunner
from zreg.reactor.sockets.bound.bound_sockets import RouterSocket
from zreg.reactor.sockets.link_socket import LinkSocket
from zreg.reactor.sockets.peer_connections import PeerConnection
from zreg.reactor.sockets.raft_sockets import RepSocket
from zreg.storage.failures import NodeEndError
from zreg.wire.codec import BadRecord, decode_frame
from zreg.wire.envelope import Envelope, ForeignHeaderError, VersionHeaderError
from zreg.wire.records.common_messages import Refused

_EPOCHS_TOLD_MAX: Final = 1024
_STRANGERS_LOGGED_MAX: Final = 8

# These codes concern the whole peer, and not one message of it.
_INCOMPATIBLE: Final = (ForeignClusterError.code, ProtocolVersionError.code)


class Intake:
    """The way from a received message to the core."""

    def __init__(
        self,
        core: Core,
        envelope: Envelope,
        runner: EffectRunner,
        core_calls: CoreCalls,
        counts: Counter[str],
    ) -> None:
        self._core = core
        self._envelope = envelope
        self._runner = runner
        self._core_calls = core_calls
        self._counts = counts
        self._epochs_told: set[int] = set()
        # The protocol versions and clusters of peers that the log has named, the first few only.
        self._strangers_logged: set[str | int] = set()

    def take(
        self, socket: LinkSocket, peer: Peer, header: bytes, frame: bytes | None, now: float
    ) -> int:
        """Hand over the records of a message, and return how many they are, at least 1.

        `frame` is None if the message has too few or too many frames.
        """
        counts = self._counts
        counts["messages_in"] += 1
        if frame is None:
            counts["bad_frame_count"] += 1
            return 1
        counts["bytes_in"] += len(header) + len(frame)
        try:
            epoch = self._envelope.open(header)
            records = decode_frame(frame)
        except PeerError as error:
            self._refuse_message(socket, peer, error, now)
            return 1
        if socket.link not in WITHOUT_EPOCH and epoch > self._core.epoch:
            self._tell_epoch(epoch, now)
        counts["records_in"] += len(records)
        link = socket.link
        receive = self._core.receive
        carry_out = self._runner.carry_out
        for record in records:
            if isinstance(record, BadRecord):
                self._refuse(socket, peer, record)
                continue
            try:
                effects = receive(link, peer, record, now)
                if effects:
                    carry_out(effects)
            except NodeEndError:
                raise
            except Exception:  # noqa: BLE001 -- a core may raise anything
                self._core_calls.on_failure(f"record={type(record).__name__}")
        return len(records) or 1

    def _refuse_message(self, socket: LinkSocket, peer: Peer, error: PeerError, now: float) -> None:
        self._refuse(socket, peer, BadRecord(0, error.code, error.detail))
        if isinstance(error, VersionHeaderError):
            self._log_stranger(socket, "peer.incompatible", error.theirs, error.here)
        is_ours = isinstance(socket, PeerConnection)
        if isinstance(error, ForeignHeaderError) and not is_ours:
            self._log_stranger(socket, "peer.foreign", error.theirs, _why_incompatible(error))
        if is_ours and error.code in _INCOMPATIBLE:
            # The core says it: it knows what the connection is for.
            incompatible = PeerIncompatible(socket.link, peer, _why_incompatible(error))
            self._core_calls.tell(incompatible, now)

    def _log_stranger(self, socket: LinkSocket, event: str, theirs: str | int, detail: str) -> None:
        """Name another protocol version or cluster once: its peers try again, and may be many."""
        logged = self._strangers_logged
        if theirs not in logged and len(logged) < _STRANGERS_LOGGED_MAX:
            logged.add(theirs)
            self._runner.log(Log(WARNING, event, {"link": socket.link.name, "detail": detail}))

    def _refuse(self, socket: LinkSocket, peer: Peer, bad: BadRecord) -> None:
        self._counts[f"bad_{bad.code}"] += 1
        # Only requests are refused. What comes over a connection of ours is an answer or a hint.
        if isinstance(socket, RouterSocket | RepSocket):
            answer = Refused(bad.request_id, bad.code, bad.detail, self._core.epoch)
            self._runner.sends.add(socket.link, peer, answer)

    def _tell_epoch(self, epoch: int, now: float) -> None:
        """Tell the core about a higher epoch, once for each epoch."""
        if epoch not in self._epochs_told:
            if len(self._epochs_told) >= _EPOCHS_TOLD_MAX:
                self._epochs_told.clear()
            self._epochs_told.add(epoch)
            self._core_calls.tell(EpochSeen(epoch), now)


def _why_incompatible(error: PeerError) -> str:
    """Return why this node cannot work with a peer, for the person who gave the address."""
    if isinstance(error, ForeignHeaderError):
        return (
            f"{OTHER_CLUSTER} {error.theirs!r}: give the name of its cluster with --cluster, or "
            "the address of another one"
        )
    return error.here if isinstance(error, VersionHeaderError) else error.detail
