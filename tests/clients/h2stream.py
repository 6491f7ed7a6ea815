"""Streams of one HTTP/2 connection over the package `h2`: what no ready client does, such as writing a stream
while reading it, CONNECT with and without a protocol, and counting interim responses. One thread; a call that
waits goes on both reading and writing the socket.
"""

import select
import socket
import time

import h2.config
import h2.connection
import h2.events
import h2.settings
from harness import TIMEOUT_S

READ_BYTES = 65_536
WINDOW = 1 << 20


class Stream:
    """One exchange, and what came of it so far."""

    def __init__(self, connection, number):
        self.connection = connection
        self.number = number
        self.interim = []
        self.head = None
        self.data = bytearray()
        self.trailers = None
        self.has_ended = False
        self.error_code = None

    def status(self):
        self.connection.until(lambda: self.head is not None or self.error_code is not None)
        return int(self.head[":status"]) if self.head else None

    def write(self, data, end=False):
        """All of it, as the windows let it out; what comes meanwhile is taken."""
        self.connection.write(self, memoryview(data), end)

    def end(self):
        self.write(b"", end=True)

    def reset(self, error_code=8):
        self.connection.h2.reset_stream(self.number, error_code)
        self.connection.turn(0)

    def read_exactly(self, length):
        self.connection.until(lambda: len(self.data) >= length or self.is_over())
        taken = bytes(self.data[:length])
        del self.data[:length]
        return taken

    def read_to_end(self):
        self.connection.until(self.is_over)
        taken, self.data = bytes(self.data), bytearray()
        return taken

    def is_over(self):
        return self.has_ended or self.error_code is not None


class Connection:
    """A connection by prior knowledge."""

    def __init__(self, server):
        self.socket = socket.create_connection((server.host, server.port), timeout=TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        config = h2.config.H2Configuration(
            client_side=True, header_encoding="utf-8", validate_outbound_headers=False
        )
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW})
        self.h2.increment_flow_control_window(8 * WINDOW)
        self.output = bytearray()
        self.streams = {}
        self.is_closed = False
        self.has_settings = False
        # Data is not acknowledged while this is set: the server's windows run out.
        self.reads = True
        self.authority = f"{server.host}:{server.port}"
        self.until(lambda: self.has_settings)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def takes_protocols(self):
        """Whether the server announced extended CONNECT (RFC 8441 3)."""
        code = h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL
        return self.h2.remote_settings.get(code, 0) == 1

    def ask(self, fields, end):
        number = self.h2.get_next_available_stream_id()
        self.h2.send_headers(number, fields, end_stream=end)
        stream = self.streams[number] = Stream(self, number)
        self.turn(0)
        return stream

    def request(self, method, path, *fields, end=False):
        head = [(":method", method), (":scheme", "http"), (":authority", self.authority), (":path", path)]
        return self.ask([*head, *fields], end)

    def connect(self, authority):
        return self.ask([(":method", "CONNECT"), (":authority", authority)], False)

    def connect_protocol(self, protocol, path, *fields):
        head = [(":method", "CONNECT"), (":protocol", protocol), (":scheme", "http")]
        return self.ask([*head, (":path", path), (":authority", self.authority), *fields], False)

    def trailers(self, stream, *fields):
        self.h2.send_headers(stream.number, list(fields), end_stream=True)
        self.turn(0)

    def write(self, stream, data, end):
        at, deadline = 0, time.monotonic() + TIMEOUT_S
        while True:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{at} of {len(data)} bytes written within {TIMEOUT_S} s")
            if stream.error_code is not None:
                raise ConnectionError(f"reset by the server: {stream.error_code}")
            room = min(self.h2.local_flow_control_window(stream.number), self.h2.max_outbound_frame_size)
            if len(data) > at and (room <= 0 or len(self.output) > 4 * READ_BYTES):
                self.turn(0.5)
                continue
            piece = data[at : at + room]
            at += len(piece)
            is_last = at == len(data)
            self.h2.send_data(stream.number, bytes(piece), end_stream=end and is_last)
            self.turn(0)
            if is_last:
                return

    def until(self, holds):
        deadline = time.monotonic() + TIMEOUT_S
        while not holds():
            if self.is_closed:
                raise ConnectionError("the server closed the connection")
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {TIMEOUT_S} s")
            self.turn(0.5)

    def turn(self, timeout_s):
        """Writes and reads what goes without waiting, or waits for something to go."""
        self.output += self.h2.data_to_send()
        wants = [self.socket] if self.output else []
        readable, writable, _ = select.select([self.socket] if self.reads else [], wants, [], timeout_s)
        if writable:
            del self.output[: self.socket.send(self.output)]
        if readable:
            received = self.socket.recv(READ_BYTES)
            if not received:
                self.is_closed = True
            for event in self.h2.receive_data(received):
                self.handle(event)
            self.output += self.h2.data_to_send()

    def handle(self, event):
        if isinstance(event, h2.events.RemoteSettingsChanged):
            self.has_settings = True
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.is_closed = True
        stream = self.streams.get(getattr(event, "stream_id", None))
        if stream is None:
            return
        if isinstance(event, h2.events.InformationalResponseReceived):
            stream.interim.append(dict(event.headers))
        elif isinstance(event, h2.events.ResponseReceived):
            stream.head = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            stream.data += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, stream.number)
        elif isinstance(event, h2.events.TrailersReceived):
            stream.trailers = dict(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            stream.has_ended = True
        elif isinstance(event, h2.events.StreamReset):
            stream.error_code = int(event.error_code)
