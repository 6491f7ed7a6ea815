"""103 Early Hints before the page of the example `streams`: who gets them, and who is not disturbed."""

import http.client

import h2stream
import httpx
import raw
from curl import curl
from harness import TIMEOUT_S, expect
from streams import Reader

LINK = "</style.css>; rel=preload; as=style"
TITLE = b"<title>hints</title>"


def check(checks, server):
    url = server.url + "/page"

    def with_curl(*options):
        out, said = curl("--verbose", *options, url)
        expect(TITLE in out, True)
        lines = [line.strip().lower() for line in said.splitlines()]
        statuses = [line.split()[2] for line in lines if line.startswith("< http/")]
        return statuses, [line for line in lines if line.startswith("< link:")]

    def curl_gets_it():
        for options in ((), ("--http2-prior-knowledge",)):
            expect(with_curl(*options), (["103", "200"], ["< link: " + LINK]))

    def not_in_1_0():
        expect(with_curl("--http1.0"), (["200"], []))
        with raw.connect(server) as sock:
            sock.sendall(b"GET /page HTTP/1.0\r\n\r\n")
            expect(raw.to_end(sock).count(b"HTTP/1."), 1)

    def by_hand():
        with raw.connect(server) as sock:
            reader = Reader(sock)
            for _ in range(3):
                sock.sendall(b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n")
                expect(reader.head(), (103, {"link": LINK}))
                status, fields = reader.head()
                expect((status, TITLE in reader.file.read(int(fields["content-length"]))), (200, True))

    def pipelined():
        """Interim responses stay with theirs."""
        with raw.connect(server) as sock:
            sock.sendall(b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n" * 5)
            reader = Reader(sock)
            for _ in range(5):
                expect(reader.head(), (103, {"link": LINK}))
                status, fields = reader.head()
                expect((status, TITLE in reader.file.read(int(fields["content-length"]))), (200, True))

    def h2_gets_it():
        with h2stream.Connection(server) as connection:
            streams = [connection.request("GET", "/page", end=True) for _ in range(20)]
            for stream in streams:
                expect((stream.status(), TITLE in stream.read_to_end()), (200, True))
                expect(stream.interim, [{":status": "103", "link": LINK}])

    def with_http_client():
        """It knows no interim response but 100 and takes the first head for the answer."""
        connection = http.client.HTTPConnection(server.host, server.port, timeout=TIMEOUT_S)
        connection.request("GET", "/page")
        reply = connection.getresponse()
        expect(reply.status in (103, 200), True)
        if reply.status == 103:
            expect(reply.getheader("link"), LINK)
        connection.close()
        # One that says it speaks HTTP/1.0 gets none.
        connection._http_vsn, connection._http_vsn_str = 10, "HTTP/1.0"
        connection.request("GET", "/page")
        reply = connection.getresponse()
        expect((reply.status, TITLE in reply.read()), (200, True))
        connection.close()

    def with_httpx():
        for options in ({}, {"http1": False, "http2": True}):
            with httpx.Client(trust_env=False, timeout=TIMEOUT_S, **options) as client:
                for _ in range(3):
                    reply = client.get(url)
                    expect((reply.status_code, TITLE in reply.content), (200, True))

    checks.run("curl", "103 and its Link, over HTTP/1.1 and HTTP/2", curl_gets_it)
    checks.run("curl, sockets", "no 103 in HTTP/1.0", not_in_1_0)
    checks.run("sockets", "103 before each page of a connection", by_hand)
    checks.run("sockets", "103 before each of 5 pages pipelined", pipelined)
    checks.run("h2", "103 on each of 20 streams", h2_gets_it)
    checks.run("http.client", "103 is an answer to it; as HTTP/1.0 it gets none", with_http_client)
    checks.run("httpx", "passes over 103, over HTTP/1.1 and HTTP/2", with_httpx)
