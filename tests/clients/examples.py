"""The configurations in `examples/`, each served by `quoit run` in front of real servers: what the file promises
is what its clients see.

A copy of the file is served, with other ports than those in it; and with shorter times where the test would have
to wait.
"""

import asyncio
import os
import queue
import re
import shutil
import ssl
import sys
import threading
import time
from concurrent import futures

import grpc
import httpx
import requests
import uvicorn
import websockets.exceptions
import websockets.sync.client

from harness import TIMEOUT_S, Server, expect

UPSTREAM = os.path.join(os.path.dirname(__file__), "upstream.py")


class Examples:
    """A copy of the directory, in which files are served with changes."""

    def __init__(self, quoit, root, scratch, servers):
        self.quoit, self.servers = quoit, servers
        self.directory = os.path.join(scratch, "examples")
        os.mkdir(self.directory)
        self.source = os.path.join(root, "examples")
        shutil.copytree(os.path.join(self.source, "site"), os.path.join(self.directory, "site"))

    def run(self, name, ports, changes=()):
        """The server of that file; `ports` has another one for each that it names, but for its listener's."""
        with open(os.path.join(self.source, name), encoding="utf-8") as file:
            text = file.read()
        for old, new in changes:
            expect(old in text, True)
            text = text.replace(old, new)
        ports = {"8080": 0, "8443": 0, **ports}
        text = re.sub(r'(?<="127\.0\.0\.1:)\d+(?=")', lambda port: str(ports[port[0]]), text)
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        self.servers.append(Server(self.quoit, "run", "--config", path))
        return self.servers[-1]


class Upstream:
    """A process of `upstream.py`, which keeps its port."""

    def __init__(self, name):
        self.name = name
        self.server = Server(sys.executable, UPSTREAM, name)
        self.port = self.server.port

    def kill(self):
        self.server.process.kill()
        self.server.process.wait()

    def start_again(self):
        self.server = Server(sys.executable, UPSTREAM, self.name, str(self.port))


def session():
    made = requests.Session()
    made.trust_env = False
    return made


def until(what, holds):
    """Waits for a condition of other processes."""
    deadline = time.monotonic() + TIMEOUT_S
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {TIMEOUT_S} s: {what}")
        time.sleep(0.02)


def check_site_and_api(checks, examples):
    upstreams = [Upstream("one"), Upstream("two")]
    proxy = examples.run("site-and-api.toml", {"9001": upstreams[0].port, "9002": upstreams[1].port})
    client = session()

    def get(path, **more):
        return client.get(proxy.url + path, timeout=TIMEOUT_S, **more)

    def site():
        for path in ("/", "/users/7"):
            reply = get(path, headers={"Accept": "text/html"})
            expect((reply.status_code, "A site" in reply.text), (200, True))
            expect("content-security-policy" in reply.headers, True)
            expect(reply.headers["permissions-policy"], "geolocation=(), camera=()")
            expect("x-request-id" in reply.headers, True)
        expect(get("/assets/none.js", headers={"Accept": "*/*"}).status_code, 404)

    def api():
        asked = {get(f"/api/users?page={number}").json()["name"] for number in range(50)}
        expect(asked, {"one", "two"})
        reply = client.post(proxy.url + "/api/users", data="new", timeout=TIMEOUT_S)
        told = reply.json()
        expect((told["method"], told["target"], told["body"]), ("POST", "/users", "new"))
        # The same one in the log of the program, and at the client.
        expect(told["headers"]["x-request-id"], reply.headers["x-request-id"])
        expect(told["headers"]["x-forwarded-for"], "127.0.0.1")
        expect(get("/api").json()["target"], "/")
        large = client.post(proxy.url + "/api/users", data="x" * ((1 << 20) + 1), timeout=TIMEOUT_S)
        expect(large.status_code, 413)

    def own():
        reply = get("/api/health")
        expect((reply.status_code, reply.text), (200, "fine"))

    who = "requests, site-and-api.toml"
    checks.run(who, "files, and the page of an application's paths", site)
    checks.run(who, "the API without its prefix, at both servers", api)
    checks.run(who, "a route that is answered here", own)
    for upstream in upstreams:
        upstream.kill()


def check_load_balancer(checks, examples):
    one, two, backup = (Upstream(name) for name in ("one", "two", "backup"))
    ports = {"9001": one.port, "9002": two.port, "9003": backup.port}
    faster = [('interval = "2s", timeout = "1s"', 'interval = "100ms", timeout = "1s"'), ('"10s"', '"1s"')]
    proxy = examples.run("load-balancer.toml", ports, faster)
    client = session()

    def ask(method, number):
        reply = client.request(method, f"{proxy.url}/{number}", timeout=TIMEOUT_S)
        expect(reply.status_code, 200)
        return reply.json()["name"]

    def asked(count=60, method="GET"):
        """Who answered, of that many requests, eight at a time; all are answered."""
        with futures.ThreadPoolExecutor(8) as pool:
            return set(pool.map(lambda number: ask(method, number), range(count)))

    def is_noticed(upstream, what):
        """Whether the checks have found out, from the log."""
        return any(f"127.0.0.1:{upstream.port} is {what}" in line for line in proxy.log)

    def spreads():
        # Chosen by latency too: one whose first answer took long is asked again after a second.
        for method in ("GET", "POST"):
            used = set()
            until("both are used", lambda: used.update(asked(20, method)) or len(used) > 1)
            expect(used, {"one", "two"})

    def outage():
        two.kill()
        expect(asked(), {"one"})
        until("checks find it", lambda: is_noticed(two, "unhealthy"))
        expect(asked(method="POST"), {"one"})
        one.kill()
        expect(asked(20), {"backup"})

    def end_of_outage():
        until("checks find it", lambda: is_noticed(one, "unhealthy"))
        two.start_again()
        until("it is back", lambda: is_noticed(two, "healthy again"))
        until("the backup is left alone", lambda: asked(10) == {"two"})
        one.start_again()
        until("both are back", lambda: asked(30) == {"one", "two"})

    who = "requests, load-balancer.toml"
    checks.run(who, "both servers are used, and the backup is not", spreads)
    checks.run(who, "servers are killed: no request fails, and the last resort is the backup", outage)
    checks.run(who, "servers that are back are used", end_of_outage)
    for upstream in (one, two, backup):
        upstream.kill()


def check_canary(checks, examples):
    stable, second, canary = (Upstream(name) for name in ("stable", "stable too", "canary"))
    ports = {"9001": stable.port, "9002": second.port, "9101": canary.port}
    proxy = examples.run("canary.toml", ports)
    client = session()

    def get(host):
        return client.get(proxy.url + "/", headers={"Host": host}, timeout=TIMEOUT_S)

    def split():
        names = [get(host).json()["name"] for _ in range(500) for host in ("shop.example", "www.shop.example")]
        share = names.count("canary")
        # 50 are expected; a fair draw is outside of these once in a million runs.
        expect((share, 20 <= share <= 90), (share, True))
        expect(set(names), {"stable", "stable too", "canary"})

    def testers():
        for _ in range(20):
            reply = get("canary.shop.example")
            told = reply.json()
            expect((told["name"], told["headers"]["host"]), ("canary", "shop.example"))
            expect(reply.headers["x-robots-tag"], "noindex")

    def others():
        expect(get("other.example").status_code, 404)

    who = "requests, canary.toml"
    checks.run(who, "about five of a hundred are answered by the new version", split)
    checks.run(who, "testers choose it by its host", testers)
    checks.run(who, "other hosts are not served", others)
    for upstream in (stable, second, canary):
        upstream.kill()


class Greeter(grpc.GenericRpcHandler):
    """`helloworld.Greeter` and the health service; messages are bytes, and the health's one is known by heart."""

    def __init__(self):
        self.healthy_asked = threading.Event()

    def service(self, call):
        method = {
            "/helloworld.Greeter/SayHello": grpc.unary_unary_rpc_method_handler(self.say_hello),
            "/helloworld.Greeter/StreamHellos": grpc.unary_stream_rpc_method_handler(self.stream_hellos),
            "/helloworld.Greeter/SayHellos": grpc.stream_stream_rpc_method_handler(self.say_hellos),
            "/grpc.health.v1.Health/Check": grpc.unary_unary_rpc_method_handler(self.check),
        }
        return method.get(call.method)

    def say_hello(self, message, context):
        if message == b"nobody":
            context.abort(grpc.StatusCode.NOT_FOUND, "there is nobody")
        context.set_trailing_metadata((("told", "at the end"),))
        return b"Hello, " + message

    def stream_hellos(self, message, _):
        for number in range(100):
            yield b"Hello %d, " % number + message

    def say_hellos(self, messages, _):
        for message in messages:
            yield b"Hello, " + message

    def check(self, _message, _context):
        self.healthy_asked.set()
        # HealthCheckResponse { status: SERVING }
        return b"\x08\x01"


def check_grpc(checks, examples):
    greeter = Greeter()
    upstream = grpc.server(futures.ThreadPoolExecutor(8), handlers=(greeter,))
    port = upstream.add_insecure_port("127.0.0.1:0")
    upstream.start()
    proxy = examples.run("grpc.toml", {"50051": port})
    certificate = ssl.get_server_certificate((proxy.host, proxy.port)).encode()
    credentials = grpc.ssl_channel_credentials(certificate)
    channel = grpc.secure_channel(f"localhost:{proxy.port}", credentials, [("grpc.enable_http_proxy", 0)])

    def unary():
        greeter.healthy_asked.wait(TIMEOUT_S)
        say = channel.unary_unary("/helloworld.Greeter/SayHello")
        for number in range(100):
            reply, call = say.with_call(b"%d" % number, timeout=TIMEOUT_S)
            expect(reply, b"Hello, %d" % number)
            expect(dict(call.trailing_metadata())["told"], "at the end")
        try:
            say(b"nobody", timeout=TIMEOUT_S)
            raise AssertionError("answered")
        except grpc.RpcError as error:
            expect((error.code(), error.details()), (grpc.StatusCode.NOT_FOUND, "there is nobody"))

    def streams():
        many = channel.unary_stream("/helloworld.Greeter/StreamHellos")
        expect(list(many(b"you", timeout=TIMEOUT_S)), [b"Hello %d, you" % number for number in range(100)])
        outgoing = queue.SimpleQueue()
        call = channel.stream_stream("/helloworld.Greeter/SayHellos")(iter(outgoing.get, None), timeout=TIMEOUT_S)
        for number in range(200):
            outgoing.put(b"%d" % number)
            expect(next(call), b"Hello, %d" % number)
        outgoing.put(None)
        expect((list(call), call.code()), ([], grpc.StatusCode.OK))

    def unknown():
        other = channel.unary_unary("/other.Service/Call")
        try:
            other(b"", timeout=TIMEOUT_S)
            raise AssertionError("answered")
        except grpc.RpcError as error:
            expect(error.code(), grpc.StatusCode.UNIMPLEMENTED)

    who = "grpcio, grpc.toml"
    checks.run(who, "calls over TLS, with trailers and errors", unary)
    checks.run(who, "streams one way and both ways", streams)
    checks.run(who, "a service that is not known", unknown)
    channel.close()
    upstream.stop(None)


class Chat:
    """An ASGI application with a WebSocket and a stream of events, on a thread of its own."""

    def __init__(self, name):
        self.name = name
        self.server = uvicorn.Server(uvicorn.Config(self.application, port=0, log_level="critical", lifespan="off", interface="asgi3"))
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        until("uvicorn serves", lambda: self.server.started)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        self.next_event = threading.Event()

    async def application(self, scope, receive, send):
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": f"{self.name} {scope['path']}"})
            while (message := await receive())["type"] == "websocket.receive":
                await send({**message, "type": "websocket.send"})
            return
        fields = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        for number in range(3):
            await send({"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True})
            # The next one when the client has this one.
            while not self.next_event.is_set():
                await asyncio.sleep(0.005)
            self.next_event.clear()
        await send({"type": "http.response.body", "body": b""})

    def stop(self):
        self.server.should_exit = True
        self.thread.join(5)


def check_websocket(checks, examples):
    chats = [Chat("one"), Chat("two")]
    proxy = examples.run("websocket.toml", {"9001": chats[0].port, "9002": chats[1].port})

    def connect(path, **headers):
        url = f"ws://{proxy.host}:{proxy.port}{path}"
        return websockets.sync.client.connect(url, additional_headers=headers, open_timeout=TIMEOUT_S, proxy=None)

    def echo():
        with connect("/chat/room/7") as client:
            expect(client.recv(TIMEOUT_S).split(" ")[1], "/chat/room/7")
            for number in range(200):
                client.send(f"message {number}")
                expect(client.recv(TIMEOUT_S), f"message {number}")
            client.send(b"\0" * 100_000)
            expect(client.recv(TIMEOUT_S), b"\0" * 100_000)

    def sticky():
        known = {}
        for _ in range(50):
            with connect("/chat") as client:
                cookie = client.response.headers["set-cookie"].partition(";")[0]
                known[client.recv(TIMEOUT_S)] = cookie
            if len(known) == 2:
                break
        expect(set(known), {"one /chat", "two /chat"})
        for _ in range(5):
            for name, cookie in known.items():
                with connect("/chat", Cookie=cookie) as client:
                    expect(client.recv(TIMEOUT_S), name)

    def events():
        with httpx.Client(trust_env=False, timeout=TIMEOUT_S) as client:
            with client.stream("GET", proxy.url + "/events") as reply:
                expect((reply.status_code, reply.headers["content-type"]), (200, "text/event-stream"))
                got = []
                for line in reply.iter_lines():
                    if line:
                        got.append(line)
                        for chat in chats:
                            chat.next_event.set()
                expect(got, ["data: 0", "data: 1", "data: 2"])
            reply = client.post(proxy.url + "/events")
            expect((reply.status_code, reply.headers["allow"]), (405, "GET, HEAD, OPTIONS"))

    def elsewhere():
        try:
            connect("/other").close()
            raise AssertionError("connected")
        except websockets.exceptions.InvalidStatus as refused:
            expect(refused.response.status_code, 404)

    checks.run("websockets, websocket.toml", "messages both ways", echo)
    checks.run("websockets, websocket.toml", "the cookie leads to the same server", sticky)
    checks.run("httpx, websocket.toml", "events one by one as they are sent", events)
    checks.run("websockets, websocket.toml", "other paths are no WebSockets", elsewhere)
    for chat in chats:
        chat.stop()


def check(checks, quoit, root, scratch, servers):
    examples = Examples(quoit, root, scratch, servers)
    check_site_and_api(checks, examples)
    check_load_balancer(checks, examples)
    check_canary(checks, examples)
    check_grpc(checks, examples)
    check_websocket(checks, examples)
