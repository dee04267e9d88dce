"""A client without the client library, which reads only when it is told to."""

import zmq

from zreg.model import Scope, data_info_id
from zreg.wire.body import pack_body, unpack_body
from zreg.wire.codec import BadRecord, decode_frame, encode_frames
from zreg.wire.envelope import Envelope
from zreg.wire.messages import PROTOCOL_VERSION, Message
from zreg.wire.records.client_messages import (
    Hello,
    Publish,
    Push,
    PushAck,
    ReplayDone,
    Subscribe,
    Welcome,
    WhoAreYou,
)
from zreg.wire.records.common_messages import Ping


class SilentReader:
    """A client that publishes and subscribes, pings to keep its lease, and reads only when told."""

    def __init__(self, address: str, *data_ids: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.rcvhwm = 1
        self._socket.connect(f"tcp://{address}")
        self._header = Envelope("zreg").header(0)
        self._data_ids = data_ids
        self._request_id = 0
        self._version = 0
        # By name and publisher id.
        self.view: dict[tuple[str, bytes], object] = {}
        # The names of which it has acknowledged a push.
        self.acknowledged: set[str] = set()
        self.greeting_count = 0
        self.greet()
        self.replay()

    def send(self, message: Message) -> None:
        self._socket.send_multipart([self._header, encode_frames([message])[0]])

    def greet(self) -> None:
        self.greeting_count += 1
        self.send(Hello(PROTOCOL_VERSION, b"d" * 16))

    def replay(self) -> None:
        self._version += 1
        body = pack_body(["mine"], attributes={}, registered_at=0.0)
        name = data_info_id("pay")
        self.send(Publish(self._next_id(), b"p" * 16, self._version, name, body))
        for data_id in self._data_ids:
            self.send(Subscribe(self._next_id(), data_info_id(data_id), Scope.GLOBAL))
        self.send(ReplayDone())

    def _next_id(self) -> int:
        self._request_id += 1
        return self._request_id

    def read(self) -> None:
        """Take and answer all messages that have come; ping."""
        self.send(Ping())
        while self._socket.poll(50):
            for record in decode_frame(self._socket.recv_multipart()[1]):
                self._answer(record)

    def _answer(self, record: Message | BadRecord) -> None:
        match record:
            case WhoAreYou():
                self.greet()
            case Welcome() if self.greeting_count > 1:
                self.replay()
            case Push():
                for publisher in record.publishers:
                    values = unpack_body(publisher.body).values
                    self.view[record.data_info_id, publisher.publisher_id] = values[0]
                self.acknowledged.add(record.data_info_id)
                self.send(PushAck(record.data_info_id, record.scope, record.version))

    def close(self) -> None:
        self._socket.close()
        self._context.term()
