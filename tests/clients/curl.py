"""The curl program."""

import os
import subprocess

import content
from harness import TIMEOUT_S, expect, expect_bytes


def curl(*args):
    """Runs curl; what it printed and what it told on the way."""
    ran = subprocess.run(
        ["curl", "--silent", "--show-error", "--max-time", str(TIMEOUT_S), "--noproxy", "*", *args],
        capture_output=True, timeout=TIMEOUT_S + 5,
    )
    if ran.returncode != 0:
        raise AssertionError(f"curl ended with {ran.returncode}: {ran.stderr.decode()[-200:]}")
    return ran.stdout, ran.stderr.decode()


def check(checks, serve, echo, unix_path, scratch):
    def path(name, data=None):
        full = os.path.join(scratch, name)
        if data is not None:
            with open(full, "wb") as file:
                file.write(data)
        return full

    def status_of(*args):
        return curl("--output", os.devnull, "--write-out", "%{http_code}", *args)[0].decode()

    def get():
        expect_bytes(curl(serve + "/64k.txt")[0], content.TEXT)
        expect_bytes(curl("--compressed", serve + "/64k.txt")[0], content.TEXT)
        expect_bytes(curl(serve + "/large.bin")[0], content.LARGE)
        expect(status_of(serve + "/none"), "404")
        expect(status_of("--head", serve + "/64k.txt"), "200")
        expect_bytes(curl("--range", "5-14", serve + "/64k.txt")[0], content.TEXT[5:15])

    def location():
        out, _ = curl("--location", "--write-out", "%{http_code} %{num_redirects}", serve + "/sub")
        expect_bytes(out, content.SUB_INDEX + b"200 1")

    def conditional():
        etag = path("etag")
        expect(status_of("--etag-save", etag, serve + "/64k.txt"), "200")
        expect(status_of("--etag-compare", etag, serve + "/64k.txt"), "304")
        expect(status_of("--time-cond", path("later", b""), serve + "/64k.txt"), "304")

    def resume():
        half = path("resumed", content.LARGE[: 5 << 20])
        curl("--continue-at", "-", "--output", half, serve + "/large.bin")
        with open(half, "rb") as file:
            expect_bytes(file.read(), content.LARGE)

    def one_connection():
        urls = [serve + "/64k.txt"] * 20
        targets = [word for _ in urls for word in ("--output", os.devnull)]
        out, _ = curl("--write-out", "%{local_port} %{http_code}\n", *targets, *urls)
        lines = out.decode().split("\n")[:-1]
        expect((len(lines), len(set(lines)), lines[0].split()[1]), (20, 1, "200"))

    def parallel():
        urls = [serve + "/64k.txt"] * 50
        targets = [word for _ in urls for word in ("--output", os.devnull)]
        out, _ = curl(
            "--parallel", "--parallel-immediate", "--parallel-max", "50",
            "--write-out", "%{http_code} %{size_download}\n", *targets, *urls,
        )
        expect(out, b"200 65536\n" * 50)

    def http_1_0():
        for target in ("/", "/64k.txt", "/large.bin"):
            out, said = curl("--http1.0", "--verbose", serve + target)
            expect_bytes(out, {"/": content.INDEX, "/64k.txt": content.TEXT}.get(target, content.LARGE))
            expect("chunked" in said, False)
        expect_bytes(curl("--http1.0", "--data-binary", "old", echo)[0], b"old")

    def expect_continue():
        upload = path("upload", content.LARGE[: 2 << 20])
        out, said = curl("--verbose", "--data-binary", "@" + upload, echo)
        expect("HTTP/1.1 100 Continue" in said, True)
        expect_bytes(out, content.LARGE[: 2 << 20])

    def refused_upload():
        # Answered without a 100, and curl understands that its body is not wanted.
        upload = path("upload", content.LARGE[: 2 << 20])
        out, said = curl("--verbose", "--data-binary", "@" + upload, serve)
        expect("HTTP/1.1 405" in said and "100 Continue" not in said, True)

    def upload_20_mb():
        data = content.TEXT * 306
        upload = path("upload20", data)
        expect_bytes(curl("--data-binary", "@" + upload, echo)[0], data)
        chunked = ("--header", "Transfer-Encoding: chunked", "--request", "POST", "--upload-file", upload)
        expect_bytes(curl(*chunked, echo)[0], data)

    def connection_close():
        out, said = curl("--verbose", "--header", "Connection: close", serve + "/")
        expect_bytes(out, content.INDEX)
        expect("< Connection: close" in said, True)

    def unix_socket():
        expect_bytes(curl("--unix-socket", unix_path, "http://localhost/64k.txt")[0], content.TEXT)
        expect(status_of("--unix-socket", unix_path, "http://localhost/none"), "404")

    for what, check_one in (
        ("GET, HEAD, 404, range, compressed, 12 MiB", get),
        ("redirect followed", location),
        ("conditions", conditional),
        ("resumes a download", resume),
        ("20 requests on one connection", one_connection),
        ("50 in parallel", parallel),
        ("HTTP/1.0", http_1_0),
        ("2 MiB with Expect: 100-continue", expect_continue),
        ("2 MiB that nobody wants", refused_upload),
        ("20 MB through echo, with a length and chunked", upload_20_mb),
        ("Connection: close", connection_close),
        ("Unix socket", unix_socket),
    ):
        checks.run("curl", what, check_one)
