"""TLS with the libraries' own stacks: files of any size, kept connections, resumed sessions, client
certificates, and refusals of what should not be trusted. Makes its certificates with `quoit cert`."""

import asyncio
import os
import socket
import ssl
import subprocess

import aiohttp
import httpx
import requests
import urllib3

import content
import http2
from harness import TIMEOUT_S, Server, expect, expect_bytes


class Certificates:
    """An authority, a server's certificate for localhost, and a client's, in one directory."""

    def __init__(self, quoit, directory):
        self.quoit = quoit
        self.directory = directory
        self.make("ca", "ca")
        self.make("leaf", "localhost", "127.0.0.1", "--ca", "ca")
        self.make("client", "alice", "--ca", "ca")
        self.make("ca", "other")
        self.ca = self.path("ca/ca.pem")
        self.other_ca = self.path("other/ca.pem")

    def path(self, name):
        return os.path.join(self.directory, name)

    def make(self, *args):
        subprocess.run([self.quoit, "cert", *args], cwd=self.directory, check=True, capture_output=True)

    def serve(self, site, *args):
        files = ("--tls-cert", self.path("localhost.pem"), "--tls-key", self.path("localhost.key"))
        return Server(self.quoit, "serve", site, "--listen", "127.0.0.1:0", *files, *args)

    def context(self, version=None, client=None):
        context = ssl.create_default_context(cafile=self.ca)
        if version:
            context.minimum_version = context.maximum_version = version
        if client:
            context.load_cert_chain(self.path(client + ".pem"), self.path(client + ".key"))
        return context


def connect(server, context, session=None, name="localhost"):
    raw = socket.create_connection((server.host, server.port), timeout=TIMEOUT_S)
    return context.wrap_socket(raw, server_hostname=name, session=session, suppress_ragged_eofs=False)


def ask(connection, path, last=False):
    """GET; the body. The last request of a connection reads to its end, which must be told."""
    closing = "Connection: close\r\n" if last else ""
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{closing}\r\n".encode())
    read = b""
    while b"\r\n\r\n" not in read:
        read += connection.recv(65536)
    head, _, body = read.partition(b"\r\n\r\n")
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    length = int(fields[b"Content-Length"])
    while len(body) < length or last:
        piece = connection.recv(65536)
        if not piece:
            break
        body += piece
    expect(head[:12], b"HTTP/1.1 200")
    return body


def refused(error, call):
    try:
        call()
    except error:
        return
    raise AssertionError(f"no {error.__name__}")


def check_ssl(checks, certificates, server):
    def version(which, name):
        with connect(server, certificates.context(which)) as connection:
            expect(connection.version(), name)
            for _ in range(3):
                expect_bytes(ask(connection, "/64k.txt"), content.TEXT)
            expect_bytes(ask(connection, "/large.bin", last=True), content.LARGE)

    def resumption(which):
        context = certificates.context(which)
        with connect(server, context) as connection:
            expect_bytes(ask(connection, "/64k.txt"), content.TEXT)
            session = connection.session
            expect(connection.session_reused, False)
        # On whichever core it arrives.
        for _ in range(6):
            with connect(server, context, session) as connection:
                expect_bytes(ask(connection, "/64k.txt"), content.TEXT)
                expect(connection.session_reused, True)

    def protocol():
        context = certificates.context()
        context.set_alpn_protocols(["http/1.1"])
        with connect(server, context) as connection:
            expect(connection.selected_alpn_protocol(), "http/1.1")
        context.set_alpn_protocols(["spdy/3"])
        refused(ssl.SSLError, lambda: connect(server, context))

    def trust():
        stranger = ssl.create_default_context(cafile=certificates.other_ca)
        refused(ssl.SSLCertVerificationError, lambda: connect(server, stranger))
        other_name = lambda: connect(server, certificates.context(), name="other.test")
        refused(ssl.SSLCertVerificationError, other_name)

    versions = ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3"))
    for which, name in versions:
        checks.run("ssl", f"{name}, kept connection, large file, told end", version, which, name)
        checks.run("ssl", f"{name}, resumed sessions", resumption, which)
    checks.run("ssl", "ALPN", protocol)
    checks.run("ssl", "wrong authority and wrong name are noticed", trust)


def check_libraries(checks, certificates, server):
    url = f"https://localhost:{server.port}"

    def with_requests():
        with requests.Session() as session:
            session.trust_env = False
            for path, wanted in (("/64k.txt", content.TEXT), ("/large.bin", content.LARGE)) * 2:
                reply = session.get(url + path, verify=certificates.ca, timeout=TIMEOUT_S)
                expect(reply.status_code, 200)
                expect_bytes(reply.content, wanted)
            pools = session.get_adapter(url).poolmanager.pools
            expect(sum(pools[key].num_connections for key in pools.keys()), 1)
            wrong = lambda: session.get(url, verify=certificates.other_ca, timeout=TIMEOUT_S)
            refused(requests.exceptions.SSLError, wrong)

    def with_urllib3():
        manager = urllib3.PoolManager(ca_certs=certificates.ca, timeout=TIMEOUT_S, retries=False)
        expect_bytes(manager.request("GET", url + "/large.bin").data, content.LARGE)

    def with_httpx():
        with httpx.Client(verify=certificates.context(), timeout=TIMEOUT_S, trust_env=False) as client:
            for _ in range(3):
                expect_bytes(client.get(url + "/large.bin").content, content.LARGE)

    async def many():
        connector = aiohttp.TCPConnector(ssl=certificates.context(), limit=32)
        async with aiohttp.ClientSession(connector=connector) as session:
            async def one():
                async with session.get(url + "/64k.txt") as reply:
                    expect_bytes(await reply.read(), content.TEXT)

            await asyncio.wait_for(asyncio.gather(*(one() for _ in range(200))), TIMEOUT_S)

    checks.run("requests", "TLS, kept connection, wrong authority noticed", with_requests)
    checks.run("urllib3", "TLS", with_urllib3)
    checks.run("httpx", "TLS", with_httpx)
    checks.run("aiohttp", "TLS, 200 at once", lambda: asyncio.run(many()))


def check_mutual(checks, certificates, server):
    url = f"https://localhost:{server.port}/64k.txt"
    certificates.make("client", "mallory", "--ca", "other")

    def pair(name):
        return certificates.path(name + ".pem"), certificates.path(name + ".key")

    def get(name):
        with requests.Session() as session:
            session.trust_env = False
            cert = pair(name) if name else None
            return session.get(url, verify=certificates.ca, cert=cert, timeout=TIMEOUT_S)

    def accepted():
        expect_bytes(get("alice").content, content.TEXT)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with connect(server, certificates.context(version, "alice")) as connection:
                expect_bytes(ask(connection, "/64k.txt"), content.TEXT)

    def turned_away(name):
        refused(requests.exceptions.ConnectionError, lambda: get(name))

    checks.run("requests, ssl", "a client's certificate is accepted", accepted)
    checks.run("requests", "without one there is no answer", turned_away, None)
    checks.run("requests", "with a stranger's there is none", turned_away, "mallory")


def check_reload(checks, certificates, server):
    """A new certificate while a connection is kept."""

    def swap():
        context = certificates.context()
        with connect(server, context) as kept:
            first = kept.getpeercert()["serialNumber"]
            expect_bytes(ask(kept, "/64k.txt"), content.TEXT)
            certificates.make("leaf", "localhost", "127.0.0.1", "--ca", "ca", "--force")
            server.process.send_signal(1)
            for _ in range(500):
                with connect(server, context) as connection:
                    if connection.getpeercert()["serialNumber"] != first:
                        break
            else:
                raise AssertionError("the new certificate is not presented")
            expect_bytes(ask(kept, "/64k.txt"), content.TEXT)

    checks.run("ssl", "a new certificate is presented, kept connections stay", swap)


def check(checks, quoit, site, directory, servers):
    certificates = Certificates(quoit, directory)
    server = certificates.serve(site, "--workers", "2")
    servers.append(server)
    mutual = certificates.serve(site, "--tls-client-ca", certificates.ca)
    servers.append(mutual)
    check_ssl(checks, certificates, server)
    check_libraries(checks, certificates, server)
    check_mutual(checks, certificates, mutual)
    http2.check_tls(checks, certificates, server, directory)
    check_reload(checks, certificates, server)
