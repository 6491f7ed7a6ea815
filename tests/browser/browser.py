"""Chromium without a window, told what to do over a pipe (the DevTools protocol: JSON messages that end with
a zero byte). Needs nothing but the standard library. Knows nothing of what is tested.

`Tab.troubles` gathers what a page should never have: dialogs, errors and warnings on the console, exceptions,
violations of its policy, requests that failed.
"""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time

PATIENCE_S = 20
"""Longest wait for anything that the browser should do at once; a loaded machine is no failure."""

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --no-default-browser-check "
    "--disable-background-networking --disable-component-update --disable-sync --disable-default-apps "
    "--disable-extensions --disable-dev-shm-usage --hide-scrollbars --remote-debugging-pipe"
).split()


class Browser:
    """A browser with a profile of its own, in a directory that the caller removes."""

    def __init__(self, profile):
        names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
        program = next(filter(None, map(shutil.which, names)), None)
        if program is None:
            raise RuntimeError("no Chromium: install chromium-headless-shell")
        # It reads from descriptor 3 and writes to 4. Ours are moved out of the way first.
        (its_in, our_out), (our_in, its_out) = os.pipe(), os.pipe()
        its_in, its_out = (fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (its_in, its_out))

        def place():
            os.dup2(its_in, 3)
            os.dup2(its_out, 4)

        self.process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=place, pass_fds=(3, 4), env={**os.environ, "HOME": profile},
        )
        os.close(its_in)
        os.close(its_out)
        self.input, self.output = our_in, our_out
        self.received = b""
        self.last_id = 0
        self.answers = {}
        self.tabs = {}

    def call(self, method, session=None, **params):
        """Asks for something and waits for the answer; what happens meanwhile goes to its tab."""
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.output, data) :]
        wanted = self.last_id
        self.pump(lambda: wanted in self.answers, method)
        answer = self.answers.pop(wanted)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def pump(self, until, what):
        """Takes messages until something holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not until():
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.input], [], [], left)[0]:
                raise TimeoutError(f"the browser: {what}: not within {PATIENCE_S} s")
            piece = os.read(self.input, 1 << 20)
            if not piece:
                raise RuntimeError(f"the browser ended during {what}")
            *messages, self.received = (self.received + piece).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    self.answers[message["id"]] = message
                elif message.get("sessionId") in self.tabs:
                    self.tabs[message["sessionId"]].handle(message["method"], message["params"])

    def settle(self, seconds):
        """Takes messages for a while."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self.input], [], [], left)[0]:
                self.call("Browser.getVersion")

    def tab(self, width=1200, height=800, mobile=False):
        return Tab(self, width, height, mobile)

    def close(self):
        try:
            self.call("Browser.close")
            self.process.wait(PATIENCE_S)
        except Exception:
            self.process.kill()
            self.process.wait()
        os.close(self.input)
        os.close(self.output)


class Tab:
    def __init__(self, browser, width, height, mobile):
        self.browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.target = target
        browser.tabs[self.session] = self
        self.troubles = []
        self.responses = {}
        self.loads = 0
        self.dialogs = 0
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=2 if mobile else 1, mobile=mobile,
        )
        # The console tells of violations too; this tells of those that it would leave out.
        self.call(
            "Page.addScriptToEvaluateOnNewDocument",
            source="addEventListener('securitypolicyviolation',"
            " event => console.error('policy: ' + event.violatedDirective + ' ' + event.blockedURI))",
        )

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def handle(self, method, params):
        if method == "Page.loadEventFired":
            self.loads += 1
        elif method == "Page.javascriptDialogOpening":
            self.troubles.append(f"dialog: {params['message']}")
            self.dialogs += 1
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            said = [str(arg.get("value", arg.get("description"))) for arg in params["args"]]
            self.troubles.append(f"console: {' '.join(said)}")
        elif method == "Runtime.exceptionThrown":
            self.troubles.append(f"exception: {params['exceptionDetails']['text']}")
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            # Some builds ask for an icon by themselves; not to have one is no trouble of the page.
            if not params["entry"].get("url", "").endswith("/favicon.ico"):
                self.troubles.append(f"log: {params['entry']['text']}")
        elif method == "Network.responseReceived":
            self.responses[params["response"]["url"]] = params["response"]
        elif method == "Network.loadingFailed" and not params.get("canceled"):
            self.troubles.append(f"failed: {params['errorText']}")

    def open(self, url):
        """Goes there and waits until everything is loaded."""
        self.after_load(lambda: self.send("Page.navigate", url=url), url)

    def send(self, method, **params):
        answer = self.call(method, **params)
        if answer.get("errorText"):
            raise RuntimeError(f"{method} {params}: {answer['errorText']}")

    def after_load(self, act, what="a load"):
        """Acts, and waits until the page that comes of it is loaded."""
        loads, dialogs = self.loads, self.dialogs
        act()
        while True:
            self.browser.pump(lambda: self.loads > loads or self.dialogs > dialogs, what)
            if self.loads > loads:
                return
            dialogs = self.dialogs
            try:
                self.call("Page.handleJavaScriptDialog", accept=False)
            except RuntimeError:
                pass  # Without a window some builds close it by themselves.

    def run(self, expression):
        """The value of an expression, awaited if it is a promise."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description", details["text"]))
        return answer["result"].get("value")

    def wait_for(self, expression):
        deadline = time.monotonic() + PATIENCE_S
        while not self.run(expression):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {PATIENCE_S} s: {expression}")
            time.sleep(0.02)

    def screenshot(self, path):
        """The page, two screens of it at most, to a file."""
        size = "[innerWidth, Math.min(document.documentElement.scrollHeight, 2 * innerHeight)]"
        width, height = self.run(size)
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        with open(path, "wb") as file:
            file.write(base64.b64decode(shot["data"]))

    def close(self):
        """What was wrong with it to its end."""
        self.browser.settle(0.1)
        del self.browser.tabs[self.session]
        self.browser.call("Target.closeTarget", targetId=self.target)
        return self.troubles
