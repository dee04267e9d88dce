"""Take in one message from a peer: check its header, decode it, hand its records to the core.

Nothing that a peer can send raises here: it is counted by its code, and answered where somebody
waits for an answer.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final

from zreg.effects import Core, EpochSeen, Local, Peer, PeerIncompatible
from zreg.errors import ForeignClusterError, PeerError, ProtocolVersionError
from zreg.reactor.effect_runner import EffectRunner
from zreg.reactor.link_table import WITHOUT_EPOCH
from zreg.reactor.links import Channel, DialChannel, RouterChannel
from zreg.reactor.raft_links import AnswerChannel
from zreg.storage.failures import NodeEndError
from zreg.wire.codec import BadRecord, decode_frame
from zreg.wire.common_messages import Refused
from zreg.wire.envelope import Envelope, ForeignHeaderError

_EPOCHS_TOLD_MAX: Final = 1024
# What a whole peer is wrong with, and not one message of it.
_STRANGE: Final = (ForeignClusterError.code, ProtocolVersionError.code)


class Intake:
    """The way from a received message to the core."""

    def __init__(
        self,
        core: Core,
        envelope: Envelope,
        performer: EffectRunner,
        counts: Counter[str],
        tell: Callable[[Local, float], None],
    ) -> None:
        self._core = core
        self._envelope = envelope
        self._performer = performer
        self._counts = counts
        self._tell = tell
        self._epochs_told: set[int] = set()

    def take(
        self, channel: Channel, peer: Peer, header: bytes, frame: bytes | None, now: float
    ) -> None:
        """Hand over what one message holds; `frame` None: it had a wrong number of frames."""
        counts = self._counts
        counts["messages_in"] += 1
        if frame is None:
            counts["bad_frame_count"] += 1
            return
        counts["bytes_in"] += len(header) + len(frame)
        try:
            epoch = self._envelope.open(header)
            records = decode_frame(frame)
        except PeerError as error:
            self._refuse_message(channel, peer, error, now)
            return
        if channel.link not in WITHOUT_EPOCH and epoch > self._core.epoch:
            self._see_epoch(epoch, now)
        counts["records_in"] += len(records)
        link = channel.link
        receive = self._core.receive
        carry_out = self._performer.carry_out
        for record in records:
            if isinstance(record, BadRecord):
                self._refuse(channel, peer, record)
                continue
            try:
                effects = receive(link, peer, record, now)
                if effects:
                    carry_out(effects)
            except NodeEndError:
                raise
            except Exception:  # noqa: BLE001 -- whatever a core raises
                self._performer.core_failed(f"record={type(record).__name__}")

    def _refuse_message(self, channel: Channel, peer: Peer, error: PeerError, now: float) -> None:
        self._refuse(channel, peer, BadRecord(0, error.code, error.detail))
        if isinstance(channel, DialChannel) and error.code in _STRANGE:
            self._tell(PeerIncompatible(channel.link, peer, _strangeness(error)), now)

    def _refuse(self, channel: Channel, peer: Peer, bad: BadRecord) -> None:
        self._counts[f"bad_{bad.code}"] += 1
        # Never to whom we connected: a node answers requests, it does not argue with answers.
        if isinstance(channel, RouterChannel | AnswerChannel):
            answer = Refused(bad.request_id, bad.code, bad.detail, self._core.epoch)
            self._performer.sends.add(channel.link, peer, answer)

    def _see_epoch(self, epoch: int, now: float) -> None:
        """Tell the core of a higher epoch, once for each."""
        if epoch not in self._epochs_told:
            if len(self._epochs_told) >= _EPOCHS_TOLD_MAX:
                self._epochs_told.clear()
            self._epochs_told.add(epoch)
            self._tell(EpochSeen(epoch), now)


def _strangeness(error: PeerError) -> str:
    """Return what is wrong with whom this node connected to, for whoever gave the address."""
    if isinstance(error, ForeignHeaderError):
        return (
            f"it is of cluster {error.theirs!r}: give the name of its cluster with --cluster, or "
            "the address of another one"
        )
    return f"it is of another version of zreg: {error.detail}"
