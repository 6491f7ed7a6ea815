"""gRPC from its own implementation, grpcio, against the service of the example `streams` that was written by
hand: `/echo.Echo/Say` sends every message back. Messages are bytes; nothing is generated."""

import queue
import threading

import grpc
from harness import TIMEOUT_S, expect, expect_bytes
from tunnels import pattern

METHOD = "/echo.Echo/Say"
MESSAGES = 1000
MIB = 1 << 20


def status_of(call):
    """The status with which a call fails."""
    try:
        call()
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def check(checks, server):
    limits = [(f"grpc.max_{way}_message_length", -1) for way in ("send", "receive")]
    options = [*limits, ("grpc.enable_http_proxy", 0)]
    channel = grpc.insecure_channel(f"{server.host}:{server.port}", options)
    unary = channel.unary_unary(METHOD)
    streams = channel.stream_stream(METHOD)

    def one(data=b"hello"):
        expect_bytes(unary(data, timeout=TIMEOUT_S), data)

    def ones():
        one()
        one(b"")
        for number in range(200):
            one(b"%d" % number)

    def interleaved():
        """Each message is sent when the one before has come back."""
        outgoing = queue.SimpleQueue()
        call = streams(iter(outgoing.get, None), timeout=2 * TIMEOUT_S)
        for number in range(MESSAGES):
            outgoing.put(b"message %d" % number)
            expect(next(call), b"message %d" % number)
        outgoing.put(None)
        expect((list(call), call.code()), ([], grpc.StatusCode.OK))

    def at_will():
        """Sent and read each at its own pace."""
        sent = [b"message %d;" % number * (number % 100) for number in range(MESSAGES)]
        call = streams(iter(sent), timeout=2 * TIMEOUT_S)
        expect(list(call) == sent, True)
        expect(call.code(), grpc.StatusCode.OK)

    def large():
        one(pattern(3 * MIB))
        data = [pattern(3 * MIB)] * 4
        expect(list(streams(iter(data), timeout=2 * TIMEOUT_S)) == data, True)

    def too_large():
        data = pattern(4 * MIB + 4)
        expect(status_of(lambda: unary(data, timeout=TIMEOUT_S)), grpc.StatusCode.RESOURCE_EXHAUSTED)
        one()

    def cancelled():
        for _ in range(20):
            outgoing = queue.SimpleQueue()
            call = streams(iter(outgoing.get, None), timeout=TIMEOUT_S)
            outgoing.put(b"before")
            expect(next(call), b"before")
            call.cancel()
            expect(status_of(lambda: next(call)), grpc.StatusCode.CANCELLED)
            outgoing.put(None)
        one()

    def deadline():
        outgoing = queue.SimpleQueue()
        call = streams(iter(outgoing.get, None), timeout=0.2)
        outgoing.put(b"in time")
        expect(next(call), b"in time")
        expect(status_of(lambda: next(call)), grpc.StatusCode.DEADLINE_EXCEEDED)
        outgoing.put(None)
        one()

    def at_once():
        failed = []

        def work(number):
            try:
                sent = [b"%d of %d" % (at, number) for at in range(50)]
                expect(list(streams(iter(sent), timeout=2 * TIMEOUT_S)) == sent, True)
            except Exception as error:
                failed.append(error)

        threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * TIMEOUT_S)
        expect(failed, [])

    def unknown():
        other = channel.unary_unary("/echo.Echo/None")
        # Answered as any path that is not there, in gRPC's form.
        expect(status_of(lambda: other(b"x", timeout=TIMEOUT_S)), grpc.StatusCode.UNIMPLEMENTED)

    who = "grpcio"
    checks.run(who, "200 calls", ones)
    checks.run(who, "1,000 messages, each after the echo of the one before", interleaved)
    checks.run(who, "1,000 messages, written and read apart", at_will)
    checks.run(who, "messages of 3 MiB", large)
    checks.run(who, "a message above 4 MiB is RESOURCE_EXHAUSTED", too_large)
    checks.run(who, "calls cancelled by the client", cancelled)
    checks.run(who, "a deadline", deadline)
    checks.run(who, "30 streams at once", at_once)
    checks.run(who, "a method that there is not", unknown)
    channel.close()
