"""An endpoint that misbehaves on command: an HTTP/1.1 server with keep-alive on 127.0.0.1, or on $HOST.

Usage: endpoint.py NAME [PORT]. Prints `port N` once it listens. Lines on standard input:
  mode ok | slow SECONDS | error STATUS | cut | silent   how requests are answered from now on
  refuse | listen                                        close the listening socket and every connection; open it
  count                                                  prints `count N`: requests that have arrived
Ends with the end of its standard input.
"""

import asyncio
import os
import socket
import struct
import sys
import threading


HOST = os.environ.get("HOST", "127.0.0.1")


class Endpoint:
    def __init__(self, name, port):
        self.name, self.port = name, port
        self.mode = ["ok"]
        self.count = 0
        self.server = None
        self.open = set()

    async def listen(self):
        self.server = await asyncio.start_server(self.serve, HOST, self.port, backlog=1024)
        self.port = self.server.sockets[0].getsockname()[1]

    async def refuse(self):
        self.server.close()
        for writer in list(self.open):
            reset(writer)

    async def serve(self, reader, writer):
        self.open.add(writer)
        try:
            while await self.exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()

    async def exchange(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                await reader.readexactly(int(line.split(b":")[1]))
        is_check = head.startswith(b"GET /health")
        if not is_check:
            self.count += 1
        mode, *rest = self.mode
        if mode == "silent":
            await asyncio.sleep(3600)
        if mode == "slow":
            await asyncio.sleep(float(rest[0]))
        status, body = "200 OK", f"from {self.name} ".encode() * 20
        if mode == "error":
            status = f"{rest[0]} Error"
        fields = f"Content-Length: {len(body)}\r\nX-Endpoint: {self.name}\r\n"
        writer.write(f"HTTP/1.1 {status}\r\n{fields}\r\n".encode())
        if mode == "cut":
            writer.write(body[: len(body) // 2])
            await writer.drain()
            reset(writer)
            return False
        writer.write(body)
        await writer.drain()
        return not (is_check and b"connection: close" in head.lower())


def reset(writer):
    sock = writer.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def main():
    endpoint = Endpoint(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    await endpoint.listen()
    print("port", endpoint.port, flush=True)
    loop, lines = asyncio.get_running_loop(), asyncio.Queue()

    def read():
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line.split())
        loop.call_soon_threadsafe(lines.put_nowait, None)

    threading.Thread(target=read, daemon=True).start()
    while (words := await lines.get()) is not None:
        if words[0] == "mode":
            endpoint.mode = words[1:]
        elif words[0] == "refuse":
            await endpoint.refuse()
        elif words[0] == "listen":
            await endpoint.listen()
        elif words[0] == "count":
            print("count", endpoint.count, flush=True)
            continue
        print("done", flush=True)


asyncio.run(main())
