"""The client's side but for the load: checks answers, holds idle connections.

Knows a port and a path, nothing of which program answers there.
"""

import http.client
import json
import random
import selectors
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from benching.rows import FILES, GREETING, MIX, PIPELINED, TEXT_FILE, TREE_FOLDER, Row, order, priced
from benching.servers import Bench, Server, tool

COMPRESSED_WITHIN_S = 10
# RFC 6455: a handshake, and a message of a client's with its echo; the mask is nought.
HANDSHAKE = ("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
MESSAGE, MESSAGE_BACK = b"\x81\x85\0\0\0\0Hello", b"\x81\x05Hello"
# WebSockets that are opened and closed before memory is weighed.
WARM_WEBSOCKETS = 64


class Wrong(Exception):
    """An answer that is not the one asked for; the row is invalid, with this as its reason."""


def expected_body(bench: Bench, row: Row) -> bytes:
    name = row.path[1:]
    if row.answer == "echo":
        return row.body
    if row.way == "random":
        return (bench.tree / name).read_bytes()
    return (bench.files / name).read_bytes() if name in FILES or name == TEXT_FILE else GREETING


def check(bench: Bench, row: Row, server: Server) -> int:
    """Asks once in the row's own way and compares whole answers; gives the bytes of one answer."""
    try:
        if row.way == "random":
            check_tree(bench, row, server)
        for _, path in MIX if row.way == "mixed" else ():
            part = replace(row, path=path)
            ask_and_compare(server, part, 1, expected_body(bench, part))
        if row.answer == "decoded":
            check_decoded(bench, row, server)
        count = PIPELINED if row.way == "pipelined" else 1
        return ask_and_compare(server, row, count, expected_body(bench, row)) // count
    except (OSError, http.client.HTTPException) as failure:
        raise Wrong(f"{server.program} does not answer {row.path}: {failure!r}") from failure


def check_websockets(row: Row, server: Server) -> None:
    """Opens some, has a message echoed by each, and closes them."""
    request = request_bytes(server, row)
    try:
        for _ in range(WARM_WEBSOCKETS):
            with open_websocket(server.port, request) as client:
                if ask_all([client], MESSAGE, MESSAGE_BACK) != 1:
                    raise Wrong(f"{server.program} does not pass on a message and its echo")
    except OSError as failure:
        raise Wrong(f"{server.program} opens no WebSocket at {row.path}: {failure!r}") from failure


def open_websocket(port: int, request: bytes, source: str = "") -> socket.socket:
    client = connect(port, "http", source)
    client.sendall(request)
    head = b""
    while b"\r\n\r\n" not in head:
        if not (more := client.recv(1)):
            break
        head += more
    if not head.startswith(b"HTTP/1.1 101 "):
        raise ConnectionError(f"answered with {head[:60]!r}")
    return client


def check_tree(bench: Bench, row: Row, server: Server) -> None:
    """Some files from all over the tree, for one that is right says nothing of the others."""
    choice = random.Random(11)
    for _ in range(20):
        number = choice.randrange(bench.tree_files)
        path = f"/{number // TREE_FOLDER:03}/{number % TREE_FOLDER:03}.txt"
        ask_and_compare(server, replace(row, path=path), 1, (bench.tree / path[1:]).read_bytes())


def check_decoded(bench: Bench, row: Row, server: Server) -> None:
    """Waits until the answer is compressed, which may be done in the background, and decodes it with curl."""
    deadline = time.monotonic() + COMPRESSED_WITHIN_S
    command = [tool("curl"), "--silent", "--compressed", "--dump-header", "-", "--output", "-",
               *curl_fields(row),
               f"http://127.0.0.1:{server.port}{row.path}"]
    while True:
        said = subprocess.run(command, capture_output=True, timeout=10, stdin=subprocess.DEVNULL)
        head, _, body = said.stdout.partition(b"\r\n\r\n")
        if said.returncode != 0 or not head.startswith(b"HTTP/1.1 200 ") or body != expected_body(bench, row):
            raise Wrong(f"{server.program} answers {row.path} with something else once decoded")
        if b"\ncontent-encoding:" in head.lower():
            return
        if time.monotonic() > deadline:
            raise Wrong(f"{server.program} does not compress {row.path} within {COMPRESSED_WITHIN_S} s")
        time.sleep(0.1)


def request_bytes(server: Server, row: Row) -> bytes:
    fields = [("Host", f"127.0.0.1:{server.port}"), *row.fields]
    if row.way == "close":
        fields.append(("Connection", "close"))
    if row.body:
        fields.append(("Content-Length", str(len(row.body))))
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    lines += HANDSHAKE if row.way == "websocket" else ""
    return f"{row.method} {row.path} HTTP/1.1\r\n{lines}\r\n".encode() + row.body


def ask_and_compare(server: Server, row: Row, count: int, want: bytes) -> int:
    """Sends that many requests at once and reads all answers; gives the bytes they took."""
    if row.streams:
        return ask_h2(server, row, want)
    with connect(server.port, row.scheme) as client:
        client.sendall(request_bytes(server, row) * count)
        meter = Meter(client)
        for _ in range(count):
            answer = http.client.HTTPResponse(meter)
            answer.begin()
            body = answer.read()
            if answer.status != 200 or not is_equal(row, answer, body, want):
                raise Wrong(f"{server.program} answers {row.path} with {answer.status} and {len(body)} bytes"
                            f", not 200 and what is expected")
        if row.way == "close":
            expect_end(server, meter.stream)
        return meter.stream.used


def connect(port: int, scheme: str, source: str = "") -> socket.socket:
    """A connection, with TLS if the scheme says so; certificates of benchmarks are nobody's to trust."""
    client = socket.create_connection(("127.0.0.1", port), timeout=5,
                                      source_address=(source, 0) if source else None)
    if scheme == "http":
        return client
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(client)


def ask_h2(server: Server, row: Row, want: bytes) -> int:
    version = ["--insecure", "--http2"] if row.scheme == "https" else ["--http2-prior-knowledge"]
    body = ["--data-binary", "@-"] if row.body else []
    command = [tool("curl"), "--silent", *version, *body, "--dump-header", str(server.home / "fields"),
               *curl_fields(row), "--write-out", "%{stderr}%{http_version} %{http_code}",
               f"{row.scheme}://127.0.0.1:{server.port}{row.path}"]
    said = subprocess.run(command, capture_output=True, timeout=10, input=row.body)
    if said.returncode != 0 or said.stderr != b"2 200" or said.stdout != want:
        raise Wrong(f"{server.program} answers {row.path} over HTTP/2 with {said.stderr.decode()!r} and "
                    f"{len(said.stdout)} bytes, not 200 and what is expected")
    if row.answer == "echo" and "grpc-status: 0" not in (server.home / "fields").read_text().splitlines():
        raise Wrong(f"{server.program} passes on no trailers of a call that went well")
    return len(said.stdout)


def curl_fields(row: Row) -> list[str]:
    return [part for name, value in row.fields for part in ("--header", f"{name}: {value}")]


def is_equal(row: Row, answer: http.client.HTTPResponse, body: bytes, want: bytes) -> bool:
    match row.answer:
        case "priced":
            is_json = answer.getheader("Content-Type", "").startswith("application/json")
            return is_json and json.loads(body) == priced(order())
        case "decoded":
            # `check_decoded` has compared it; here it only must still be compressed.
            return answer.getheader("Content-Encoding") is not None
    return body == want


def expect_end(server: Server, stream: "MeteredStream") -> None:
    try:
        more = stream.read(1)
    except TimeoutError as late:
        raise Wrong(f"{server.program} keeps the connection open after Connection: close") from late
    if more:
        raise Wrong(f"{server.program} sends more after its last answer")


class Meter:
    """Stands in for a socket: every response reads from one stream, so pipelined ones follow on."""

    def __init__(self, client: socket.socket):
        self.stream = MeteredStream(client)

    def makefile(self, _mode: str) -> "MeteredStream":
        return self.stream


class MeteredStream:
    """A buffered reader that counts what was consumed and stays open between responses."""

    def __init__(self, client: socket.socket):
        self.reader, self.used = client.makefile("rb"), 0

    def readline(self, limit: int = -1) -> bytes:
        return self.count(self.reader.readline(limit))

    def read(self, size: int = -1) -> bytes:
        return self.count(self.reader.read(size))

    def count(self, data: bytes) -> bytes:
        self.used += len(data)
        return data

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


class IdleConnections:
    """A child process that holds open connections or WebSockets, each of which has had answers before.

    `refresh` asks once more on each: servers rightly end a connection that idles for long.
    """

    def __init__(self, bench: Bench, row: Row, server: Server):
        host = f"{row.scheme}://127.0.0.1:{server.port}"
        command = ["taskset", "-c", str(bench.client_cpu), sys.executable, "-c",
                   "from benching.client import hold; hold()", host, row.path, str(row.idle), row.way]
        self.wanted, self.server = row.idle, server
        self.process = subprocess.Popen(command, cwd=Path(__file__).parents[1], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL)

    def __enter__(self) -> "IdleConnections":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def refresh(self) -> None:
        """One request on every connection, the last bytes of its answer read."""
        try:
            print("refresh", file=self.process.stdin, flush=True)
            held = self.process.stdout.readline().strip()
        except OSError:
            held = ""
        if held != str(self.wanted):
            raise Wrong(f"{self.server.program} holds {held or 'none'} of {self.wanted} idle connections")


def hold() -> None:
    """The child's program: opens the connections, then serves `refresh` lines until its input ends."""
    scheme, _, host = sys.argv[1].partition("://")
    path, count, way, port = sys.argv[2], int(sys.argv[3]), sys.argv[4], int(host.split(":")[1])
    is_websocket = way == "websocket"
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{HANDSHAKE if is_websocket else ''}\r\n".encode()
    asked = (MESSAGE, MESSAGE_BACK) if is_websocket else (request, b"HTTP/1.1 200 ")
    held = []
    for number in range(count):
        # Several source addresses, so that ephemeral ports left over by other rows cannot run out.
        source = f"127.0.0.{2 + number % 8}"
        held.append(open_websocket(port, request, source) if is_websocket else connect(port, scheme, source))
        if scheme == "https":
            # Handshakes take a while: the first would be ended before the last is there, had they not asked.
            ask_all(held[-1:], *asked)
    for _ in sys.stdin:
        print(sum(ask_all(held[start:start + 200], *asked) for start in range(0, count, 200)), flush=True)


def ask_all(clients: list[socket.socket], request: bytes, answer: bytes) -> int:
    """Asks on each connection and reads until it is quiet; gives how many answered with what begins so, and
    stayed."""
    answered = set()
    with selectors.DefaultSelector() as waiting:
        for client in clients:
            try:
                client.sendall(request)
                waiting.register(client, selectors.EVENT_READ)
            except OSError:
                continue
        deadline = time.monotonic() + 5
        while len(answered) < len(waiting.get_map()) and time.monotonic() < deadline:
            for key, _ in waiting.select(timeout=0.5):
                data = key.fileobj.recv(1 << 16)
                if not data:
                    waiting.unregister(key.fileobj)
                    answered.discard(key.fd)
                elif data.startswith(answer):
                    answered.add(key.fd)
    return len(answered)
