"""Tunnels of the example `streams`: HTTP/1.1 `Upgrade`, CONNECT, and both over HTTP/2 (RFC 8441)."""

import hashlib
import http.client
import socket
import struct
import threading
import time

import h2stream
import raw
from harness import TIMEOUT_S, Server, expect, expect_bytes

UPGRADE = b"GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: %b\r\n\r\n"
CONNECT = b"CONNECT far.example:443 HTTP/1.1\r\nHost: far.example:443\r\n\r\n"
LARGE_BYTES = 16 << 20


def pattern(length):
    """Bytes that tell where they belong."""
    return b"".join(struct.pack(">I", number) for number in range(length // 4))


def head_of(sock):
    """The head of an answer, and what came behind it."""
    received = b""
    while b"\r\n\r\n" not in received:
        more = sock.recv(4096)
        if not more:
            raise ConnectionError(f"closed within the head: {received[-100:]!r}")
        received += more
    head, _, rest = received.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    return int(lines[0].split(" ")[1]), dict(line.split(": ", 1) for line in lines[1:]), rest


def exactly(sock, length):
    received = b""
    while len(received) < length:
        more = sock.recv(length - len(received))
        if not more:
            raise ConnectionError(f"closed after {len(received)} of {length} bytes")
        received += more
    return received


def both_ways(sock):
    """16 MiB up while they come down."""
    data = pattern(1 << 20)
    wanted, got = hashlib.sha256(), hashlib.sha256()
    found = []

    def read():
        left = LARGE_BYTES
        while left and (more := sock.recv(65_536)):
            got.update(more)
            left -= len(more)
        found.append(left)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    for _ in range(LARGE_BYTES >> 20):
        wanted.update(data)
        sock.sendall(data)
    thread.join(2 * TIMEOUT_S)
    expect((found, got.hexdigest()), ([0], wanted.hexdigest()))


def reset(sock):
    """Closes with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def check_http1(checks, server, who, request, status):
    def echoes():
        with raw.connect(server) as sock:
            sock.sendall(request + b"first bytes")
            got, fields, rest = head_of(sock)
            expect((got, "content-length" in fields, "transfer-encoding" in fields), (status, False, False))
            if status == 101:
                expect((fields["upgrade"], "upgrade" in fields["connection"]), ("echo", True))
            expect(rest + exactly(sock, 11 - len(rest)), b"first bytes")
            for number in range(100):
                sock.sendall(b"piece %d" % number)
                expect(exactly(sock, len(b"piece %d" % number)), b"piece %d" % number)
            # It is no HTTP any more.
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            expect(exactly(sock, 27), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[:27])

    def large():
        with raw.connect(server) as sock:
            sock.sendall(request)
            expect(head_of(sock)[0], status)
            both_ways(sock)
            sock.shutdown(socket.SHUT_WR)
            expect(sock.recv(1), b"")

    def half_closed():
        data = pattern(384 * 1024)
        # No more than waits between a client that does not read and a server that echoes.
        with raw.connect(server) as sock:
            sock.sendall(request + data)
            sock.shutdown(socket.SHUT_WR)
            got, _, rest = head_of(sock)
            expect(got, status)
            expect_bytes(rest + raw.to_end(sock), data)

    def is_reset():
        for _ in range(20):
            sock = raw.connect(server)
            sock.sendall(request + pattern(8192))
            expect(head_of(sock)[0], status)
            reset(sock)
        with raw.connect(server) as sock:
            sock.sendall(request + b"still here")
            _, _, rest = head_of(sock)
            expect(rest + exactly(sock, 10 - len(rest)), b"still here")

    checks.run(who, "bytes behind the head come first, and all are echoed", echoes)
    checks.run(who, "16 MiB up and down at once", large)
    checks.run(who, "a client that half-closes gets the rest", half_closed)
    checks.run(who, "clients that reset harm nothing", is_reset)


def check_refusals(checks, server):
    def answered(request, wanted, names_it):
        with raw.connect(server) as sock:
            sock.sendall(request)
            status, fields, rest = head_of(sock)
            expect(status, wanted)
            expect(fields.get("upgrade"), "echo" if names_it else None)
            expect("upgrade" in fields.get("connection", ""), names_it)
            exactly(sock, int(fields["content-length"]) - len(rest))

    def refused_http1():
        answered(UPGRADE % b"websocket", 426, True)
        answered(b"GET /tunnel HTTP/1.1\r\nHost: a\r\n\r\n", 426, True)
        # An offer that `Connection` does not name is none.
        answered(b"GET /tunnel HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\n\r\n", 426, True)
        answered(b"GET /far HTTP/1.1\r\nHost: a\r\n\r\n", 405, False)

    def chosen():
        """One of several protocols."""
        with raw.connect(server) as sock:
            sock.sendall(UPGRADE % b"websocket, Echo" + b"hi")
            status, fields, rest = head_of(sock)
            expect((status, fields["upgrade"]), (101, "echo"))
            expect(rest + exactly(sock, 2 - len(rest)), b"hi")

    checks.run("sockets", "a wrong protocol or none is 426 and says which", refused_http1)
    checks.run("sockets", "one protocol of several", chosen)


def check_http_client(checks, server):
    def tunnelled():
        connection = http.client.HTTPConnection(server.host, server.port, timeout=TIMEOUT_S)
        connection.set_tunnel("far.example", 80)
        connection.connect()
        connection.sock.sendall(b"within")
        expect(exactly(connection.sock, 6), b"within")
        connection.close()

    checks.run("http.client", "CONNECT by set_tunnel", tunnelled)


def check_http2(checks, server, who, open_tunnel):
    def echoes():
        with h2stream.Connection(server) as connection:
            stream = open_tunnel(connection)
            # Before the answer is there.
            stream.write(b"first bytes")
            expect((stream.status(), stream.read_exactly(11)), (200, b"first bytes"))
            for number in range(100):
                stream.write(b"piece %d" % number)
                expect(stream.read_exactly(len(b"piece %d" % number)), b"piece %d" % number)
            stream.end()
            expect((stream.read_to_end(), stream.has_ended, stream.error_code), (b"", True, None))

    def large():
        data = pattern(1 << 20)
        with h2stream.Connection(server) as connection:
            stream = open_tunnel(connection)
            expect(stream.status(), 200)
            wanted, got, length = hashlib.sha256(), hashlib.sha256(), 0
            for _ in range(LARGE_BYTES >> 20):
                wanted.update(data)
                stream.write(data)
                length += len(stream.data)
                got.update(stream.data)
                stream.data.clear()
            stream.end()
            rest = stream.read_to_end()
            got.update(rest)
            expect((length + len(rest), got.hexdigest()), (LARGE_BYTES, wanted.hexdigest()))

    def is_reset():
        with h2stream.Connection(server) as connection:
            for _ in range(50):
                stream = open_tunnel(connection)
                stream.write(b"some")
                expect((stream.status(), stream.read_exactly(4)), (200, b"some"))
                stream.reset()
            stream = open_tunnel(connection)
            stream.write(b"still here")
            expect((stream.status(), stream.read_exactly(10)), (200, b"still here"))

    def beside():
        """A tunnel and ordinary requests on one connection."""
        with h2stream.Connection(server) as connection:
            tunnel = open_tunnel(connection)
            for number in range(20):
                tunnel.write(b"tunnel %d" % number)
                echo = connection.request("POST", "/echo")
                echo.write(b"request %d" % number, end=True)
                expect(echo.read_to_end(), b"request %d" % number)
                expect(tunnel.read_exactly(len(b"tunnel %d" % number)), b"tunnel %d" % number)

    checks.run(who, "bytes before the answer come first, and all are echoed", echoes)
    checks.run(who, "16 MiB up and down at once", large)
    checks.run(who, "clients that reset harm nothing", is_reset)
    checks.run(who, "ordinary requests beside it", beside)


def check_http2_refusals(checks, server):
    def refused():
        with h2stream.Connection(server) as connection:
            expect(connection.takes_protocols(), True)
            for stream, wanted in (
                (connection.connect_protocol("websocket", "/tunnel"), 400),
                (connection.request("GET", "/tunnel", end=True), 400),
                (connection.request("GET", "/far", end=True), 405),
            ):
                expect(stream.status(), wanted)
                expect("upgrade" in stream.head, False)

    checks.run("h2", "a wrong protocol or none is 400", refused)


def check_drain(checks, program):
    """Nothing waits for streams that no client can end any more."""

    def drains():
        server = Server(program, "127.0.0.1:0")
        with h2stream.Connection(server) as connection, raw.connect(server) as upgraded:
            upgraded.sendall(UPGRADE % b"echo" + b"some")
            expect(head_of(upgraded)[0], 101)
            for stream in (
                connection.connect("far.example:443"),
                connection.connect_protocol("echo", "/tunnel"),
                connection.request("POST", "/echo"),
            ):
                stream.write(b"some")
                expect(stream.read_exactly(4), b"some")
            expect(connection.connect_protocol("other", "/tunnel").status(), 400)
        began = time.monotonic()
        expect((server.stop(), time.monotonic() - began < 4), (0, True))

    checks.run("sockets, h2", "a server ends though clients left their streams open", drains)


def check(checks, server, program):
    check_drain(checks, program)
    check_http1(checks, server, "sockets, Upgrade", UPGRADE % b"echo", 101)
    check_http1(checks, server, "sockets, CONNECT", CONNECT, 200)
    check_http_client(checks, server)
    check_refusals(checks, server)
    check_http2(checks, server, "h2, CONNECT", lambda connection: connection.connect("far.example:443"))
    check_http2(
        checks, server, "h2, CONNECT with a protocol", lambda connection: connection.connect_protocol("echo", "/tunnel")
    )
    check_http2_refusals(checks, server)
