"""Servers under test, and a list of checks with their outcome. Knows no client library."""

import os
import re
import select
import signal
import subprocess
import threading
import time
import traceback

TIMEOUT_S = 10
"""Longest that one request may take; every client is given it."""


class Server:
    """A child process that announces its addresses on standard error."""

    def __init__(self, program, *args):
        self.name = os.path.basename(program)
        self.process = subprocess.Popen(
            [program, *args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            self.port = self._announced_port()
        except Exception:
            self.process.kill()
            self.process.wait()
            raise
        self.host = "127.0.0.1"
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = []
        threading.Thread(target=self._read_on, daemon=True).start()

    def _announced_port(self):
        said = b""
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            if select.select([self.process.stderr], [], [], 0.1)[0]:
                more = os.read(self.process.stderr.fileno(), 4096)
                said += more
                found = re.search(rb"serving on https?://127\.0\.0\.1:(\d+)[,\n]", said)
                if found:
                    return int(found[1])
                if not more:
                    break
        raise RuntimeError(f"{self.name} did not start: {said.decode(errors='replace')}")

    def _read_on(self):
        for line in self.process.stderr:
            self.log.append(line.decode(errors="replace").rstrip())

    def stop(self):
        """Ends it as an operator would; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return -1


class Checks:
    """Runs checks one by one and prints a line for each."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def run(self, who, what, check, *args):
        began = time.monotonic()
        try:
            check(*args)
        except Exception as error:
            self.failed += 1
            where = traceback.extract_tb(error.__traceback__)[-1]
            text = " ".join(str(error).split())[:300]
            place = f"{os.path.basename(where.filename)}:{where.lineno}"
            print(f"FAIL {who}: {what}: {type(error).__name__}: {text} ({place})", flush=True)
        else:
            self.passed += 1
            print(f"ok   {who}: {what} ({(time.monotonic() - began) * 1000:.0f} ms)", flush=True)


def expect(actual, wanted):
    """An assertion that shows both sides, cut to a readable length."""
    if actual != wanted:
        raise AssertionError(f"got {str(actual)[:120]!r}, wanted {str(wanted)[:120]!r}")


def expect_bytes(actual, wanted):
    """The same for long bodies: tells where they part."""
    if actual == wanted:
        return
    part = next((i for i, (a, b) in enumerate(zip(actual, wanted)) if a != b), min(len(actual), len(wanted)))
    raise AssertionError(f"{len(actual)} bytes instead of {len(wanted)}, different from byte {part}")
