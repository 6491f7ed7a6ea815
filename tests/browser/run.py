#!/usr/bin/env python3
"""Pages as Chromium sees them. Called by scripts/test.

QUOIT_TARGET_DIR names the directory with `quoit` and `examples/` (default target/debug). Starts what it needs
on ports of the kernel's choice, opens it in a browser with a new profile, and ends everything. Screenshots go
to target/browser. Prints a line per check and fails if any did; the whole run is given up after DEADLINE_S.
"""

import os
import sys
import tempfile
import threading

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(1, os.path.join(HERE, "..", "clients"))

import compressed
import hinted
import listing
import notes
import upload
from browser import Browser
from harness import Checks, Server, expect

DEADLINE_S = 60


def give_up(processes):
    print(f"FAIL: not done after {DEADLINE_S} s", flush=True)
    for process in processes:
        process.kill()
    os._exit(1)


def main():
    root = os.path.abspath(os.path.join(HERE, "..", ".."))
    target = os.environ.get("QUOIT_TARGET_DIR", os.path.join(root, "target", "debug"))
    shots = os.path.join(os.path.dirname(target), "browser")
    os.makedirs(shots, exist_ok=True)
    listen = ("--listen", "127.0.0.1:0", "--workers", "1")
    checks, servers, processes = Checks(), [], []
    watchdog = threading.Timer(DEADLINE_S, give_up, (processes,))
    watchdog.daemon = True
    watchdog.start()

    def start(program, *args):
        server = Server(os.path.join(target, program), *args, *listen)
        servers.append(server)
        processes.append(server.process)
        return server.url

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        made = {name: os.path.join(scratch, name) for name in ("profile", "site", "names", "uploads", "certificate")}
        for path in made.values():
            os.mkdir(path)
        browser = None
        try:
            api = start("examples/api")
            compressed.write(made["site"], api)
            listing.write(made["names"])
            site = start("quoit", "serve", made["site"])
            names = start("quoit", "serve", made["names"], "--list")
            uploads = start("examples/upload", "--dir", made["uploads"])
            files = hinted.certificate(os.path.join(target, "quoit"), made["certificate"])
            # On one core, for that is what its late page looks at; a browser may open several connections.
            cpus = os.sched_getaffinity(0)
            os.sched_setaffinity(0, {min(cpus)})
            streams = Server(os.path.join(target, "examples/streams"), "127.0.0.1:0", *files)
            os.sched_setaffinity(0, cpus)
            servers.append(streams)
            processes.append(streams.process)
            browser = Browser(made["profile"])
            processes.append(browser.process)
            compressed.check(checks, browser, site, api)
            notes.check(checks, browser, api, shots)
            listing.check(checks, browser, names, made["names"], shots)
            upload.check(checks, browser, uploads, made["uploads"], shots)
            hinted.check(checks, browser, f"https://127.0.0.1:{streams.port}")
        finally:
            if browser:
                browser.close()
            for server in servers:
                checks.run(server.name, "ends in order", lambda: expect(server.stop(), 0))
    print(f"{checks.passed} passed, {checks.failed} failed", flush=True)
    return 1 if checks.failed or not checks.passed else 0


if __name__ == "__main__":
    sys.exit(main())
