"""The page of the example `upload`: a file is chosen, sent with progress, and listed."""

import os

from harness import expect
from notes import FITS, PHONE


def check(checks, browser, url, directory, shots):
    def sends_files():
        tab = browser.tab(**PHONE)
        tab.open(url + "/")
        expect(tab.run(FITS), [True, []])
        names = ["<b>bold</b>".replace("/", "-") + ".txt", "plain.bin"]
        paths = []
        for name in names:
            path = os.path.join(directory, "..", name)
            with open(path, "wb") as file:
                file.write(os.urandom(3_000_000))
            paths.append(os.path.abspath(path))
        document = tab.call("DOM.getDocument")["root"]["nodeId"]
        field = tab.call("DOM.querySelector", nodeId=document, selector="input[type=file]")["nodeId"]
        tab.call("DOM.setFileInputFiles", files=paths, nodeId=field)
        tab.after_load(lambda: tab.run("document.querySelector('button').click()"))
        shown = tab.run("[...document.querySelectorAll('td:first-child')].map(e => e.textContent)")
        expect(sorted(shown), sorted(names))
        for name, path in zip(names, paths):
            with open(path, "rb") as sent, open(os.path.join(directory, name), "rb") as stored:
                expect(sent.read() == stored.read(), True)
        expect(tab.run(FITS), [True, []])
        tab.screenshot(os.path.join(shots, "upload-360.png"))
        expect(tab.close(), [])

    checks.run("upload", "files are sent and listed", sends_files)
