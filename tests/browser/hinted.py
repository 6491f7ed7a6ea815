"""103 Early Hints as Chromium takes them: over TLS and HTTP/2 alone. The example `streams` makes its page `/late`
once the style sheet was fetched, which the hint alone can bring about, and says on it whether that was so."""

import os
import subprocess

from harness import expect


def certificate(quoit, directory):
    """A certificate for this machine that nobody trusts, and its key."""
    for args in (("ca", "ca"), ("leaf", "localhost", "127.0.0.1", "--ca", "ca")):
        subprocess.run([quoit, "cert", *args], cwd=directory, check=True, capture_output=True)
    return [os.path.join(directory, "localhost" + ending) for ending in (".pem", ".key")]


def check(checks, browser, url):
    def fetched():
        tab = browser.tab()
        tab.call("Security.setIgnoreCertificateErrors", ignore=True)
        tab.open(url + "/late")
        expect(tab.responses[url + "/late"]["protocol"], "h2")
        expect(tab.run("document.title"), "hinted")
        expect(tab.run("getComputedStyle(document.querySelector('h1')).color"), "rgb(1, 2, 3)")
        expect(tab.run("performance.getEntriesByType('navigation')[0].responseStatus"), 200)
        expect(tab.close(), [])

    checks.run("103 Early Hints", "the style sheet is fetched before the page is there", fetched)
