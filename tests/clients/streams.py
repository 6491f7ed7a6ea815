"""Exchanges that stream both ways at once, with trailers: against the example `streams`, over HTTP/1.1 by
plain sockets and over HTTP/2 by the package `h2` and httpx.
"""

import hashlib
import threading

import content
import h2stream
import raw
from asynchronous import httpx_client
from harness import TIMEOUT_S, expect, expect_bytes
from tunnels import pattern

HEAD = b"POST /echo HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n"
LARGE_BYTES = 32 << 20
# What fits into the buffers between a client that does not read and a server that echoes; and the window with
# which a stream begins (RFC 9113 6.9.2): a client that reads nothing sees no WINDOW_UPDATE.
UNREAD_BYTES = 384 * 1024
WINDOW_BYTES = 65_535


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


class Reader:
    """An answer of HTTP/1.1, read as it comes."""

    def __init__(self, sock):
        self.file = sock.makefile("rb")

    def line(self):
        return self.file.readline().rstrip(b"\r\n").decode()

    def fields(self):
        fields = {}
        while line := self.line():
            name, value = line.split(":", 1)
            fields[name.lower()] = value.strip()
        return fields

    def head(self):
        """The status and the fields, whatever its status."""
        return int(self.line().split(" ")[1]), self.fields()

    def next_chunk(self):
        """Content, or the trailers' dictionary."""
        length = int(self.line().split(";")[0], 16)
        if length == 0:
            return self.fields()
        data = self.file.read(length)
        expect(self.line(), "")
        return data

    def content(self, digest):
        """Takes the content into a digest: its length, and the trailers."""
        length = 0
        while isinstance(piece := self.next_chunk(), bytes):
            digest.update(piece)
            length += len(piece)
        return length, piece

    def exactly(self, length):
        data = b""
        while len(data) < length:
            piece = self.next_chunk()
            expect(type(piece), bytes)
            data += piece
        return data


def check_http1(checks, server):
    def in_turn():
        with raw.connect(server) as sock:
            reader = Reader(sock)
            sock.sendall(HEAD)
            for number in range(200):
                piece = b"piece %d;" % number * (1 + number % 50)
                sock.sendall(chunk(piece))
                if number == 0:
                    status, fields = reader.head()
                    expect((status, fields.get("transfer-encoding")), (200, "chunked"))
                expect_bytes(reader.exactly(len(piece)), piece)
            sock.sendall(b"0\r\nX-Sum: 12\r\nX-Other: yes\r\n\r\n")
            trailers = reader.next_chunk()
            expect((trailers["x-sum"], trailers["x-other"], trailers["x-bytes"].isdigit()), ("12", "yes", True))
            # And the connection is good for another.
            sock.sendall(HEAD + chunk(b"again") + b"0\r\n\r\n")
            expect(reader.head()[0], 200)
            expect(reader.exactly(5), b"again")
            expect(reader.next_chunk(), {"x-bytes": "5"})

    def large():
        data = pattern(1 << 20)
        wanted = hashlib.sha256()
        got, found = hashlib.sha256(), []
        with raw.connect(server) as sock:
            reader = Reader(sock)

            def read():
                found.append(reader.head()[0])
                found.append(reader.content(got))

            thread = threading.Thread(target=read, daemon=True)
            thread.start()
            sock.sendall(HEAD)
            for _ in range(LARGE_BYTES >> 20):
                wanted.update(data)
                sock.sendall(chunk(data))
            sock.sendall(b"0\r\nX-Hash: %b\r\n\r\n" % wanted.hexdigest().encode())
            thread.join(2 * TIMEOUT_S)
        hash_field = wanted.hexdigest()
        expect(found, [200, (LARGE_BYTES, {"x-hash": hash_field, "x-bytes": str(LARGE_BYTES)})])
        expect(got.hexdigest(), hash_field)

    def written_first():
        data = pattern(UNREAD_BYTES)
        with raw.connect(server) as sock:
            sock.sendall(HEAD + chunk(data) + b"0\r\nX-Late: 1\r\n\r\n")
            reader = Reader(sock)
            expect(reader.head()[0], 200)
            expect_bytes(reader.exactly(len(data)), data)
            expect(reader.next_chunk(), {"x-late": "1", "x-bytes": str(len(data))})

    def announced():
        with raw.connect(server) as sock:
            sock.sendall(b"PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
            reader = Reader(sock)
            expect(reader.head()[0], 200)
            expect((reader.exactly(5), reader.next_chunk()), (b"hello", {"x-bytes": "5"}))
            expect(reader.file.read(), b"")

    def in_1_0():
        """No chunks and no trailers: the end of the connection ends the body."""
        with raw.connect(server) as sock:
            sock.sendall(b"POST /echo HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello")
            head, _, body = raw.to_end(sock).partition(b"\r\n\r\n")
            expect((head.split(b" ")[1], b"chunked" in head.lower(), body), (b"200", False, b"hello"))

    who = "sockets"
    checks.run(who, "a piece and its echo in turn, trailers both ways", in_turn)
    checks.run(who, "32 MiB up and down at once, trailers", large)
    checks.run(who, "all is written before anything is read", written_first)
    checks.run(who, "an echo of a body whose length is announced", announced)
    checks.run(who, "an echo to HTTP/1.0", in_1_0)


def check_http2(checks, server):
    def in_turn():
        with h2stream.Connection(server) as connection:
            stream = connection.request("POST", "/echo", ("te", "trailers"))
            for number in range(200):
                piece = b"piece %d;" % number * (1 + number % 50)
                stream.write(piece)
                expect_bytes(stream.read_exactly(len(piece)), piece)
            connection.trailers(stream, ("x-sum", "12"))
            expect(stream.read_to_end(), b"")
            expect((stream.status(), stream.trailers["x-sum"]), (200, "12"))
            expect(stream.trailers["x-bytes"].isdigit(), True)

    def large():
        data = pattern(1 << 20)
        wanted, got, length = hashlib.sha256(), hashlib.sha256(), 0
        with h2stream.Connection(server) as connection:
            stream = connection.request("POST", "/echo", ("te", "trailers"))
            for _ in range(LARGE_BYTES >> 20):
                wanted.update(data)
                stream.write(data)
                got.update(stream.data)
                length += len(stream.data)
                stream.data.clear()
            connection.trailers(stream, ("x-hash", wanted.hexdigest()))
            rest = stream.read_to_end()
            got.update(rest)
            expect(length + len(rest), LARGE_BYTES)
            expect(got.hexdigest(), wanted.hexdigest())
            expect(stream.trailers, {"x-hash": wanted.hexdigest(), "x-bytes": str(LARGE_BYTES)})

    def written_first():
        data = pattern(WINDOW_BYTES)
        with h2stream.Connection(server) as connection:
            stream = connection.request("POST", "/echo", ("te", "trailers"))
            connection.reads = False
            stream.write(data)
            connection.trailers(stream, ("x-late", "1"))
            connection.reads = True
            expect_bytes(stream.read_to_end(), data)
            expect(stream.trailers, {"x-late": "1", "x-bytes": str(len(data))})

    def many():
        """Streams that go on at the same time on one connection, and one of them given up."""
        with h2stream.Connection(server) as connection:
            streams = [connection.request("POST", "/echo") for _ in range(50)]
            for number in range(10):
                for stream in streams:
                    stream.write(b"%d on %d;" % (number, stream.number))
            streams[7].reset()
            for stream in streams:
                if stream is streams[7]:
                    continue
                stream.end()
                wanted = b"".join(b"%d on %d;" % (number, stream.number) for number in range(10))
                expect_bytes(stream.read_to_end(), wanted)
                expect(stream.trailers["x-bytes"], str(len(wanted)))

    def with_httpx():
        import asyncio

        async def go():
            async def body():
                for _ in range(16):
                    yield content.TEXT

            async with httpx_client(http1=False, http2=True) as client:
                async with client.stream("POST", server.url + "/echo", content=body()) as reply:
                    expect((reply.status_code, reply.http_version), (200, "HTTP/2"))
                    expect_bytes(await reply.aread(), content.TEXT * 16)

        asyncio.run(asyncio.wait_for(go(), 2 * TIMEOUT_S))

    who = "h2"
    checks.run(who, "a piece and its echo in turn, trailers both ways", in_turn)
    checks.run(who, "32 MiB up and down at once, trailers", large)
    checks.run(who, "all is written before anything is read", written_first)
    checks.run(who, "50 echoes at once, one of them reset", many)
    checks.run("httpx, HTTP/2", "an echo of 1 MiB", with_httpx)


def check(checks, server):
    check_http1(checks, server)
    check_http2(checks, server)
