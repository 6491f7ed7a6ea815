"""`quoit proxy` in front of real servers: the clients' checks run through it, to quoit's own servers over TCP and
a Unix socket, to Python's `http.server` and to uvicorn; and `websockets` both ways.

A check that passes directly and fails here is the proxy's fault.
"""

import http.server
import os
import threading

import asynchronous
import blocking
import common
import content
import curl
import grpc_echo
import websocket
from harness import Checks, Server, expect, expect_bytes

LISTEN = ("--listen", "127.0.0.1:0", "--workers", "1")


class Named(Checks):
    """Prints which way a check went."""

    def __init__(self, checks, way):
        super().__init__()
        self.checks, self.way = checks, way

    def run(self, who, what, check, *args):
        self.checks.run(f"{who}, {self.way}", what, check, *args)


class Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass


def check_files(checks, client, url):
    """What a server of files that knows no ranges can do."""

    def files():
        for _ in range(3):
            reply = client.request("GET", url + "/64k.txt", {}, None, False)
            expect(reply.status, 200)
            expect_bytes(reply.body, content.TEXT)
        expect(client.request("HEAD", url + "/64k.txt", {}, None, False).headers["content-length"], "65536")
        expect_bytes(client.request("GET", url + "/large.bin", {}, None, False).body, content.LARGE)
        expect(client.request("GET", url + "/no-such-thing", {}, None, False).status, 404)

    checks.run(client.name, "files of http.server", files)


BY_HTTP2 = """
[[listen]]
address = "127.0.0.1:0"
[upstreams.app]
endpoints = ["127.0.0.1:PORT"]
protocol = "http2"
[[route]]
prefix = "/"
body = { size = "none" }
proxy = "app"
"""


def by_http2(quoit, endpoint, scratch, servers):
    """A proxy that speaks HTTP/2 alone to this server."""
    path = os.path.join(scratch, f"http2-{endpoint.port}.toml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(BY_HTTP2.replace("PORT", str(endpoint.port)))
    servers.append(Server(quoit, "run", "--config", path))
    return servers[-1]


def check_grpc(checks, quoit, streaming, scratch, servers):
    """Calls of grpcio through the proxy, by HTTP/2 on both sides."""
    proxy = by_http2(quoit, streaming, scratch, servers)
    grpc_echo.check(Named(checks, "through the proxy"), proxy)


def check_uvicorn(checks, directory, quoit, servers):
    """An ASGI application that streams, reads bodies, and tells what it was told of its client."""
    import uvicorn

    async def application(scope, receive, send):
        if scope["type"] != "http":
            return
        fields = {name.decode(): value.decode() for name, value in scope["headers"]}
        size = 0
        while True:
            message = await receive()
            size += len(message.get("body", b""))
            if not message.get("more_body"):
                break
        head = {"type": "http.response.start", "status": 200, "headers": [(b"x-seen", str(size).encode())]}
        await send(head)
        told = f"{fields['x-forwarded-for']} {fields['x-forwarded-proto']} {fields['host']}\n".encode()
        for number in range(50):
            await send({"type": "http.response.body", "body": told * 100, "more_body": number < 49})

    path = os.path.join(directory, "uvicorn.sock")
    config = uvicorn.Config(application, uds=path, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.02)
    proxy = Server(quoit, "proxy", "unix:" + path, *LISTEN)
    servers.append(proxy)

    def streams():
        client = blocking.Httpx()
        for body in (None, b"x" * 1000, b"y" * 3_000_000):
            reply = client.request("POST" if body else "GET", proxy.url + "/", {}, body, False)
            expect((reply.status, reply.headers["x-seen"]), (200, str(len(body or b""))))
            told = f"127.0.0.1 http 127.0.0.1:{proxy.port}\n".encode()
            expect_bytes(reply.body, told * 5000)

    checks.run("httpx", "uvicorn over a Unix socket", streams)
    server.should_exit = True
    thread.join(5)


def check(checks, quoit, serve, echo, sockets, unix_path, site, scratch, servers):
    own = Server(quoit, "proxy", f"127.0.0.1:{serve.port}", *LISTEN)
    by_socket = Server(quoit, "proxy", "unix:" + unix_path, *LISTEN)
    echoing = Server(quoit, "proxy", f"127.0.0.1:{echo.port}", *LISTEN)
    upgraded = Server(quoit, "proxy", f"127.0.0.1:{sockets.port}", *LISTEN)
    servers.extend((own, by_socket, echoing, upgraded))
    for proxy, way in ((own, "proxied"), (by_socket, "proxied to a Unix socket")):
        named = Named(checks, way)
        for client in (blocking.HttpClient(), blocking.Requests(), blocking.Urllib3(), blocking.Httpx()):
            common.check_client(named, client, proxy.url, echoing.url)
    named = Named(checks, "proxied")
    asynchronous.check(named, own.url, echoing.url, unix_path)
    curl.check(named, own.url, echoing.url, unix_path, scratch)
    websocket.check(named, upgraded)
    websocket.check(Named(checks, "proxied by HTTP/2"), by_http2(quoit, sockets, scratch, servers), plain=405)

    def upload():
        data = content.TEXT * 306
        expect_bytes(blocking.upload_while_reading(echoing.url, data), data)

    named.run("http.client", "20 MB through echo while reading", upload)

    handler = lambda *args: Quiet(*args, directory=site)
    python = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=python.serve_forever, daemon=True).start()
    files = Server(quoit, "proxy", f"127.0.0.1:{python.server_address[1]}", *LISTEN)
    servers.append(files)
    for client in (blocking.HttpClient(), blocking.Requests(), blocking.Httpx()):
        check_files(named, client, files.url)
    python.shutdown()
    check_uvicorn(named, scratch, quoit, servers)
