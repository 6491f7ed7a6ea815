"""The page of the example `api`, as people have it: with notes in it that would run if they could."""

import json
import os
import urllib.parse
import urllib.request

from harness import expect

PAYLOADS = os.path.join(os.path.dirname(__file__), "..", "example_api", "payloads.json")

PHONE = {"width": 360, "height": 740, "mobile": True}
"""The narrowest that is still common."""

FITS = """(() => {
  const right = element => element.getBoundingClientRect().right;
  const wide = [...document.querySelectorAll("body *")].filter(element => right(element) > innerWidth + 1);
  return [document.documentElement.scrollWidth <= innerWidth, wide.map(e => e.outerHTML.slice(0, 60))];
})()"""
"""Whether the page needs no horizontal scrolling, and what is too wide."""


def payloads(*kinds):
    with open(PAYLOADS, encoding="utf-8") as file:
        lists = json.load(file)
    return [payload for kind in kinds or lists for group in lists[kind].values() for payload in group]


def is_line(text):
    return all(ord(c) >= 32 and not 0x7F <= ord(c) < 0xA0 for c in text)


def add(url, **note):
    request = urllib.request.Request(
        url + "/notes", json.dumps(note).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as reply:
        return json.load(reply)


def fill(url):
    for payload in payloads():
        line = payload if is_line(payload) else "more than a line"
        address = "".join(c for c in payload if 33 <= ord(c) < 127)
        add(url, title=line, text=payload, tag=line, link="https://e.example/" + address)


def check(checks, browser, url, shots):
    def detects():
        """What follows would be worth nothing if a script that runs went unnoticed."""
        tab = browser.tab()
        tab.open("data:text/html,<script>alert(1); undefined.x</script><img src=x onerror=alert(2)>")
        kinds = {trouble.split(":")[0] for trouble in tab.close()}
        expect(kinds >= {"dialog", "exception"}, True)
        tab = browser.tab()
        tab.open(url + "/?q=nothing")
        # The policy: no picture of any site, no HTML made of text.
        tab.run("document.body.appendChild(document.createElement('img')).src = '/x'")
        refused = "(() => { try { document.body.innerHTML = '<b>' } catch (e) { return e.name } })()"
        expect(tab.run(refused), "TypeError")
        violated = [trouble.split()[2] for trouble in tab.close() if trouble.startswith("console: policy")]
        expect(set(violated), {"img-src", "require-trusted-types-for"})

    def every_page():
        """Walks through all pages: texts as sent, nothing runs, nothing is complained of."""
        tab = browser.tab()
        seen = []
        target = url + "/?limit=40"
        while target:
            tab.open(target)
            seen += tab.run("[...document.querySelectorAll('li .text')].map(e => e.textContent)")
            expect(tab.run("[...document.scripts].length"), 1)
            inside = "document.querySelectorAll('li script, li img, li svg, li iframe, li style').length"
            expect(tab.run(inside), 0)
            handlers = """[...document.querySelectorAll("*")].filter(element =>
                [...element.attributes].some(attribute => attribute.name.startsWith("on"))).length"""
            expect(tab.run(handlers), 0)
            schemes = "[...new Set([...document.links].map(link => new URL(link.href).protocol))].sort()"
            expect(set(tab.run(schemes)) <= {"http:", "https:"}, True)
            target = tab.run("document.querySelector('a[rel=next]')?.href")
        # A browser reads every line end in HTML as one character; no payload has another kind.
        expect(seen[len(payloads()) - 1 :: -1], payloads())
        expect(tab.close(), [])

    def reflected():
        tab = browser.tab()
        for payload in filter(is_line, payloads("xss")):
            tab.open(f"{url}/?limit=1&q={urllib.parse.quote(payload, safe='')}")
            expect(tab.run("document.querySelector('[name=q]').value"), payload)
        expect(tab.close(), [])

    def works():
        """Makes a note with the form, finds it with the search, and deletes it with its button."""
        tab = browser.tab(**PHONE)
        tab.open(url + "/")
        tab.run("document.querySelector('summary').click()")
        text = "<b>by hand</b>\n& more"
        link = "https://e.example/?a&b"
        fields = {"title": "Made in a browser", "text": text, "tag": "browser", "link": link}
        for name, value in fields.items():
            tab.run(f"document.querySelector('[name={name}]').value = {json.dumps(value)}")
        tab.run("document.querySelector('[name=pinned]').click()")
        tab.screenshot(os.path.join(shots, "notes-form-360.png"))
        tab.after_load(lambda: tab.run("document.querySelector('form[method=post] button').click()"))
        expect(tab.run("location.pathname"), "/")
        expect(tab.run("document.querySelector('li .text').textContent"), text)
        expect(tab.run("document.querySelector('h2').textContent"), "Made in a browser")
        expect(tab.run("document.querySelector('.meta').innerText.includes('Pinned')"), True)
        tab.run("document.querySelector('[name=q]').value = 'IN A BROWSER'")
        tab.after_load(lambda: tab.run("document.querySelector('form.search button').click()"))
        expect(tab.run("document.querySelectorAll('li').length"), 1)
        tab.run("document.querySelector('li button').click()")
        tab.wait_for("document.querySelectorAll('li').length === 0")
        tab.open(url + "/?tag=browser")
        expect(tab.run("document.querySelectorAll('li').length"), 0)
        expect(tab.close(), [])

    def fits_a_phone():
        tab = browser.tab(**PHONE)
        add(url, title="W" * 200, text="unbroken" * 200, tag="t" * 100, link="https://e.example/" + "x" * 300)
        add(url, title="Milk", text="Oat, two of them.\nAnd bread.", tag="shopping", pinned=True)
        for target in ("/?limit=100", "/?limit=5"):
            tab.open(url + target)
            tab.run("document.querySelector('summary').click()")
            expect(tab.run(FITS), [True, []])
        small = """[...document.querySelectorAll("button, input, summary")].filter(element =>
            element.type !== "checkbox" && element.getBoundingClientRect().height < 24).length"""
        expect(tab.run(small), 0)
        tab.open(url + "/?limit=5")
        tab.screenshot(os.path.join(shots, "notes-360.png"))
        expect(tab.close(), [])
        tab = browser.tab()
        tab.open(url + "/?limit=12")
        expect(tab.run(FITS), [True, []])
        tab.screenshot(os.path.join(shots, "notes-1200.png"))
        expect(tab.close(), [])

    fill(url)
    checks.run("notes", "a script that runs would be noticed", detects)
    checks.run("notes", "payloads are text on every page", every_page)
    checks.run("notes", "payloads are text in the search", reflected)
    checks.run("notes", "made, found and deleted by hand", works)
    checks.run("notes", "fits 360 pixels", fits_a_phone)
