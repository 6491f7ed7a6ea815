"""axum's WebSockets through the tower adapter: the example `websocket` and the package `websockets`."""

import asyncio
import os
import socket

import h2stream
import raw
import websockets.asyncio.client
import websockets.exceptions
import websockets.sync.client
from harness import TIMEOUT_S, expect, expect_bytes
from tunnels import head_of, pattern, reset

SAMPLE = (
    b"GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
LARGE_BYTES = 1 << 20


def masked(opcode, payload):
    """One frame of a client's, of at most 125 bytes (RFC 6455 5.2)."""
    mask = os.urandom(4)
    data = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return bytes([0x80 | opcode, 0x80 | len(payload)]) + mask + data


def check(checks, server, plain=400):
    """`plain`: the status of a GET that is no handshake, as the version of HTTP at the server has it."""
    url = f"ws://{server.host}:{server.port}"
    options = {"max_size": 8 * LARGE_BYTES, "open_timeout": TIMEOUT_S, "close_timeout": TIMEOUT_S, "proxy": None}

    def connect(path="/echo", **more):
        return websockets.sync.client.connect(url + path, **options, **more)

    def messages():
        with connect() as client:
            for number in range(200):
                client.send(f"message {number}")
                expect(client.recv(TIMEOUT_S), f"message {number}")
            client.send(b"")
            expect(client.recv(TIMEOUT_S), b"")
            # A thousand on their way before the first is read.
            for number in range(1000):
                client.send(b"%d" % number)
            for number in range(1000):
                expect(client.recv(TIMEOUT_S), b"%d" % number)
            expect(client.ping().wait(TIMEOUT_S), True)

    def large():
        data = pattern(LARGE_BYTES)
        for compression in (None, "deflate"):
            with connect(compression=compression) as client:
                for _ in range(4):
                    client.send(data)
                    expect_bytes(client.recv(TIMEOUT_S), data)
                client.send([data[:100_000], data[100_000:]])
                expect_bytes(client.recv(TIMEOUT_S), data)

    def closes():
        client = connect()
        client.close(1000, "enough")
        expect((client.close_code, client.close_reason), (1000, "enough"))

    def subprotocols():
        with connect("/chat", subprotocols=["other", "chat"]) as client:
            expect(client.subprotocol, "chat")
            client.send("hi")
            expect(client.recv(TIMEOUT_S), "hi")

    def at_once():
        async def one(number):
            async with websockets.asyncio.client.connect(url + "/echo", **options) as client:
                for round_number in range(10):
                    await client.send(f"{number}: {round_number}")
                    expect(await client.recv(), f"{number}: {round_number}")
                await client.send(pattern(100_000))
                expect_bytes(await client.recv(), pattern(100_000))

        async def all_of_them():
            await asyncio.gather(*(one(number) for number in range(100)))

        asyncio.run(asyncio.wait_for(all_of_them(), 2 * TIMEOUT_S))

    def by_hand():
        with raw.connect(server) as sock:
            # The first frame in one segment with the handshake.
            sock.sendall(SAMPLE + b"\r\n" + masked(1, b"Hello"))
            status, fields, rest = head_of(sock)
            expect((status, fields["upgrade"], fields["connection"]), (101, "websocket", "upgrade"))
            expect(fields["sec-websocket-accept"], "s3pplmbitxaq9kygzzhzrbk+xoo=")
            expect(("content-length" in fields, "transfer-encoding" in fields), (False, False))
            rest += b"" if len(rest) >= 7 else sock.recv(7 - len(rest))
            expect(rest, b"\x81\x05Hello")
            sock.sendall(masked(8, b"\x03\xe8"))
            expect(raw.to_end(sock), b"\x88\x02\x03\xe8")

    def leaves():
        """Clients that are gone without a close handshake."""
        for _ in range(20):
            sock = raw.connect(server)
            sock.sendall(SAMPLE + b"\r\n" + masked(1, b"Hello"))
            expect(head_of(sock)[0], 101)
            reset(sock)
        with raw.connect(server) as sock:
            sock.sendall(SAMPLE + b"\r\n")
            expect(head_of(sock)[0], 101)
            sock.shutdown(socket.SHUT_WR)
            raw.to_end(sock)
        with connect() as client:
            client.send("still here")
            expect(client.recv(TIMEOUT_S), "still here")

    def unread():
        """What is not read holds the other side back, and is all there later."""
        count = 64
        with connect(compression=None, max_queue=4) as client:
            data = pattern(65_536)
            for _ in range(count):
                client.send(data)
            for _ in range(count):
                expect_bytes(client.recv(TIMEOUT_S), data)

    def refused():
        for request, wanted in (
            (SAMPLE.replace(b"Version: 13", b"Version: 12") + b"Connection: close\r\n\r\n", 400),
            (b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n", plain),
            (SAMPLE.replace(b"/echo", b"/none") + b"\r\n", 404),
        ):
            with raw.connect(server) as sock:
                sock.sendall(request)
                expect(head_of(sock)[0], wanted)

    def over_http2():
        """By extended CONNECT (RFC 8441)."""
        with h2stream.Connection(server) as connection:
            expect(connection.takes_protocols(), True)
            stream = connection.connect_protocol("websocket", "/echo", ("sec-websocket-version", "13"))
            expect(stream.status(), 200)
            stream.write(masked(1, b"Hello"))
            expect(stream.read_exactly(7), b"\x81\x05Hello")
            stream.write(masked(8, b"\x03\xe8"))
            expect(stream.read_to_end(), b"\x88\x02\x03\xe8")
            expect(connection.connect("far.example:443").status() >= 400, True)

    who = "websockets"
    checks.run(who, "1,200 messages, and a ping", messages)
    checks.run(who, "1 MiB, whole, in parts, and with an offer to compress", large)
    checks.run(who, "the close handshake", closes)
    checks.run(who, "a subprotocol is chosen", subprotocols)
    checks.run(who, "100 at once", at_once)
    checks.run(who, "4 MiB on their way before any is read", unread)
    checks.run("sockets", "the handshake of RFC 6455, byte by byte known", by_hand)
    checks.run("sockets", "clients that leave without a handshake harm nothing", leaves)
    checks.run("sockets", "handshakes that are none", refused)
    checks.run("h2", "a WebSocket over HTTP/2", over_http2)
