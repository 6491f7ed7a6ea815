"""The rows of the table: which work, which two programs, and the ratio to reach.

Knows no process and no clock; a row is only a description.
"""

import json
import random
from dataclasses import dataclass

IDLE_CONNECTIONS = 9_000
# Fewer with TLS, for each costs a handshake at both ends.
IDLE_TLS_CONNECTIONS = 2_000
IDLE_WEBSOCKETS = 5_000
PIPELINED = 16
FILES = {"13.bin": 13, "1k.bin": 1 << 10, "16k.bin": 16 << 10, "100k.bin": 100 << 10, "10m.bin": 10 << 20}
# A text that compresses as text does; see `text`.
TEXT_FILE, TEXT_BYTES = "100k.txt", 100 << 10
GREETING = b"Hello, World!"
# The tree of the row `million`: this many files in folders of a thousand.
TREE_FILES, TREE_FOLDER = 1_000_000, 1000
# What the row `mixed` asks for, and how often of ten.
MIX = ((8, "/1k.bin"), (1, "/100k.bin"), (1, f"/{TEXT_FILE}"))
# The route that the API rows ask for; `bench_api --routes N` has it for every N.
API_ROUTE, API_ID = "/v1/r117/4711/items", 4711


@dataclass(frozen=True)
class Row:
    """One line of the table: `ours` against `peer`, both names from `servers.py`."""

    name: str
    work: str
    ours: str
    peer: str
    path: str = "/hello"
    connections: int = 64
    # keep-alive: one request at a time; pipelined: 16 in one write; close: a connection per request;
    # random: one at a time, each for another file of the tree; mixed: one at a time, drawn from MIX;
    # websocket: no requests, but WebSockets whose messages come back, which is for idle ones alone.
    way: str = "keep-alive"
    # What is spoken: HTTP/1.1 over TCP or TLS 1.3, or HTTP/2 over either with so many streams at once.
    scheme: str = "http"
    streams: int = 0
    # Flags for loadgen alone: which handshakes a row of way `close` is about.
    handshakes: tuple[str, ...] = ()
    # Requests per second, whatever the server's speed (an open loop): for times that would otherwise be those of
    # the generator, which computes with each handshake as long as the server does. 0: as fast as it answers.
    rate: int = 0
    # Field lines beyond Host, and a body, with which the request is a POST.
    fields: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    # What makes answers equal. bytes: the expected bytes; priced: the same JSON value; decoded: compressed,
    # whatever the coding, and the expected bytes after it; echo: the body that was sent, and the trailers of
    # a gRPC call that went well.
    answer: str = "bytes"
    # At most this ratio ours / peer, of CPU per request and of the median latency; None is no target.
    cpu_ratio_max: float | None = None
    p50_ratio_max: float | None = None
    # Idle connections that sit on OUR server while it is measured (its peer then has none).
    idle: int = 0
    # Not a run of requests: memory per idle connection, in KiB, ours at most this.
    idle_kib_max: float | None = None
    # The same against the peer's.
    idle_ratio_max: float | None = None
    # Also says how much memory both servers use at the end.
    states_memory: bool = False

    @property
    def is_idle(self) -> bool:
        return self.idle_kib_max is not None or self.idle_ratio_max is not None

    @property
    def method(self) -> str:
        return "POST" if self.body else "GET"

    @property
    def counts_bytes(self) -> bool:
        """Whether requests are counted by bytes: a 10 MiB answer is rarely whole when the run ends."""
        return FILES.get(self.path[1:], 0) > 1 << 20


def text(size: int, seed: int) -> bytes:
    """Made-up prose, the same for the same seed: words of uneven length and frequency, in lines."""
    choice = random.Random(seed)
    letters = "eeeeeeetttttaaaaooooiiiinnnnsssshhhrrrddllcumwfgypbvk"
    words = ["".join(choice.choices(letters, k=choice.randint(2, 9))) for _ in range(2000)]
    made, length = [], 0
    while length < size:
        # The square makes few words frequent and most of them rare.
        line = " ".join(words[int(choice.random() ** 2 * len(words))] for _ in range(12)) + ".\n"
        made.append(line)
        length += len(line)
    return "".join(made).encode()[:size]


def order() -> dict:
    """What the JSON row posts: about 1 KiB of it."""
    line = {"title": "A quoit of rope, four hundred grams", "quantity": 3, "price_cents": 1299,
            "tags": ["rope", "outdoor", "ü & <b>"]}
    return {"customer": "c-0198a7f2-4711", "currency": "EUR", "express": True,
            "note": "Leave it with the neighbour, please: \"second floor\".",
            "lines": [{"sku": f"Q-{number:05}", **line} for number in range(6)]}


def priced(posted: dict) -> dict:
    """What every program has to make of it (benches/peers/src/order.rs)."""
    lines = [{**{name: line[name] for name in ("sku", "title", "quantity", "tags")},
              "total_cents": line["quantity"] * line["price_cents"]} for line in posted["lines"]]
    return {**posted, "id": API_ID, "lines": lines,
            "total_cents": sum(line["total_cents"] for line in lines)}


ORDER = json.dumps(order(), ensure_ascii=False).encode()
JSON_FIELDS = (("Content-Type", "application/json"),)


# A message that is not compressed, with its length.
GRPC_MESSAGE = b"\0" + len(GREETING).to_bytes(4, "big") + GREETING
GRPC_FIELDS = (("Content-Type", "application/grpc"), ("TE", "trailers"))
CONFIGURED = "1,000 routes, 100 hosts and 50 filters"


def json_row(peer: str) -> Row:
    return Row(f"json-api-{peer}", "JSON API: 1 KiB in, 200 routes, 1 KiB out", "api", peer, API_ROUTE,
               fields=JSON_FIELDS, body=ORDER, answer="priced", cpu_ratio_max=0.88)


def tls_row(name: str, work: str, ours: str = "serve-tls", peer: str = "nginx-tls", **more) -> Row:
    return Row(name, work, ours, peer, scheme="https", **more)


def dressed_row(name: str, what: str) -> Row:
    return Row(f"files-dressed-{name.split('.')[0]}", f"{what}, with log, filters and security headers",
               "serve-dressed", "serve", f"/{name}", cpu_ratio_max=1.05)


def proxy_rows(name: str, work: str, targets: dict[str, float], kind: str = "", **more) -> list[Row]:
    """The same work through us and through each peer; the server behind is the same."""
    suffix = "-tls" if more.get("scheme") == "https" else kind
    return [Row(f"{name}-{peer.removesuffix('-proxy')}", f"proxied: {work}", f"proxy{suffix}", f"{peer}{suffix}",
                cpu_ratio_max=target, **more) for peer, target in targets.items()]


def both(target: float) -> dict[str, float]:
    return {"nginx-proxy": target, "haproxy": target}


ROWS = [
    Row("hello-nginx", "13-byte answer", "hello", "nginx", cpu_ratio_max=0.93),
    Row("hello-floor", "13-byte answer", "hello", "floor", cpu_ratio_max=1.15),
    Row("1k-nginx", "1 KiB file", "serve", "nginx", "/1k.bin", cpu_ratio_max=0.80),
    Row("1k-h2o", "1 KiB file", "serve", "h2o", "/1k.bin", cpu_ratio_max=0.97),
    # The server that newcomers compare first; a Go program, on one CPU like all others.
    Row("hello-caddy", "13-byte answer", "hello", "caddy"),
    Row("1k-caddy", "1 KiB file", "serve", "caddy", "/1k.bin"),
    Row("100k-caddy", "100 KiB file", "serve", "caddy", "/100k.bin"),
    Row("100k-nginx", "100 KiB file", "serve", "nginx", "/100k.bin", cpu_ratio_max=0.85),
    Row("100k-h2o", "100 KiB file", "serve", "h2o", "/100k.bin", cpu_ratio_max=0.85),
    Row("10m-nginx", "10 MiB file", "serve", "nginx", "/10m.bin", cpu_ratio_max=0.95),
    Row("pipelined-nginx", "16 pipelined 13-byte answers", "hello", "nginx",
        way="pipelined", cpu_ratio_max=0.25),
    Row("short-nginx", "one new connection per request", "hello", "nginx",
        way="close", cpu_ratio_max=0.75),
    # nginx with `listen … deferred`: the same TCP_DEFER_ACCEPT that we set, so the fairer comparison.
    Row("short-nginx-deferred", "one new connection per request", "hello", "nginx-deferred", way="close"),
    Row("lone-nginx", "one lone connection", "hello", "nginx",
        connections=1, cpu_ratio_max=1.0, p50_ratio_max=1.0),
    Row("idle-memory", f"{IDLE_CONNECTIONS:,} idle connections, KiB each", "serve", "nginx", "/1k.bin",
        idle=IDLE_CONNECTIONS, idle_kib_max=0.68),
    # "Unchanged" is at most 5 % dearer than the same program without them: the spread of a quiet machine.
    Row("idle-hello", f"13-byte answer beside {IDLE_CONNECTIONS:,} idle", "hello", "hello",
        idle=IDLE_CONNECTIONS, cpu_ratio_max=1.05),
    Row("idle-1k", f"1 KiB file beside {IDLE_CONNECTIONS:,} idle", "serve", "serve", "/1k.bin",
        idle=IDLE_CONNECTIONS, cpu_ratio_max=1.05),
    json_row("axum"),
    json_row("actix"),
    Row("axum-adapter", "axum Router, 13-byte answer", "axum-on-quoit", "axum", cpu_ratio_max=0.9),
    Row("axum-adapter-pipelined", "axum Router, 16 pipelined answers", "axum-on-quoit", "axum",
        way="pipelined", cpu_ratio_max=0.6),
    Row("routing-1000", "13-byte answer, 1,000 routes against one", "api-1000", "api-1", API_ROUTE,
        cpu_ratio_max=1.02),
    dressed_row("1k.bin", "1 KiB file"),
    dressed_row("100k.bin", "100 KiB file"),
    dressed_row("10m.bin", "10 MiB file"),
    Row("compressed", "100 KiB text, compressed", "serve", "nginx-gzip", f"/{TEXT_FILE}",
        fields=(("Accept-Encoding", "br, zstd, gzip"),), answer="decoded", cpu_ratio_max=0.5),
    Row("compressed-caddy", "100 KiB text, compressed", "serve", "caddy-gzip", f"/{TEXT_FILE}",
        fields=(("Accept-Encoding", "br, zstd, gzip"),), answer="decoded"),
    tls_row("tls-hello", "TLS 1.3, 13-byte answer", "hello-tls", cpu_ratio_max=0.85),
    tls_row("tls-hello-caddy", "TLS 1.3, 13-byte answer", "hello-tls", "caddy-tls"),
    tls_row("tls-100k", "TLS 1.3, 100 KiB file", path="/100k.bin", cpu_ratio_max=0.72),
    tls_row("tls-10m", "TLS 1.3, 10 MiB file", path="/10m.bin"),
    tls_row("handshake-full", "full handshake, ECDSA P-256, X25519, and a request", "hello-tls", way="close",
            handshakes=("--no-resume", "--groups", "x25519"), cpu_ratio_max=0.33),
    # Below what both can do, so that the time is the server's.
    tls_row("handshake-latency", "full handshake and a request, 1,000 a second", "hello-tls", way="close",
            handshakes=("--no-resume", "--groups", "x25519"), rate=1000, p50_ratio_max=1.0),
    # The peer has no hybrid group, so that this one says what its safety costs.
    tls_row("handshake-hybrid", "full handshake, X25519MLKEM768 (the peer: X25519), and a request",
            "hello-tls", way="close", handshakes=("--no-resume", "--groups", "hybrid,x25519")),
    tls_row("handshake-resumed", "resumed handshake and a request", "hello-tls", way="close",
            handshakes=("--groups", "x25519"), cpu_ratio_max=0.33),
    tls_row("h2-hello", "HTTP/2 over TLS, 16 connections × 32 streams, 13 bytes", "hello-tls", "nginx-h2",
            connections=16, streams=32, cpu_ratio_max=1.0),
    tls_row("h2-hello-caddy", "HTTP/2 over TLS, 16 connections × 32 streams, 13 bytes", "hello-tls", "caddy-tls",
            connections=16, streams=32),
    tls_row("h2-100k", "HTTP/2 over TLS, 16 connections × 4 streams, 100 KiB file", peer="nginx-h2",
            path="/100k.bin", connections=16, streams=4, cpu_ratio_max=0.8),
    tls_row("idle-tls", f"{IDLE_TLS_CONNECTIONS:,} idle TLS connections, KiB each", path="/1k.bin",
            idle=IDLE_TLS_CONNECTIONS, idle_ratio_max=0.5),
    *proxy_rows("proxy-hello", "13-byte answer", {**both(0.7), "caddy-proxy": None}),
    *proxy_rows("proxy-16k", "16 KiB answer", both(0.85), path="/16k.bin"),
    *proxy_rows("proxy-100k", "100 KiB answer", both(0.85), path="/100k.bin"),
    *proxy_rows("proxy-tls", "13-byte answer, TLS 1.3 in front", both(0.8), scheme="https"),
    *proxy_rows("proxy-h2", "HTTP/2 in front, 16 connections × 32 streams, 13 bytes", both(0.6), scheme="https",
                connections=16, streams=32),
    *proxy_rows("proxy-upload", "16 KiB in, 13 bytes out", both(0.9), body=b"x" * (16 << 10)),
    *proxy_rows("proxy-short", "one new connection per request", both(0.9), way="close"),
    # Half of what a proxy does on one CPU beside a generator and a server on the other.
    *proxy_rows("proxy-latency", "13-byte answer, 8,000 a second", {"nginx-proxy": None, "haproxy": None},
                rate=8000, p50_ratio_max=1.0),
    *proxy_rows("proxy-grpc", "gRPC unary call of 13 bytes, HTTP/2 on both sides, 16 connections × 32 streams",
                both(0.7), kind="-grpc", path="/echo.Echo/Say", connections=16, streams=32, fields=GRPC_FIELDS,
                body=GRPC_MESSAGE, answer="echo"),
    Row("proxy-websockets", f"proxied: {IDLE_WEBSOCKETS:,} idle WebSockets, KiB each", "proxy-websocket",
        "haproxy-websocket", "/echo", way="websocket", idle=IDLE_WEBSOCKETS, idle_kib_max=4),
    # One configuration beside another of ours.
    Row("configured-proxy", f"proxied: 13-byte answer, {CONFIGURED} configured against one route", "proxy-many",
        "proxy-one", cpu_ratio_max=1.03),
    Row("configured-respond", f"13-byte answer, {CONFIGURED} configured against one route", "run-many", "run-one",
        cpu_ratio_max=1.03),
    Row("run-13", "file of 13 bytes, from a configuration file against flags", "run", "serve", "/13.bin",
        cpu_ratio_max=1.02),
    Row("run-1k", "file of 1 KiB, from a configuration file against flags", "run", "serve", "/1k.bin",
        cpu_ratio_max=1.02),
    Row("mixed", "eight files of 1 KiB to two of 100 KiB", "serve", "nginx", MIX[0][1], way="mixed"),
    Row("million", "random file of a tree", "serve-tree", "nginx-tree", "/000/000.txt",
        way="random", states_memory=True),
]


def choose(wanted: str | None) -> list[Row]:
    """Rows by name or by a name's beginning (`1k` is `1k-nginx` and `1k-h2o`), in table order."""
    if not wanted:
        return ROWS
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    for name in names:
        if not any(matches(row, name) for row in ROWS):
            raise SystemExit(f"bench: no row is called {name}; --list shows them")
    return [row for row in ROWS if any(matches(row, name) for name in names)]


def matches(row: Row, name: str) -> bool:
    return row.name == name or row.name.startswith(name + "-")
