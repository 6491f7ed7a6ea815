"""The blocking client libraries, each in the shape that `common` asks for."""

import http.client
import socket
import threading
from urllib.parse import urljoin, urlsplit

import httpx
import requests
import urllib3

from common import Reply
from harness import TIMEOUT_S


def lower(headers):
    return {name.lower(): value for name, value in headers.items()}


class HttpClient:
    """http.client: one connection per thread and server."""

    name = "http.client"

    def __init__(self):
        self.local = threading.local()
        self.lock = threading.Lock()
        self.ports = set()

    def request(self, method, url, headers, body, follow):
        parts = urlsplit(url)
        held = self.local.__dict__.setdefault("held", {})
        connection = held.get(parts.netloc)
        if connection is None:
            connection = held[parts.netloc] = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_S)
        target = parts.path + ("?" + parts.query if parts.query else "")
        connection.request(method, target, body=body, headers=headers)
        with self.lock:
            self.ports.add(connection.sock.getsockname())
        response = connection.getresponse()
        reply = Reply(response.status, lower(response.headers), response.read())
        if follow and reply.status == 301:
            return self.request("GET", urljoin(url, reply.headers["location"]), headers, None, False)
        return reply

    def connections_made(self):
        """Different local addresses so far."""
        return len(self.ports)


class Requests:
    name = "requests"

    def __init__(self):
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=50))

    def request(self, method, url, headers, body, follow):
        response = self.session.request(
            method, url, headers=headers, data=body, timeout=TIMEOUT_S, allow_redirects=follow
        )
        return Reply(response.status_code, lower(response.headers), response.content)

    def connections_made(self):
        pools = self.session.get_adapter("http://").poolmanager.pools
        return sum(pools[key].num_connections for key in pools.keys())


class Urllib3:
    name = "urllib3"

    def __init__(self):
        self.manager = urllib3.PoolManager(maxsize=50, timeout=TIMEOUT_S, retries=False)

    def request(self, method, url, headers, body, follow):
        retries = urllib3.Retry(redirect=3) if follow else False
        response = self.manager.request(
            method, url, headers=headers, body=body, redirect=follow, retries=retries
        )
        return Reply(response.status, lower(response.headers), response.data)

    def connections_made(self):
        return sum(self.manager.pools[key].num_connections for key in self.manager.pools.keys())


class Httpx:
    name = "httpx"

    def __init__(self, uds=None, **options):
        limits = httpx.Limits(max_connections=60, max_keepalive_connections=60)
        transport = httpx.HTTPTransport(limits=limits, uds=uds, **options)
        self.client = httpx.Client(transport=transport, timeout=TIMEOUT_S, trust_env=False)
        self.ports = set()

    def request(self, method, url, headers, body, follow):
        with self.client.stream(
            method, url, headers=headers, content=body, follow_redirects=follow
        ) as response:
            self.ports.add(response.extensions["network_stream"].get_extra_info("client_addr"))
            return Reply(response.status_code, lower(response.headers), response.read())

    def connections_made(self):
        return len(self.ports)

    def close(self):
        self.client.close()


def upload_while_reading(echo, body):
    """http.client with a second thread: sends `body` while the answer is read; the answer."""
    parts = urlsplit(echo)
    connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_S)
    connection.putrequest("POST", "/")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    sender = threading.Thread(target=connection.sock.sendall, args=(body,), daemon=True)
    sender.start()
    answer = connection.getresponse().read()
    sender.join(TIMEOUT_S)
    connection.close()
    return answer


class UnixConnection(http.client.HTTPConnection):
    """http.client over a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=TIMEOUT_S)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(self.path)
