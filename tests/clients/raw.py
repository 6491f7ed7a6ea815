"""Plain sockets: what no client library does on purpose."""

import socket

import content
from harness import TIMEOUT_S, expect, expect_bytes


def connect(server):
    return socket.create_connection((server.host, server.port), timeout=TIMEOUT_S)


def to_end(sock):
    """Everything until the server closes."""
    received = b""
    while more := sock.recv(65_536):
        received += more
    return received


def replies(data, methods):
    """Splits what came into (status, body), one per method; nothing may be left over."""
    found = []
    for method in methods:
        head, _, data = data.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        length = 0 if method == "HEAD" else int(fields[b"content-length"])
        found.append((int(head.split(b" ")[1]), data[:length]))
        data = data[length:]
    expect(data, b"")
    return found


def pipelining(server):
    methods = ["GET", "HEAD", "GET", "GET"] * 8
    paths = ["/", "/64k.txt", "/64k.txt", "/none"] * 8
    requests = [f"{m} {p} HTTP/1.1\r\nHost: a\r\n\r\n" for m, p in zip(methods, paths)]
    requests[-1] = requests[-1].replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
    with connect(server) as sock:
        sock.sendall("".join(requests).encode())
        found = replies(to_end(sock), methods)
    for at in range(0, len(found), 4):
        expect(found[at], (200, content.INDEX))
        expect(found[at + 1], (200, b""))
        expect_bytes(found[at + 2][1], content.TEXT)
        expect(found[at + 3][0], 404)


def pipelined_posts(server):
    """Lengths and chunks in turn, in one write."""
    data = b"".join(
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nfive%d" % (i % 10)
        if i % 2
        else b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        for i in range(10)
    )
    with connect(server) as sock:
        sock.sendall(data + b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = to_end(sock)
    expect(answer.count(b"HTTP/1.1 200 OK\r\n"), 11)
    for i in range(1, 10, 2):
        expect(answer.count(b"five%d" % i), 1)
    expect(answer.count(b"3\r\nabc\r\n0\r\n\r\n"), 5)


def keep_alive_in_1_0(server):
    with connect(server) as sock:
        for _ in range(3):
            sock.sendall(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            answer = b""
            while not answer.endswith(content.INDEX):
                answer += sock.recv(4096)
            expect(b"connection: keep-alive" in answer.lower(), True)
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        expect_bytes(to_end(sock)[-len(content.INDEX) :], content.INDEX)


def byte_by_byte(server):
    with connect(server) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n":
            sock.sendall(bytes([byte]))
        expect_bytes(to_end(sock)[-len(content.INDEX) :], content.INDEX)


def half_closed(server):
    """A client that ends its own direction still gets its answer, all of it."""
    with connect(server) as sock:
        sock.sendall(b"GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        expect_bytes(to_end(sock).split(b"\r\n\r\n", 1)[1], content.LARGE)


def check(checks, serve, echo):
    for what, check_one, server in (
        ("32 requests pipelined", pipelining, serve),
        ("10 uploads pipelined", pipelined_posts, echo),
        ("HTTP/1.0 kept alive on request", keep_alive_in_1_0, serve),
        ("a head byte by byte", byte_by_byte, serve),
        ("a client that half-closes", half_closed, serve),
    ):
        checks.run("sockets", what, check_one, server)
