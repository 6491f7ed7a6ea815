"""httpx and aiohttp on an event loop."""

import asyncio

import aiohttp
import httpx

import content
from common import PLAIN, chunks
from harness import TIMEOUT_S, expect, expect_bytes


def httpx_client(**options):
    limits = httpx.Limits(max_connections=60, max_keepalive_connections=60)
    transport = httpx.AsyncHTTPTransport(limits=limits, **options)
    return httpx.AsyncClient(transport=transport, timeout=TIMEOUT_S, trust_env=False)


async def httpx_twenty(serve):
    ports = set()
    async with httpx_client() as client:
        for path in ["/", "/64k.txt", "/no-such-thing", "/sub/"] * 5:
            async with client.stream("GET", serve + path) as response:
                ports.add(response.extensions["network_stream"].get_extra_info("client_addr"))
                await response.aread()
    expect(len(ports), 1)


async def httpx_parallel(serve):
    async with httpx_client() as client:
        replies = await asyncio.gather(*(client.get(serve + "/64k.txt") for _ in range(50)))
    for reply in replies:
        expect(reply.status_code, 200)
        expect_bytes(reply.content, content.TEXT)


async def httpx_chunked(echo):
    async def pieces():
        for piece in chunks(b"piece", 200):
            yield piece

    async with httpx_client() as client:
        expect_bytes((await client.post(echo, content=pieces())).content, b"piece" * 200)
        redirected = await client.get(echo, headers={"Connection": "close"})
        expect(redirected.status_code, 200)


async def httpx_large(serve):
    async with httpx_client() as client:
        expect_bytes((await client.get(serve + "/large.bin")).content, content.LARGE)


def aiohttp_session(made=None, **options):
    trace = aiohttp.TraceConfig()

    async def count(*_):
        if made is not None:
            made.append(1)

    trace.on_connection_create_end.append(count)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    return aiohttp.ClientSession(timeout=timeout, trace_configs=[trace], **options)


async def aiohttp_methods(serve):
    async with aiohttp_session() as session:
        async with session.get(serve + "/64k.txt", headers=PLAIN) as reply:
            expect(reply.status, 200)
            etag = reply.headers["ETag"]
            expect_bytes(await reply.read(), content.TEXT)
        async with session.head(serve + "/64k.txt", headers=PLAIN) as reply:
            expect((reply.status, reply.headers["Content-Length"]), (200, "65536"))
        async with session.get(serve + "/nothing") as reply:
            expect(reply.status, 404)
        async with session.get(serve + "/64k.txt", headers={**PLAIN, "If-None-Match": etag}) as reply:
            expect((reply.status, await reply.read()), (304, b""))
        async with session.get(serve + "/64k.txt", headers={"Range": "bytes=5-14"}) as reply:
            expect((reply.status, await reply.read()), (206, content.TEXT[5:15]))
        async with session.get(serve + "/sub") as reply:
            expect((reply.status, await reply.read()), (200, content.SUB_INDEX))
        async with session.get(serve + "/", headers={"Connection": "close"}) as reply:
            expect((reply.status, reply.headers["Connection"].lower()), (200, "close"))
        async with session.get(serve + "/large.bin") as reply:
            expect_bytes(await reply.read(), content.LARGE)


async def aiohttp_twenty(serve):
    made = []
    async with aiohttp_session(made) as session:
        for path in ["/", "/64k.txt", "/no-such-thing", "/sub/"] * 5:
            async with session.get(serve + path) as reply:
                await reply.read()
    expect(len(made), 1)


async def aiohttp_parallel(serve):
    async def one(session):
        async with session.get(serve + "/64k.txt") as reply:
            expect(reply.status, 200)
            expect_bytes(await reply.read(), content.TEXT)

    async with aiohttp_session() as session:
        await asyncio.gather(*(one(session) for _ in range(50)))


async def aiohttp_posts(echo):
    async def pieces(piece, count):
        for sent in chunks(piece, count):
            yield sent

    async with aiohttp_session() as session:
        async with session.post(echo, data=content.TEXT) as reply:
            expect_bytes(await reply.read(), content.TEXT)
        async with session.post(echo, data=pieces(b"abc", 100)) as reply:
            expect_bytes(await reply.read(), b"abc" * 100)
        async with session.post(echo, data=b"patience", headers={"Expect": "100-continue"}) as reply:
            expect_bytes(await reply.read(), b"patience")


async def aiohttp_upload(echo):
    """Sends 20 MB in pieces while it reads them back: back-pressure both ways."""

    async def pieces():
        for sent in chunks(content.TEXT, 306):
            yield sent

    received = 0
    async with aiohttp_session() as session:
        async with session.post(echo, data=pieces()) as reply:
            async for piece in reply.content.iter_chunked(65_536):
                at = received % len(content.TEXT)
                expect_bytes(piece, (content.TEXT * 2)[at : at + len(piece)])
                received += len(piece)
    expect(received, 306 * len(content.TEXT))


async def unix_sockets(path):
    async with httpx_client(uds=path) as client:
        expect((await client.get("http://localhost/")).content, content.INDEX)
    async with aiohttp_session(connector=aiohttp.UnixConnector(path)) as session:
        async with session.get("http://localhost/64k.txt") as reply:
            expect_bytes(await reply.read(), content.TEXT)


def check(checks, serve, echo, unix_path):
    def on_loop(coroutine):
        return lambda *args: asyncio.run(asyncio.wait_for(coroutine(*args), TIMEOUT_S))

    for who, what, coroutine, argument in (
        ("httpx async", "20 requests on one connection", httpx_twenty, serve),
        ("httpx async", "50 in parallel", httpx_parallel, serve),
        ("httpx async", "POST chunked", httpx_chunked, echo),
        ("httpx async", "12 MiB file", httpx_large, serve),
        ("aiohttp", "GET, HEAD, 404, 304, 206, redirect, close, 12 MiB", aiohttp_methods, serve),
        ("aiohttp", "20 requests on one connection", aiohttp_twenty, serve),
        ("aiohttp", "50 in parallel", aiohttp_parallel, serve),
        ("aiohttp", "POST with a length, chunked, with Expect", aiohttp_posts, echo),
        ("aiohttp", "20 MB through echo while reading", aiohttp_upload, echo),
        ("httpx async, aiohttp", "Unix socket", unix_sockets, unix_path),
    ):
        checks.run(who, what, on_loop(coroutine), argument)
