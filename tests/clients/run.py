#!/usr/bin/env python3
"""Real HTTP clients against the built programs. Called by scripts/test.

QUOIT_TARGET_DIR names the directory with `quoit` and `examples/` (default target/debug). Starts `quoit serve`
and the examples `hello`, `echo`, `streams` and `websocket` on ports of the kernel's choice, and the configurations
in `examples/`, runs every check of every client against them, and ends them. Prints a line per check, `N passed, N failed` at the end, and
fails if any check did. The whole run is given up after DEADLINE_S.
"""

import os
import sys
import tempfile
import threading

sys.dont_write_bytecode = True

import asynchronous
import blocking
import common
import content
import curl
import examples
import grpc_echo
import hints
import http2
import proxied
import raw
import streams
import tls
import tunnels
import websocket
from harness import Checks, Server, expect, expect_bytes

DEADLINE_S = 240


def give_up(servers):
    print(f"FAIL: not done after {DEADLINE_S} s", flush=True)
    for server in servers:
        server.process.kill()
    os._exit(1)


def check_hello(checks, hello):
    def any_path():
        client = blocking.Httpx()
        for method, path, body in (("GET", "/", None), ("GET", "/any/path?q", None), ("POST", "/x", b"data")):
            reply = client.request(method, hello + path, {}, body, False)
            expect((reply.status, reply.body, len(reply.body)), (200, b"Hello, World!", 13))

    checks.run("httpx", "hello answers any path", any_path)


def check_all(checks, serve, echo, hello, unix_path, scratch):
    for client in (blocking.HttpClient(), blocking.Requests(), blocking.Urllib3(), blocking.Httpx()):
        common.check_client(checks, client, serve.url, echo.url)
    asynchronous.check(checks, serve.url, echo.url, unix_path)
    curl.check(checks, serve.url, echo.url, unix_path, scratch)
    http2.check(checks, serve.url, echo.url, scratch)
    raw.check(checks, serve, echo)
    check_hello(checks, hello.url)

    def upload():
        data = content.TEXT * 306
        expect_bytes(blocking.upload_while_reading(echo.url, data), data)

    def unix_sockets():
        connection = blocking.UnixConnection(unix_path)
        for _ in range(3):
            connection.request("GET", "/64k.txt")
            expect_bytes(connection.getresponse().read(), content.TEXT)
        connection.close()
        client = blocking.Httpx(uds=unix_path)
        expect(client.request("GET", "http://localhost/", {}, None, False).body, content.INDEX)

    checks.run("http.client", "20 MB through echo while reading", upload)
    checks.run("http.client, httpx", "Unix socket", unix_sockets)


def check_ends(checks, servers):
    def ends(server):
        expect(server.stop(), 0)
        wrong = [line for line in server.log if "panicked" in line or "failed" in line]
        expect(wrong, [])

    for server in servers:
        checks.run(server.name, "nothing went wrong inside, and it ends in order", ends, server)


def main():
    root = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
    target = os.environ.get("QUOIT_TARGET_DIR", os.path.join(root, "target", "debug"))
    listen = ("--listen", "127.0.0.1:0")
    checks, servers = Checks(), []
    watchdog = threading.Timer(DEADLINE_S, give_up, (servers,))
    watchdog.daemon = True
    watchdog.start()
    with tempfile.TemporaryDirectory() as site, tempfile.TemporaryDirectory() as scratch:
        content.write(site)
        unix_path = os.path.join(scratch, "quoit.sock")
        try:
            quoit = os.path.join(target, "quoit")
            servers.append(Server(quoit, "serve", site, *listen, "--listen", "unix:" + unix_path))
            servers.append(Server(os.path.join(target, "examples", "echo"), *listen))
            servers.append(Server(os.path.join(target, "examples", "hello"), *listen))
            servers.append(Server(os.path.join(target, "examples", "streams"), "127.0.0.1:0"))
            servers.append(Server(os.path.join(target, "examples", "websocket"), *listen))
            serve, echo, hello, streaming, sockets = servers
            check_all(checks, serve, echo, hello, unix_path, scratch)
            streams.check(checks, streaming)
            tunnels.check(checks, streaming, os.path.join(target, "examples", "streams"))
            hints.check(checks, streaming)
            grpc_echo.check(checks, streaming)
            proxied.check_grpc(checks, quoit, streaming, scratch, servers)
            websocket.check(checks, sockets)
            tls.check(checks, quoit, site, scratch, servers)
            proxied.check(checks, quoit, serve, echo, sockets, unix_path, site, scratch, servers)
            examples.check(checks, quoit, root, scratch, servers)
            check_ends(checks, servers)
        finally:
            for server in servers:
                if server.process.poll() is None:
                    server.stop()
    print(f"{checks.passed} passed, {checks.failed} failed", flush=True)
    return 1 if checks.failed or not checks.passed else 0


if __name__ == "__main__":
    sys.exit(main())
