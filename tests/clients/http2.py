"""HTTP/2 clients, in cleartext by prior knowledge and over TLS by ALPN: httpx, curl, nghttp and h2load."""

import asyncio
import os
import re
import socket
import subprocess

import blocking
import common
import content
from asynchronous import httpx_client
from common import Reply, chunks
from curl import curl
from harness import TIMEOUT_S, expect, expect_bytes


class Httpx(blocking.Httpx):
    """httpx with HTTP/2 alone; every answer is asked for its version."""

    name = "httpx, HTTP/2"

    def __init__(self, **options):
        super().__init__(http1=False, http2=True, **options)

    def request(self, method, url, headers, body, follow):
        options = {"headers": headers, "content": body, "follow_redirects": follow}
        with self.client.stream(method, url, **options) as response:
            expect(response.http_version, "HTTP/2")
            self.ports.add(response.extensions["network_stream"].get_extra_info("client_addr"))
            return Reply(response.status_code, blocking.lower(response.headers), response.read())


def on_one_connection(serve, echo):
    """100 requests at once, large, small and missing ones, and uploads among them."""

    async def one(client, number):
        if number % 4 == 0:
            body = content.TEXT * 4
            expect_bytes((await client.post(echo, content=body)).content, body)
        elif number % 4 == 1:
            expect((await client.get(serve + "/no-such-thing")).status_code, 404)
        else:
            reply = await client.get(serve + "/64k.txt")
            expect((reply.status_code, reply.http_version), (200, "HTTP/2"))
            expect_bytes(reply.content, content.TEXT)

    async def all_at_once():
        async with httpx_client(http1=False, http2=True) as client:
            await asyncio.gather(*(one(client, number) for number in range(100)))
            pieces = chunks(content.TEXT, 40)

            async def body():
                for piece in pieces:
                    yield piece

            expect_bytes((await client.post(echo, content=body())).content, content.TEXT * 40)

    asyncio.run(asyncio.wait_for(all_at_once(), 2 * TIMEOUT_S))


def run(*command):
    """A program that has to succeed; what it printed."""
    ran = subprocess.run(command, capture_output=True, timeout=2 * TIMEOUT_S)
    said = (ran.stdout + ran.stderr).decode(errors="replace")
    if ran.returncode != 0:
        raise AssertionError(f"{command[0]} ended with {ran.returncode}: {said[-200:]}")
    return said


KNOWN = ("--http2-prior-knowledge",)


def check_curl(checks, name, options, serve, echo, scratch):
    """With `KNOWN`, curl 7.88 cannot use a connection twice, whoever the server is."""

    def told(*args):
        out, _ = curl(*options, "--output", os.devnull, "--write-out", "%{http_code} %{http_version}", *args)
        return out.decode()

    def get():
        expect_bytes(curl(*options, serve + "/64k.txt")[0], content.TEXT)
        expect_bytes(curl(*options, "--compressed", serve + "/64k.txt")[0], content.TEXT)
        expect_bytes(curl(*options, serve + "/large.bin")[0], content.LARGE)
        expect_bytes(curl(*options, "--range", "5-14", serve + "/64k.txt")[0], content.TEXT[5:15])
        expect(told(serve + "/none"), "404 2")
        expect(told(serve + "/sub"), "301 2")
        expect(told("--head", serve + "/64k.txt"), "200 2")

    def upload():
        data = content.TEXT * 306
        path = os.path.join(scratch, "upload-h2")
        with open(path, "wb") as file:
            file.write(data)
        expect_bytes(curl(*options, "--data-binary", "@" + path, echo)[0], data)
        expect_bytes(curl(*options, "--request", "POST", "--upload-file", path, echo)[0], data)
        # One within the window: curl 7.88 takes RST_STREAM with NO_ERROR after an answer for a failure.
        expect(told("--data-binary", "x" * 50_000, serve + "/"), "405 2")

    def parallel():
        urls = [serve + "/64k.txt"] * 50
        targets = [word for _ in urls for word in ("--output", os.devnull)]
        out, _ = curl(
            *options, "--parallel", "--parallel-max", "50",
            "--write-out", "%{http_code} %{http_version} %{size_download}\n", *targets, *urls,
        )
        expect(out, b"200 2 65536\n" * 50)

    checks.run(name, "GET, HEAD, 404, range, redirect, compressed, 12 MiB", get)
    if echo is not None:
        checks.run(name, "20 MB through echo, with and without a length; 405", upload)
    if options != KNOWN:
        checks.run(name, "50 in parallel", parallel)


def check_offer(checks, serve):
    def offers():
        # The offer to upgrade is obsolete (RFC 9113 3.1), and passed over.
        out, said = curl("--http2", "--verbose", serve + "/")
        expect_bytes(out, content.INDEX)
        expect(("> Upgrade: h2c" in said, "< HTTP/1.1 200" in said), (True, True))

    checks.run("curl", "an offer to upgrade to HTTP/2", offers)


def check_nghttp2(checks, serve, echo, scratch):
    def nghttp():
        said = run("nghttp", "--verbose", "--null-out", "--multiply=20", serve + "/64k.txt")
        expect(len(re.findall(r":status: 200", said)), 20)
        for option in ("--window-bits=4", "--connection-window-bits=16", "--header-table-size=0", "--no-dep"):
            expect(content.TEXT.decode() in run("nghttp", option, serve + "/64k.txt"), True)

    def trailers():
        path = os.path.join(scratch, "trailing")
        with open(path, "wb") as file:
            file.write(content.TEXT)
        expect_bytes(run("nghttp", "--data=" + path, "--trailer=x-sum: 5", echo).encode(), content.TEXT)

    def h2load():
        for path, requests in (("/", 4000), ("/64k.txt", 1000), ("/no-such-thing", 1000)):
            many = (f"--requests={requests}", "--clients=4", "--max-concurrent-streams=32")
            said = run("h2load", *many, serve + path)
            outcome = re.search(r"requests: (.*)", said)[1]
            wanted = f"{requests} succeeded, 0 failed" if path != "/no-such-thing" else f"0 succeeded, {requests} failed"
            expect((wanted in outcome, "0 errored, 0 timeout" in outcome), (True, True))

    scheme = serve.split(":")[0]
    checks.run("nghttp, " + scheme, "20 at once, small windows, no table", nghttp)
    if echo is not None:
        checks.run("nghttp, " + scheme, "trailers of a request", trailers)
    checks.run("h2load, " + scheme, "4 connections of 32 streams", h2load)


def check(checks, serve, echo, scratch):
    client = Httpx()
    common.check_client(checks, client, serve, echo, http_2=True)
    # Nobody would read the server's goodbye on it.
    client.close()
    checks.run("httpx, HTTP/2", "100 at once", on_one_connection, serve, echo)
    check_curl(checks, "curl, HTTP/2", KNOWN, serve, echo, scratch)
    check_offer(checks, serve)
    check_nghttp2(checks, serve, echo, scratch)


def check_tls(checks, certificates, server, scratch):
    """By ALPN, which prefers it: a client that can takes it without being told to."""
    url = f"https://localhost:{server.port}"

    def with_httpx():
        client = Httpx(verify=certificates.context())
        for path, wanted in (("/", content.INDEX), ("/64k.txt", content.TEXT), ("/large.bin", content.LARGE)) * 2:
            reply = client.request("GET", url + path, common.PLAIN, None, False)
            expect(reply.status, 200)
            expect_bytes(reply.body, wanted)
        expect(client.connections_made(), 1)
        client.close()

    def preferred():
        context = certificates.context()
        context.set_alpn_protocols(["http/1.1", "h2"])
        with socket.create_connection((server.host, server.port), timeout=TIMEOUT_S) as raw:
            with context.wrap_socket(raw, server_hostname="localhost") as connection:
                expect(connection.selected_alpn_protocol(), "h2")

    checks.run("httpx, HTTP/2", "TLS, files of every size on one connection", with_httpx)
    checks.run("ssl", "ALPN prefers h2", preferred)
    check_curl(checks, "curl, TLS, HTTP/2", ("--cacert", certificates.ca), url, None, scratch)
    check_nghttp2(checks, url, None, scratch)
