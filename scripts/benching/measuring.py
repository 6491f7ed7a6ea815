"""One run against one server: what a generator counted, and the CPU time that the server spent on it.

Knows no row by name and judges nothing.
"""

import resource
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benching import generators
from benching.client import Wrong
from benching.rows import Row
from benching.servers import TICKS_PER_SECOND, Bench, Cpu, Server


@dataclass
class Sample:
    """One run of a generator against one server."""

    generator: str
    requests: float
    rate: float
    seconds: float
    user_us: float
    system_us: float
    # None where the generator cannot tell.
    p50_us: float | None
    p99_us: float | None
    # CPU time of the generator per request, its start included.
    generator_us: float
    # Share of both CPUs' time that went to neither the server, what is behind it, nor the generator: other work here.
    foreign: float

    @property
    def cpu_us(self) -> float:
        return self.user_us + self.system_us

    def as_json(self) -> dict:
        return {**asdict(self), "cpu_us": self.cpu_us}


def measure(generator: str, bench: Bench, row: Row, server: Server, seconds: float,
            answer_bytes: int) -> Sample:
    """Runs the generator once and divides the server's CPU time by the requests that it saw answered."""
    began, cpus, children_before = time.monotonic(), busy_seconds(bench), children_seconds()
    before, behind = server.cpu(), upstream_seconds(server)
    told = generators.run(generator, bench, row, server, seconds, answer_bytes)
    user, system = server.cpu().since(before)
    busy, elapsed = busy_seconds(bench) - cpus, time.monotonic() - began
    generator = children_seconds() - children_before
    own = generator + upstream_seconds(server) - behind
    if not server.alive():
        raise Wrong(f"{server.program} ended during the run")
    if told.requests < 1:
        raise Wrong(f"{server.program} completed no request in {seconds:g} s")
    return Sample(
        generator, told.requests, told.rate, told.seconds, user * 1e6 / told.requests,
        system * 1e6 / told.requests, told.p50_us, told.p99_us, generator * 1e6 / told.requests,
        max(0.0, (busy - user - system - own) / (2 * elapsed)))


def busy_seconds(bench: Bench) -> float:
    """Time that the two CPUs were not idle, steal by the hypervisor included."""
    ticks = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name in (f"cpu{bench.server_cpu}", f"cpu{bench.client_cpu}"):
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[:8])
            ticks += user + nice + system + irq + softirq + steal
    return ticks / TICKS_PER_SECOND


def upstream_seconds(server: Server) -> float:
    """CPU time used so far by what a proxy forwards to."""
    return sum(server.upstream.cpu().since(Cpu({}, 0, 0))) if server.upstream else 0.0


def children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
