"""Compressed text arrives whole in a browser: files with siblings, files that the server compresses by
itself, and responses that are compressed as they leave."""

import gzip
import hashlib
import os
import time
import urllib.parse
import urllib.request

from harness import expect

CODINGS = ("br", "zstd", "gzip")

PAGE = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Compressed</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="/style.css">
<script src="/script.js" defer></script>
<p id="shown">not yet</p></html>
"""
STYLE = b"/* " + b"padding " * 500 + b" */ #shown { color: rgb(1, 2, 3) }\n"
SHOW = "document.querySelector('#shown').textContent = 'shown \u00e9';\n"
SCRIPT = b"// " + b"padding " * 500 + b"\n" + SHOW.encode()

DIGEST = """(async target => {
  const bytes = await (await fetch(target, { cache: "no-store" })).arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [bytes.byteLength, [...digest].map(byte => byte.toString(16).padStart(2, "0")).join("")];
})"""


def fetch(url, coding):
    request = urllib.request.Request(url, headers={"Accept-Encoding": coding})
    with urllib.request.urlopen(request, timeout=10) as reply:
        return reply.headers.get("Content-Encoding", "identity"), reply.read()


def write(site, api):
    """A site; its `data.json` has siblings, each compressed by the example `api`: it saves a dependency."""
    text = "".join(f"line {n} of something long, \u00e9 and \u2603\n" for n in range(250))
    note = urllib.request.Request(
        api + "/", ("title=long&text=" + urllib.parse.quote(text)).encode(), method="POST"
    )
    urllib.request.urlopen(note, timeout=10).close()
    _, plain = fetch(api + "/notes", "identity")
    files = {"index.html": PAGE, "style.css": STYLE, "script.js": SCRIPT, "data.json": plain}
    for coding, ending in (("br", "br"), ("zstd", "zst"), ("gzip", "gz")):
        used, body = fetch(api + "/notes", coding)
        expect(used, coding)
        files[f"data.json.{ending}"] = body
    expect(gzip.decompress(files["data.json.gz"]), plain)
    for name, content in files.items():
        with open(os.path.join(site, name), "wb") as file:
            file.write(content)


def accept(tab, coding):
    """What the browser says it takes; it decodes all of them."""
    tab.call("Network.setCacheDisabled", cacheDisabled=True)
    tab.call("Network.setExtraHTTPHeaders", headers={"Accept-Encoding": coding})


def coding_of(tab, url):
    headers = {name.lower(): value for name, value in tab.responses[url]["headers"].items()}
    return headers.get("content-encoding", "identity")


def whole(tab, url, content):
    length, digest = tab.run(f"{DIGEST}({url!r})")
    expect((length, digest), (len(content), hashlib.sha256(content).hexdigest()))


def check(checks, browser, site, api):
    def sibling(coding):
        tab = browser.tab()
        tab.open(site + "/")
        accept(tab, coding)
        _, plain = fetch(site + "/data.json", "identity")
        whole(tab, site + "/data.json", plain)
        expect(coding_of(tab, site + "/data.json"), coding)
        expect(tab.close(), [])

    def own_choice():
        """What a browser says by itself gets it a compressed form."""
        tab = browser.tab()
        tab.open(site + "/")
        _, plain = fetch(site + "/data.json", "identity")
        whole(tab, site + "/data.json", plain)
        expect(coding_of(tab, site + "/data.json") in CODINGS, True)
        expect(tab.close(), [])

    def prepared(coding):
        """Without siblings: compressed in the background after the first request."""
        tab = browser.tab()
        accept(tab, coding)
        deadline = time.monotonic() + 10
        while True:
            tab.open(site + "/")
            used = {name: coding_of(tab, f"{site}/{name}") for name in ("style.css", "script.js")}
            expect(tab.run("document.querySelector('#shown').textContent"), "shown \u00e9")
            expect(tab.run("getComputedStyle(document.querySelector('#shown')).color"), "rgb(1, 2, 3)")
            if set(used.values()) == {coding}:
                break
            if time.monotonic() > deadline:
                raise AssertionError(f"still {used}")
            time.sleep(0.2)
        expect(tab.close(), [])

    def on_the_fly(coding):
        tab = browser.tab()
        tab.open(api + "/?q=nothing")
        accept(tab, coding)
        _, plain = fetch(api + "/notes", "identity")
        whole(tab, api + "/notes", plain)
        expect(coding_of(tab, api + "/notes"), coding)
        expect(tab.close(), [])

    for coding in CODINGS:
        checks.run(coding, "a sibling file", sibling, coding)
        checks.run(coding, "a file compressed in the background", prepared, coding)
        checks.run(coding, "compressed as it leaves", on_the_fly, coding)
    checks.run("browser", "its own Accept-Encoding", own_choice)
