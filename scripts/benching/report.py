"""Results: ratios from samples, verdicts from targets, the Markdown tables, the facts of the machine.

Runs nothing but `--version`.
"""

import os
import platform
import re
import statistics
import subprocess
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from benching.measuring import Sample
from benching.rows import Row
from benching.servers import Unavailable, tool

# Above this share of both CPUs spent on other work, a sample is noise rather than measurement.
FOREIGN_MAX = 0.05
# Above this share of difference in CPU per request between the two generators, a note says so: twice the
# share of other work that already makes a sample doubtful.
DEVIATION_MAX = 0.10


@dataclass
class Result:
    """What one row gave: samples in ABBA order, or memory, or the reason why there is nothing."""

    row: Row
    ours: list[Sample] = field(default_factory=list)
    peer: list[Sample] = field(default_factory=list)
    # One run of wrk against each server, beside the samples of loadgen, and why there is none.
    check: dict[str, Sample] = field(default_factory=dict)
    unchecked: str | None = None
    idle_kib: dict[str, float] = field(default_factory=dict)
    resident_kib: dict[str, int] = field(default_factory=dict)
    invalid: str | None = None
    skipped: str | None = None

    def ratios(self, what: str) -> list[float]:
        """ours / peer of one figure, by neighbouring runs: what disturbed one disturbed the other."""
        return [getattr(ours, what) / getattr(peer, what)
                for ours, peer in zip(self.ours, self.peer) if getattr(peer, what)]

    def deviation(self, side: str, what: str) -> float | None:
        """By which share the check's figure is above (below: negative) the median of the samples."""
        values = [getattr(sample, what) for sample in getattr(self, side)]
        if side not in self.check or not values or not statistics.median(values):
            return None
        return getattr(self.check[side], what) / statistics.median(values) - 1

    def check_ratio(self) -> float | None:
        """ours / peer of CPU per request, as the check saw it."""
        if self.check.keys() < {"ours", "peer"} or not self.check["peer"].cpu_us:
            return None
        return self.check["ours"].cpu_us / self.check["peer"].cpu_us

    def verdict(self) -> str:
        if self.skipped:
            return "skipped"
        if self.invalid:
            return "invalid"
        judged = []
        for what, limit in (("cpu_us", self.row.cpu_ratio_max), ("p50_us", self.row.p50_ratio_max)):
            if limit is not None and (ratios := self.ratios(what)):
                judged.append(round(statistics.median(ratios), 3) <= limit)
        if self.row.idle_kib_max is not None and "ours" in self.idle_kib:
            judged.append(self.idle_kib["ours"] <= self.row.idle_kib_max)
        if self.row.idle_ratio_max is not None and self.idle_kib.keys() >= {"ours", "peer"}:
            judged.append(self.idle_kib["ours"] <= self.row.idle_ratio_max * self.idle_kib["peer"])
        if not judged:
            return "–"
        return "met" if all(judged) else "missed"

    def as_json(self) -> dict:
        row = self.row
        return {
            "name": row.name, "work": row.work, "ours": row.ours, "peer": row.peer,
            "targets": {"cpu_ratio_max": row.cpu_ratio_max, "p50_ratio_max": row.p50_ratio_max,
                        "idle_kib_max": row.idle_kib_max, "idle_ratio_max": row.idle_ratio_max},
            "verdict": self.verdict(), "why": self.invalid or self.skipped,
            "cpu_ratio": spread(self.ratios("cpu_us")), "p50_ratio": spread(self.ratios("p50_us")),
            "idle_kib": self.idle_kib, "resident_kib": self.resident_kib,
            "check": {side: {**sample.as_json(), "deviation": {what: self.deviation(side, what)
                                                               for what in ("cpu_us", "rate")}}
                      for side, sample in self.check.items()},
            "check_cpu_ratio": self.check_ratio(), "unchecked": self.unchecked,
            "samples": {"ours": [s.as_json() for s in self.ours], "peer": [s.as_json() for s in self.peer]},
        }


def spread(values: list[float]) -> dict | None:
    if not values:
        return None
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "of": values}


def ratio_table(results: list[Result]) -> str:
    lines = ["| work | ours | against | CPU per request, ratio (spread) | by wrk | p50, ratio | target "
             "| verdict |",
             "|---|---|---|---|---|---|---|---|"]
    for result in results:
        row, cpu, p50 = result.row, spread(result.ratios("cpu_us")), spread(result.ratios("p50_us"))
        against = row.peer + (" without them" if row.idle and not result.idle_kib else "")
        figure = f"**{cpu['median']:.2f}** ({cpu['min']:.2f}–{cpu['max']:.2f})" if cpu else "–"
        if result.idle_kib:
            figure = " against ".join(f"{kib:.2f} KiB" for kib in result.idle_kib.values())
            if row.idle_ratio_max is not None and len(result.idle_kib) == 2:
                figure = f"**{result.idle_kib['ours'] / result.idle_kib['peer']:.2f}** ({figure})"
        latency = f"{p50['median']:.2f}" if p50 else "–"
        checked = f"{ratio:.2f}" if (ratio := result.check_ratio()) else "–"
        lines.append(f"| {row.work} | {row.ours} | {against} | {figure} | {checked} | {latency} "
                     f"| {target(row)} | {result.verdict()} |")
    return "\n".join(lines)


def target(row: Row) -> str:
    if row.idle_kib_max is not None:
        return f"≤ {row.idle_kib_max:g} KiB"
    if row.idle_ratio_max is not None:
        return f"≤ {row.idle_ratio_max:.2f}"
    wanted = [f"≤ {row.cpu_ratio_max:.2f}"] if row.cpu_ratio_max is not None else []
    if row.p50_ratio_max is not None:
        wanted.append(f"p50 ≤ {row.p50_ratio_max:.2f}")
    return ", ".join(wanted) or "–"


def figure_table(results: list[Result]) -> str:
    lines = ["| row | program | CPU µs per request | user | system | requests/s | p50 µs | p99 µs "
             "| generator µs | wrk: CPU µs | wrk: requests/s |",
             "|---|---|---|---|---|---|---|---|---|---|---|"]
    for result in results:
        row = result.row
        beside = {"ours": f" + {row.idle:,} idle" if row.idle else "", "peer": ""}
        for side, program, samples in (("ours", row.ours, result.ours), ("peer", row.peer, result.peer)):
            if samples:
                figures = [middle(samples, what, decimals) for what, decimals in (
                    ("cpu_us", 2), ("user_us", 2), ("system_us", 2), ("rate", 0), ("p50_us", 0),
                    ("p99_us", 0), ("generator_us", 2))]
                figures += [check_figure(result, side, "cpu_us", 2), check_figure(result, side, "rate", 0)]
                lines.append(f"| {row.name} | {program}{beside[side]} | {' | '.join(figures)} |")
    return "\n".join(lines)


def middle(samples: list[Sample], what: str, decimals: int) -> str:
    values = [value for sample in samples if (value := getattr(sample, what)) is not None]
    return f"{statistics.median(values):,.{decimals}f}" if values else "–"


def check_figure(result: Result, side: str, what: str, decimals: int) -> str:
    deviation = result.deviation(side, what)
    if deviation is None:
        return "–"
    return f"{getattr(result.check[side], what):,.{decimals}f} ({deviation:+.0%})"


def notes(results: list[Result]) -> str:
    lines = [f"- {result.row.name} {result.verdict()}: {why}"
             for result in results if (why := result.invalid or result.skipped)]
    for result in results:
        if memory := result.resident_kib:
            lines.append(f"- {result.row.name}: resident at the end {memory['ours'] / 1024:.1f} MiB, "
                         f"{result.row.peer} {memory['peer'] / 1024:.1f} MiB.")
        if result.unchecked:
            lines.append(f"- {result.row.name}: not checked with wrk: {result.unchecked}")
        for side, sample in result.check.items():
            deviation = result.deviation(side, "cpu_us")
            if deviation is not None and abs(deviation) > DEVIATION_MAX:
                program = getattr(result.row, side)
                lines.append(f"- {result.row.name}: by wrk a request costs {program} ({side}) "
                             f"{sample.cpu_us:.2f} µs, {deviation:+.0%} against what loadgen found.")
    samples = [s for result in results for s in (*result.ours, *result.peer, *result.check.values())]
    disturbed = sum(s.foreign > FOREIGN_MAX for s in samples)
    if disturbed:
        worst = max(s.foreign for s in samples)
        lines.append(f"- {disturbed} of {len(samples)} runs shared the two CPUs with other work "
                     f"(up to {worst:.0%} of their time): read the ratios with care.")
    return "\n".join(lines)


def machine(loadgen: list[str]) -> dict:
    """What a reader needs to judge the figures."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "kernel": platform.release(),
        "cpu": model[1] if model else platform.machine(),
        "cores": os.cpu_count(),
        "memory_mib": int(memory[1]) // 1024 if memory else None,
        "load": os.getloadavg()[0],
        "versions": {name: version(command, flag) for name, command, flag in
                     (("nginx", ["nginx"], "-v"), ("h2o", ["h2o"], "-v"), ("wrk", ["wrk"], "-v"),
                      ("h2load", ["h2load"], "--version"), ("openssl", ["openssl"], "version"),
                      ("loadgen", loadgen, "--version"))} | peer_versions(),
    }


def peer_versions() -> dict[str, str | None]:
    """What benches/peers is locked to."""
    lock = (Path(__file__).parents[2] / "benches/peers/Cargo.lock").read_text()
    found = dict(re.findall(r'^name = "(axum|actix-web|tokio)"\nversion = "([^"]+)"', lock, re.MULTILINE))
    return {name: found.get(name) for name in ("axum", "actix-web", "tokio")}


def version(command: list[str], flag: str) -> str | None:
    if not command:
        return None
    try:
        name, *arguments = command
        said = subprocess.run([tool(name), *arguments, flag], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL)
    except Unavailable:
        return None
    found = re.search(r"\d+(\.\d+)+", said.stdout + said.stderr)
    return found[0] if found else None


def machine_line(facts: dict) -> str:
    versions = ", ".join(f"{name} {v or 'absent'}" for name, v in facts["versions"].items())
    return f"{facts['date']}; {facts['cpu']}, {facts['cores']} cores; Linux {facts['kernel']}; {versions}."
