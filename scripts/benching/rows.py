"""The rows of the table: which work, which two programs, and the ratio to reach.

Knows no process and no clock; a row is only a description.
"""

from dataclasses import dataclass

IDLE_CONNECTIONS = 9_000
PIPELINED = 16
FILES = {"1k.bin": 1 << 10, "100k.bin": 100 << 10, "10m.bin": 10 << 20}
GREETING = b"Hello, World!"


@dataclass(frozen=True)
class Row:
    """One line of the table: `ours` against `peer`, both names from `servers.py`."""

    name: str
    work: str
    ours: str
    peer: str
    path: str = "/hello"
    connections: int = 64
    # keep-alive: one request at a time; pipelined: 16 in one write; close: a connection per request.
    way: str = "keep-alive"
    # At most this ratio ours / peer, of CPU per request and of the median latency; None is no target.
    cpu_ratio_max: float | None = None
    p50_ratio_max: float | None = None
    # Idle connections that sit on OUR server while it is measured (its peer then has none).
    idle: int = 0
    # Not a run of requests: memory per idle connection, in KiB, ours at most this.
    idle_kib_max: float | None = None

    @property
    def counts_bytes(self) -> bool:
        """Whether requests are counted by bytes: a 10 MiB answer is rarely whole when the run ends."""
        return FILES.get(self.path[1:], 0) > 1 << 20


ROWS = [
    Row("hello-nginx", "13-byte answer", "hello", "nginx", cpu_ratio_max=0.93),
    Row("hello-floor", "13-byte answer", "hello", "floor", cpu_ratio_max=1.15),
    Row("1k-nginx", "1 KiB file", "serve", "nginx", "/1k.bin", cpu_ratio_max=0.80),
    Row("1k-h2o", "1 KiB file", "serve", "h2o", "/1k.bin", cpu_ratio_max=0.97),
    Row("100k-nginx", "100 KiB file", "serve", "nginx", "/100k.bin", cpu_ratio_max=0.55),
    Row("100k-h2o", "100 KiB file", "serve", "h2o", "/100k.bin", cpu_ratio_max=1.0),
    Row("10m-nginx", "10 MiB file", "serve", "nginx", "/10m.bin", cpu_ratio_max=0.8),
    Row("pipelined-nginx", "16 pipelined 13-byte answers", "hello", "nginx",
        way="pipelined", cpu_ratio_max=0.25),
    Row("short-nginx", "one new connection per request", "hello", "nginx",
        way="close", cpu_ratio_max=0.75),
    # nginx with `listen … deferred`: the same TCP_DEFER_ACCEPT that we set, so the fairer comparison.
    Row("short-nginx-deferred", "one new connection per request", "hello", "nginx-deferred", way="close"),
    Row("lone-nginx", "one lone connection", "hello", "nginx",
        connections=1, cpu_ratio_max=1.0, p50_ratio_max=1.0),
    Row("idle-memory", f"{IDLE_CONNECTIONS:,} idle connections, KiB each", "serve", "nginx", "/1k.bin",
        idle=IDLE_CONNECTIONS, idle_kib_max=1.0),
    # "Unchanged" is at most 5 % dearer than the same program without them: the spread of a quiet machine.
    Row("idle-hello", f"13-byte answer beside {IDLE_CONNECTIONS:,} idle", "hello", "hello",
        idle=IDLE_CONNECTIONS, cpu_ratio_max=1.05),
    Row("idle-1k", f"1 KiB file beside {IDLE_CONNECTIONS:,} idle", "serve", "serve", "/1k.bin",
        idle=IDLE_CONNECTIONS, cpu_ratio_max=1.05),
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
