"""The load generators: how loadgen, wrk and h2load are told to do a row, and what they say of it.

Starts the program it was told to and reads its output; knows no CPU time and nothing of the server but its
port and its process.
"""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benching.client import Wrong
from benching.rows import MIX, PIPELINED, TREE_FOLDER, Row
from benching.servers import Bench, Server, tool

LOADGEN, WRK, H2LOAD = "loadgen", "wrk", "h2load"
TIMEOUT_S = 10
# loadgen calls a run invalid in which its own lateness shows in any figure, the longest time included. What is compared
# here is CPU time, which it does not change.
LATENESS = ("--lag-allowed", "24h")
# How much longer than asked for a generator may take before it is taken for stuck.
LATE_S = 60
# Digits of a file's number in the tree: three for its folder, three for its name.
TREE_DIGITS = 6

# wrk calls these; `done` prints exact numbers where its own report rounds.
WRK_SCRIPT = """
local one
local another = function() return one end
init = function()
{fields}{init}
end
request = function() return another() end
done = function(summary, latency)
    local e = summary.errors
    io.write(string.format(
        '\\n{{"requests":%d,"bytes":%d,"seconds":%.6f,"p50_us":%d,"p99_us":%d,' ..
        '"errors":{{"connect":%d,"read":%d,"write":%d,"timeout":%d,"status":%d}}}}\\n',
        summary.requests, summary.bytes, summary.duration / 1e6,
        latency:percentile(50), latency:percentile(99),
        e.connect, e.read, e.write, e.timeout, e.status))
end
"""
WRK_INIT = {
    "keep-alive": "one = wrk.format()",
    "pipelined": f"one = string.rep(wrk.format(), {PIPELINED})",
    "close": "wrk.headers['Connection'] = 'close'; one = wrk.format()",
    "mixed": """
    local drawn = {{}}
    for _, part in ipairs({{{mix}}}) do
        for _ = 1, part[1] do table.insert(drawn, wrk.format('GET', part[2])) end
    end
    math.randomseed(4711)
    another = function() return drawn[math.random(#drawn)] end""",
    # Both servers are asked for the same files in the same order.
    "random": """
    local before, after = wrk.format('GET', '/@'):match('^(.*)@(.*)$')
    math.randomseed(4711)
    another = function()
        local n = math.random(0, {tree_files} - 1)
        return before .. string.format('%03d/%03d.txt', math.floor(n / {folder}), n % {folder}) .. after
    end""",
}


@dataclass
class Told:
    """What a generator says of one run."""

    # By which the server's CPU time is divided: all that it was paid for.
    requests: float
    # Per second, of what was answered before the time was up.
    rate: float
    seconds: float
    p50_us: float | None
    p99_us: float | None


def run(generator: str, bench: Bench, row: Row, server: Server, seconds: float, answer_bytes: int) -> Told:
    """Makes the row's load once; `Wrong` unless every request was answered as expected."""
    if generator == H2LOAD:
        return run_h2load(bench, row, server, seconds)
    if generator == WRK:
        return run_wrk(bench, row, server, seconds, answer_bytes)
    return run_loadgen(bench, row, server, seconds)


def run_loadgen(bench: Bench, row: Row, server: Server, seconds: float) -> Told:
    done = start(bench, seconds, [
        *bench.loadgen(), "bench", url(row, server), f"-c{row.connections}", f"-d{seconds:g}s",
        "--cpus", str(bench.client_cpu), "--server-pid", str(server.process.pid), "--expect", "200",
        "--timeout", f"{TIMEOUT_S}s", "-o", "json=-", *LATENESS, *loadgen_flags(bench, row)])
    try:
        said = json.loads(done.stdout)
    except ValueError as failure:
        raise Wrong(f"loadgen: {(done.stderr or done.stdout).strip()[-300:]}") from failure
    if reasons := said["validity"]["reasons"]:
        raise Wrong(f"loadgen against {server.program} is INVALID: {'; '.join(reasons)}")
    total = said["total"]
    errors = {**total.get("errors_by_kind", {}), "timeout": total["timeouts"], "dropped": total["dropped"]}
    tell_errors(LOADGEN, server, errors)
    if done.returncode != 0 or total["done"] != total["planned"]:
        raise Wrong(f"loadgen against {server.program} ends with {done.returncode} and {total['done']:,} of "
                    f"{total['planned']:,} requests done: {done.stderr.strip()[-300:]}")
    microseconds = [total["service"][name] and total["service"][name] / 1e3 for name in ("p50_ns", "p99_ns")]
    # What was in flight when the time was up is still answered, and paid for by the server, so it counts; but
    # it does not belong into the rate.
    return Told(total["done"], total["achieved"] / said["measured_s"], said["measured_s"], *microseconds)


def loadgen_flags(bench: Bench, row: Row) -> list[str]:
    """What the row's way, fields and body are to loadgen."""
    flags = [part for name, value in row.fields for part in ("-H", f"{name}: {value}")]
    if row.body:
        flags += ["-X", row.method, "-b", f"@{body_file(bench, row)}"]
    if row.scheme == "https":
        flags += ["--insecure", *row.handshakes]
    if row.streams:
        flags += ["--proto", "h2" if row.scheme == "https" else "h2c", "--streams", str(row.streams)]
    if row.rate:
        flags += ["-R", str(row.rate)]
    match row.way:
        case "pipelined":
            flags += ["--pipeline", str(PIPELINED)]
        case "close":
            flags += ["--new-conn"]
        case "mixed" | "random":
            # Its seed is always the same: both servers are asked for the same files in the same order.
            mix = bench.scratch / f"{row.name}.jsonl"
            parts = MIX if row.way == "mixed" else tree_mix(bench.tree_files)
            lines = [json.dumps({"weight": weight, "path": path}) for weight, path in parts]
            mix.write_text("\n".join(lines) + "\n")
            flags += ["--template", "-i", str(mix)]
    return flags


def body_file(bench: Bench, row: Row) -> Path:
    body = bench.scratch / f"{row.name}.body"
    body.write_bytes(row.body)
    return body


def run_h2load(bench: Bench, row: Row, server: Server, seconds: float) -> Told:
    """HTTP/2, or HTTP/1.1 over TLS; it tells no percentiles."""
    protocol = [f"-m{row.streams}"] if row.streams else ["--h1", "-m1"]
    protocol += [part for name, value in row.fields for part in ("-H", f"{name}: {value}")]
    protocol += ["-d", str(body_file(bench, row))] if row.body else []
    done = start(bench, seconds, [tool(H2LOAD), "-t1", f"-c{row.connections}", *protocol, f"-D{seconds:g}",
                                  url(row, server)])
    counts = re.search(r"^requests: .*?(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout",
                       done.stdout, re.MULTILINE)
    pace = re.search(r"^finished in ([\d.]+)(m?s), ([\d.]+) req/s", done.stdout, re.MULTILINE)
    if done.returncode != 0 or not counts or not pace:
        raise Wrong(f"h2load: {(done.stderr or done.stdout).strip()[-200:]}")
    finished, succeeded, failed, errored, timed_out = map(int, counts.groups())
    tell_errors(H2LOAD, server, {"failed": failed, "errored": errored, "timeout": timed_out,
                                 "status": finished - succeeded})
    elapsed = float(pace[1]) / (1000 if pace[2] == "ms" else 1)
    return Told(finished, float(pace[3]), elapsed, None, None)


def tree_mix(files: int) -> list[tuple[int, str]]:
    """Weights and path templates that together hit each file of a tree equally often.

    A number below `files` agrees with it up to some digit and is smaller there: one line for each such place,
    weighed by how many numbers it stands for. 250,000 is `0…`, `1…`, and `2` with a digit below 5.
    """
    parts, end = [], f"{files:0{TREE_DIGITS + 1}}"
    for place, digit in enumerate(map(int, end)):
        if digit > 0:
            free = TREE_DIGITS - place
            digits = [*end[:place], f"{{{{rand 0 {digit - 1}}}}}", *["{{rand 0 9}}"] * free]
            # What stands before the six is the nought of numbers below a million.
            folder, name = "".join(digits[1:4]), "".join(digits[4:])
            parts.append((digit * 10**free, f"/{folder}/{name}.txt"))
    return parts


def run_wrk(bench: Bench, row: Row, server: Server, seconds: float, answer_bytes: int) -> Told:
    script = bench.scratch / f"{row.name}.lua"
    script.write_text(wrk_script(bench, row))
    done = start(bench, seconds, [
        tool(WRK), "-t1", f"-c{row.connections}", f"-d{seconds:g}s", "--timeout", f"{TIMEOUT_S}s",
        "--latency", "-s", str(script), url(row, server)])
    if done.returncode != 0:
        raise Wrong(f"wrk: {(done.stderr or done.stdout).strip()[-200:]}")
    try:
        said = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError) as failure:
        raise Wrong(f"wrk: {done.stderr.strip()[-200:]}") from failure
    tell_errors(WRK, server, said["errors"])
    requests = said["bytes"] / answer_bytes if row.counts_bytes else said["requests"]
    # It corrects latencies by the mean rate, which mangles pipelined ones.
    latencies = (None, None) if row.way == "pipelined" else (said["p50_us"], said["p99_us"])
    return Told(requests, requests / said["seconds"], said["seconds"], *latencies)


def wrk_script(bench: Bench, row: Row) -> str:
    mix = ", ".join(f"{{{weight}, {lua(path)}}}" for weight, path in MIX)
    init = WRK_INIT[row.way].format(tree_files=bench.tree_files, folder=TREE_FOLDER, mix=mix)
    fields = "".join(f"    wrk.headers[{lua(name)}] = {lua(value)}\n" for name, value in row.fields)
    if row.body:
        fields += f"    wrk.method, wrk.body = 'POST', {lua(row.body.decode())}\n"
    return WRK_SCRIPT.format(fields=fields, init=init)


def lua(text: str) -> str:
    # Spaces, for `[[` and `]]` would be brackets of another length.
    return f" [==[{text}]==] "


def url(row: Row, server: Server) -> str:
    # The paths of these rows are in their script or mix, and loadgen wants none beside those.
    return f"{row.scheme}://127.0.0.1:{server.port}{'/' if row.way in ('mixed', 'random') else row.path}"


def start(bench: Bench, seconds: float, command: list[str]) -> subprocess.CompletedProcess:
    pinned = ["taskset", "-c", str(bench.client_cpu), *command]
    try:
        return subprocess.run(pinned, capture_output=True, text=True, timeout=seconds + LATE_S,
                              stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as stuck:
        raise Wrong(f"{Path(command[0]).name} did not end within {stuck.timeout:g} s") from stuck


def tell_errors(generator: str, server: Server, errors: dict[str, int]) -> None:
    if any(errors.values()):
        failed = ", ".join(f"{count} {kind}" for kind, count in errors.items() if count)
        raise Wrong(f"{generator} against {server.program} reports errors: {failed}")
