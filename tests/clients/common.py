"""The checks that every client library must pass, in its blocking form.

A client is an object with `name`, `request(method, url, headers, body, follow) -> Reply`, and
`connections_made()`, the number of connections opened so far, or None where the library does not tell.
"""

import gzip
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import brotli
import zstandard

import content
from harness import expect, expect_bytes

DECODERS = {
    "gzip": gzip.decompress,
    "br": brotli.decompress,
    "zstd": lambda body: zstandard.ZstdDecompressor().decompress(body),
}

PLAIN = {"Accept-Encoding": "identity"}
"""For checks that compare two answers: compressed forms come when they are made, on each core by itself."""

PREPARED_WITHIN_S = 10
"""Longest wait for a file's compressed forms; a loaded machine takes a second."""


@dataclass
class Reply:
    status: int
    headers: dict  # names in lower case
    body: bytes


def chunks(piece, count):
    """A generator body, which clients send chunked."""
    for _ in range(count):
        yield piece


def check_client(checks, client, serve, echo, http_2=False):
    """`serve` and `echo` are base URLs. Over HTTP/2 no request says anything about its connection."""

    def get(path, **headers):
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.request("GET", serve + path, fields, None, False)

    def post(body, **fields):
        return client.request("POST", echo + "/", fields, body, False)

    def get_file():
        reply = get("/64k.txt", Accept_Encoding="identity")
        expect(reply.status, 200)
        expect_bytes(reply.body, content.TEXT)
        expect(reply.headers["content-type"].split(";")[0], "text/plain")
        expect(reply.headers["content-length"], "65536")

    def index_and_escapes():
        expect(get("/").body, content.INDEX)
        expect(get("/with%20space%20%C3%A9.css").headers["content-type"].split(";")[0], "text/css")
        reply = get("/empty.txt")
        expect((reply.status, reply.body), (200, b""))

    def head():
        full = get("/64k.txt", **PLAIN)
        reply = client.request("HEAD", serve + "/64k.txt", PLAIN, None, False)
        expect((reply.status, reply.body), (200, b""))
        for name in ("content-length", "content-type", "etag", "last-modified"):
            expect(reply.headers.get(name), full.headers[name])

    def missing():
        expect(get("/no-such-thing").status, 404)
        expect(get("/").status, 200)

    def ranges():
        for value, start, end in (("5-14", 5, 15), ("-10", 65_526, 65_536), ("65000-", 65_000, 65_536)):
            reply = get("/64k.txt", Range="bytes=" + value)
            expect(reply.status, 206)
            expect_bytes(reply.body, content.TEXT[start:end])
            expect(reply.headers["content-range"], f"bytes {start}-{end - 1}/65536")
        reply = get("/64k.txt", Range="bytes=70000-")
        expect((reply.status, reply.headers["content-range"]), (416, "bytes */65536"))

    def conditionals():
        full = get("/64k.txt", **PLAIN)
        etag, modified = full.headers["etag"], full.headers["last-modified"]
        for name, value in (("If-None-Match", etag), ("If-Modified-Since", modified)):
            reply = get("/64k.txt", **PLAIN, **{name: value})
            expect((reply.status, reply.body, reply.headers.get("etag")), (304, b"", etag))
        expect(get("/64k.txt", If_None_Match='"other"').status, 200)
        expect(get("/64k.txt", If_Match='"other"').status, 412)
        expect(get("/64k.txt", **PLAIN, If_Range=etag, Range="bytes=0-9").status, 206)

    def redirect():
        reply = get("/sub")
        expect(reply.status, 301)
        expect(reply.headers["location"], "/sub/")
        reply = client.request("GET", serve + "/sub?q=1", {}, None, True)
        expect((reply.status, reply.body), (200, content.SUB_INDEX))

    def compressed():
        for coding, decode in DECODERS.items():
            reply = get("/64k.txt", Accept_Encoding=coding)
            deadline = time.monotonic() + PREPARED_WITHIN_S
            # Until the compressed form is made, the file is served as it is.
            while "content-encoding" not in reply.headers and time.monotonic() < deadline:
                expect_bytes(reply.body, content.TEXT)
                time.sleep(0.1)
                reply = get("/64k.txt", Accept_Encoding=coding)
            expect((reply.status, reply.headers.get("content-encoding")), (200, coding))
            expect(reply.headers["vary"], "Accept-Encoding")
            # Some clients decode by themselves.
            decoded = reply.body == content.TEXT
            expect_bytes(reply.body if decoded else decode(reply.body), content.TEXT)

    def large_file():
        expect_bytes(get("/large.bin").body, content.LARGE)

    def keep_alive():
        get("/")
        before = client.connections_made()
        for path in ["/", "/64k.txt", "/no-such-thing", "/sub/"] * 5:
            get(path)
        if before is not None:
            expect(client.connections_made(), before)

    def fifty_in_parallel():
        with ThreadPoolExecutor(50) as pool:
            for reply in pool.map(lambda _: get("/64k.txt"), range(50)):
                expect(reply.status, 200)
                expect_bytes(reply.body, content.TEXT)

    def post_fixed():
        for body in (b"", b"x", content.TEXT, content.LARGE[: 1 << 20]):
            reply = post(body)
            expect(reply.status, 200)
            expect_bytes(reply.body, body)

    def post_chunked():
        for piece, count in ((b"abc", 100), (content.TEXT, 12)):
            reply = post(chunks(piece, count), **{"Content-Type": "text/x-pieces"})
            expect(reply.headers.get("content-type"), "text/x-pieces")
            expect_bytes(reply.body, piece * count)

    def not_allowed():
        reply = client.request("POST", serve + "/", {}, b"data", False)
        expect(reply.status, 405)
        expect("GET" in reply.headers["allow"], True)
        expect(get("/").status, 200)

    def connection_close():
        reply = get("/", Connection="close")
        expect((reply.status, reply.headers.get("connection", "").lower()), (200, "close"))
        expect(get("/").status, 200)

    all_checks = [
        ("GET a file", get_file),
        ("index, escaped names, an empty file", index_and_escapes),
        ("HEAD", head),
        ("404", missing),
        ("ranges", ranges),
        ("conditions", conditionals),
        ("redirect followed", redirect),
        ("compressed forms", compressed),
        ("12 MiB file", large_file),
        ("20 requests on one connection", keep_alive),
        ("POST with a length", post_fixed),
        ("POST chunked", post_chunked),
        ("POST where it is not allowed", not_allowed),
    ]
    if not http_2:
        all_checks.append(("Connection: close", connection_close))
        # Over HTTP/2 httpx's threads race for a connection's streams, and now and then send them out of order;
        # many at once are asked for without threads there.
        all_checks.append(("50 in parallel", fifty_in_parallel))
    for what, check in all_checks:
        checks.run(client.name, what, check)
