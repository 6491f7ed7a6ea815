"""Directory listings: hostile names are text and lead where they should; it fits a phone."""

import os
import urllib.request

from harness import expect
from notes import FITS, PHONE, is_line, payloads

NAMES = [
    "plain.txt", "with space.txt", "100% #hash?query.txt", "back\\slash.txt", "a\nb.txt", "\u202egnp.txt",
    "<b>bold<b>.txt", "x" * 250, "\u00fcml\u00e4ut.txt", "'quotes\".txt", "javascript:alert(1)", "&amp;.txt",
]


def content(name):
    return f"content of {name!r}\n"


def write(root):
    names = NAMES + [p for p in payloads() if "/" not in p and is_line(p) and p.strip(".") and len(p) < 200]
    for name in names:
        with open(os.path.join(root, name), "w", encoding="utf-8") as file:
            file.write(content(name))
    os.mkdir(os.path.join(root, "folder"))
    with open(os.path.join(root, "folder", "inner.txt"), "w", encoding="utf-8") as file:
        file.write("inner\n")


def check(checks, browser, url, root, shots):
    def hostile_names():
        """Every link of the page leads to a file of the directory, and every file has one."""
        tab = browser.tab()
        tab.open(url + "/")
        links = tab.run("[...document.querySelectorAll('tbody a')].map(link => link.href)")
        got = []
        for link in filter(lambda link: not link.endswith("/"), links):
            expect(link.startswith(url + "/"), True)
            with urllib.request.urlopen(link, timeout=10) as reply:
                got.append(reply.read().decode())
        expected = sorted(content(name) for name in os.listdir(root) if name != "folder")
        expect(sorted(got), expected)
        expect(tab.run("document.querySelectorAll('script, img, svg, b, iframe').length"), 0)
        expect(tab.close(), [])


    def goes_down_and_up():
        tab = browser.tab()
        tab.open(url + "/")
        tab.after_load(lambda: tab.run("document.querySelector('a[href*=folder]').click()"))
        expect(tab.run("location.pathname"), "/folder/")
        tab.after_load(lambda: tab.run("document.querySelector('a[href=\"../\"]').click()"))
        expect(tab.run("location.pathname"), "/")
        first = tab.run("document.querySelector('tbody a').textContent")
        tab.after_load(lambda: tab.run("document.querySelector('thead a').click()"))
        tab.after_load(lambda: tab.run("document.querySelector('thead a').click()"))
        expect(tab.run("document.querySelector('tbody a') !== null"), True)
        expect(isinstance(first, str), True)
        expect(tab.close(), [])

    def fits_a_phone():
        tab = browser.tab(**PHONE)
        tab.open(url + "/")
        expect(tab.run(FITS), [True, []])
        tab.screenshot(os.path.join(shots, "listing-360.png"))
        expect(tab.close(), [])
        tab = browser.tab()
        tab.open(url + "/")
        tab.screenshot(os.path.join(shots, "listing-1200.png"))
        expect(tab.close(), [])

    checks.run("listing", "hostile names are text and lead to their files", hostile_names)
    checks.run("listing", "down, up, and sorted", goes_down_and_up)
    checks.run("listing", "fits 360 pixels", fits_a_phone)
