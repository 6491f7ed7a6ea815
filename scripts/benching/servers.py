"""The programs that are measured: how each is started, found ready, weighed and stopped.

Knows no request and no ratio. A server is stopped by its own process id, whatever happens.
"""

import os
import re
import shlex
import shutil
import socket
import subprocess
import time
from pathlib import Path

from benching import proxies
from benching.rows import GREETING, TREE_FOLDER

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
READY_WITHIN_S = 10
STOP_WITHIN_S = 5
# More than the idle rows need; the soft limit is raised to the hard one before anything starts.
CONNECTIONS_MAX = 16_000
# The profile that is measured, and where its programs are: cargo's target directory, ours unless told otherwise.
PROFILE = "dist"
TARGET = Path(__file__).resolve().parents[2] / os.environ.get("CARGO_TARGET_DIR", "target")
# Where `scripts/bench` builds benches/peers, and the programs that come from there.
PEERS_TARGET = TARGET / "peers"
PEERS = ("axum", "actix")
API_ROUTES = "200"

NGINX = """
{user}
daemon off;
worker_processes 1;
worker_cpu_affinity {mask};
error_log {home}/error.log warn;
pid {home}/pid;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
    open_file_cache max=1000 inactive=600s;
    default_type application/octet-stream;
    types {{ text/plain txt; }}
    {more}
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=4096{deferred};
        {tls}
        location = /hello {{ default_type text/plain; return 200 "{greeting}"; }}
        location / {{ root {root}; }}
    }}
}}
"""

# For the proxy that is nginx.
TICKETS = "ssl_session_tickets on; http2_max_concurrent_streams 128;"

# Its own defaults but for the version, which is that of all rows, and tickets that need no cache.
NGINX_TLS = """ssl_certificate {home}/cert.pem;
        ssl_certificate_key {home}/key.pem;
        ssl_protocols TLSv1.3;
        ssl_session_tickets on;
        http2_max_concurrent_streams 128;
"""

H2O = """
{user}
num-threads: 1
max-connections: {connections}
tcp-fastopen: 0
http1-upgrade-to-http2: OFF
error-log: {home}/error.log
listen:
  host: 127.0.0.1
  port: {port}
hosts:
  default:
    paths:
      "/":
        file.dir: {root}
"""


CADDY = """
{{
    admin off
    auto_https off
    servers {{
        protocols h1 h2
    }}
}}
{scheme}://127.0.0.1:{port} {{
    bind 127.0.0.1
    {tls}
    {more}
    root * {root}
    respond /hello "{greeting}"
    file_server
}}
"""


class Unavailable(Exception):
    """A program that is not there or does not start; the row is skipped, with this as its reason."""


class Bench:
    """Where everything lives during one run: the repository, a temporary directory, a tree, two CPUs."""

    def __init__(self, root: Path, scratch: Path, server_cpu: int, client_cpu: int,
                 commands: dict[str, str], tree_files: int):
        self.root, self.scratch, self.files = root, scratch, scratch / "files"
        # Kept between runs, for it takes a minute to make.
        self.tree, self.tree_files = TARGET / f"bench-tree-{tree_files}", tree_files
        self.server_cpu, self.client_cpu = server_cpu, client_cpu
        self.commands = commands

    def start(self, program: str) -> "Server":
        port = free_port()
        home = self.scratch / f"{program}-{port}"
        home.mkdir()
        if not proxies.is_proxy(program):
            return Server(program, self.found(self.command(program, port, home)), port, home, self.server_cpu)
        # Where the generator runs: what it costs is not the proxy's.
        upstream = self.upstream(proxies.upstream_example(program))
        try:
            command = self.found(self.proxy_command(program, port, home, upstream.port))
            return Server(program, command, port, home, self.server_cpu, upstream)
        except BaseException:
            upstream.stop()
            raise

    def found(self, command: list[str]) -> list[str]:
        if shutil.which(command[0]) is None:
            raise Unavailable(f"{command[0]} is not there")
        return command

    def upstream(self, example: tuple[str, ...] = ()) -> "Server":
        """The server behind a proxy, the same for ours and the peer: nginx, or this example with its arguments."""
        port = free_port()
        home = self.scratch / f"upstream-{port}"
        home.mkdir()
        if example:
            name, *arguments = (part.format(port=port) for part in example)
            command = self.found([str(TARGET / PROFILE / "examples" / name), *arguments])
            return Server("upstream", command, port, home, self.client_cpu)
        conf = self.write(home, NGINX, port, user="user root;", root=self.files, deferred="", tls="", more="",
                          cpu=self.client_cpu)
        command = [tool("nginx"), "-p", str(home), "-e", str(home / "error.log"), "-c", str(conf)]
        return Server("upstream", command, port, home, self.client_cpu)

    def proxy_command(self, program: str, port: int, home: Path, upstream: int) -> list[str]:
        if program in self.commands:
            return self.given(program, port=port, cpu=self.server_cpu, upstream=upstream)
        tls = make_certificate(home) if proxies.has_tls(program) else []
        if template := proxies.own_file(program):
            return self.run_file(template, port, home, upstream=upstream)
        if program in ("proxy", "proxy-tls", "proxy-websocket"):
            listen = ["--listen", f"127.0.0.1:{port}", "--workers", "1", "--cpus", str(self.server_cpu)]
            return [str(TARGET / PROFILE / "quoit"), "proxy", f"127.0.0.1:{upstream}", *listen, "--quiet", *tls]
        conf = self.write(home, proxies.configuration(program, home, TICKETS), port, user="user root;",
                          upstream=upstream)
        return [tool(proxies.tool_of(program)), *proxies.arguments(program, home, conf)]

    def command(self, program: str, port: int, home: Path) -> list[str]:
        if program in self.commands:
            return self.given(program, port=port, cpu=self.server_cpu, dir=self.files)
        programs, listen = TARGET / PROFILE, ["--listen", f"127.0.0.1:{port}"]
        ours = [*listen, "--workers", "1", "--cpus", str(self.server_cpu)]
        serve = [str(programs / "quoit"), "serve"]
        if template := proxies.own_file(program):
            return self.run_file(template, port, home, root=self.files)
        match program:
            case "hello":
                return [str(programs / "examples/hello"), *ours]
            case "serve":
                return [*serve, str(self.files), *ours, "--quiet"]
            case "hello-tls":
                return [str(programs / "examples/hello"), *ours, *make_certificate(home)]
            case "serve-tls":
                return [*serve, str(self.files), *ours, "--quiet", *make_certificate(home)]
            case "serve-dressed":
                return [*serve, str(self.files), *ours, "--quiet",
                        "--access-log", str(home / "access.log"), "--security-headers"]
            case "serve-tree":
                return [*serve, str(self.tree), *ours, "--quiet"]
            case "api" | "api-1" | "api-1000":
                routes = program.removeprefix("api").removeprefix("-") or API_ROUTES
                return [str(programs / "examples/bench_api"), *ours, "--routes", routes]
            case "axum-on-quoit":
                return [str(programs / "examples/bench_axum"), *ours, "--routes", API_ROUTES]
            case "floor":
                return [str(programs / "examples/floor"), *listen, "--cpu", str(self.server_cpu)]
            case "axum" | "actix":
                peer = PEERS_TARGET / PROFILE / f"{program}-peer"
                return [str(peer), f"127.0.0.1:{port}", API_ROUTES]
            case "nginx" | "nginx-deferred" | "nginx-gzip" | "nginx-tree" | "nginx-tls" | "nginx-h2":
                is_tls = program in ("nginx-tls", "nginx-h2")
                if is_tls:
                    make_certificate(home)
                conf = self.write(
                    home, NGINX, port, user="user root;",
                    root=self.tree if program == "nginx-tree" else self.files,
                    deferred={"nginx-deferred": " deferred", "nginx-tls": " ssl",
                              "nginx-h2": " ssl http2"}.get(program, ""),
                    tls=NGINX_TLS.format(home=home) if is_tls else "",
                    more="gzip on; gzip_types text/plain;" if program == "nginx-gzip" else "")
                return [tool("nginx"), "-p", str(home), "-e", str(home / "error.log"), "-c", str(conf)]
            case "caddy" | "caddy-gzip" | "caddy-tls":
                is_tls = program == "caddy-tls"
                if is_tls:
                    make_certificate(home)
                conf = self.write(
                    home, CADDY, port, user="", root=self.files, scheme="https" if is_tls else "http",
                    tls=f"tls {home}/cert.pem {home}/key.pem" if is_tls else "",
                    more="encode gzip" if program == "caddy-gzip" else "")
                # What it keeps between runs stays in its own directory.
                own = [f"XDG_DATA_HOME={home}", f"XDG_CONFIG_HOME={home}"]
                return ["env", *own, tool("caddy"), "run", "--adapter", "caddyfile", "--config", str(conf)]
            case "h2o":
                conf = self.write(home, H2O, port, user="user: root", root=self.files)
                return [tool("h2o"), "-m", "worker", "-c", str(conf)]
        raise ValueError(program)

    def run_file(self, template: str, port: int, home: Path, **more: str | int | Path) -> list[str]:
        """Ours by a configuration file."""
        file = home / "quoit.toml"
        file.write_text(template.format(port=port, cpu=self.server_cpu, greeting=GREETING.decode(), **more))
        return [str(TARGET / PROFILE / "quoit"), "run", "--config", str(file)]

    def loadgen(self) -> list[str]:
        """How the load generator is called, but for its arguments."""
        command = self.given("loadgen") if "loadgen" in self.commands else [
            str(TARGET / PROFILE / "loadgen")]
        if shutil.which(command[0]) is None:
            raise Unavailable(f"{command[0]} is not there; cargo build --profile {PROFILE} --package loadgen makes it")
        return command

    def given(self, program: str, **places: str | int | Path) -> list[str]:
        """The command of `--program`; a path in it is meant from the repository's root."""
        name, *arguments = shlex.split(self.commands[program].format(**places))
        return [str(self.root / name) if "/" in name else name, *arguments]

    def write(self, home: Path, template: str, port: int, user: str, cpu: int | None = None,
              **more: str | int | Path) -> Path:
        conf = home / "conf"
        mask = format(1 << (self.server_cpu if cpu is None else cpu), "b")
        conf.write_text(template.format(
            user=user if os.geteuid() == 0 else "", mask=mask, home=home,
            port=port, connections=CONNECTIONS_MAX, greeting=GREETING.decode(), **more))
        return conf


def make_certificate(home: Path) -> list[str]:
    """An ECDSA P-256 key and a certificate for it; the flags with which ours take them."""
    chain, key = home / "cert.pem", home / "key.pem"
    command = [tool("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
               "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", str(key), "-out", str(chain),
               "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    key.chmod(0o600)
    return ["--tls-cert", str(chain), "--tls-key", str(key)]


def make_tree(tree: Path, files: int) -> None:
    """Small files in folders of a thousand, each with its number and a length of its own, made once."""
    complete = tree / "complete"
    if complete.exists():
        return
    for folder in range(0, files, TREE_FOLDER):
        below = tree / f"{folder // TREE_FOLDER:03}"
        below.mkdir(parents=True, exist_ok=True)
        for number in range(folder, min(folder + TREE_FOLDER, files)):
            (below / f"{number % TREE_FOLDER:03}.txt").write_bytes(b"file %d\n" % number * (1 + number % 60))
    complete.touch()


class Server:
    """One running server. A context manager: leaving the block stops it."""

    def __init__(self, program: str, command: list[str], port: int, home: Path, cpu: int,
                 upstream: "Server | None" = None):
        self.program, self.port, self.home, self.log = program, port, home, home / "output"
        # What a proxy forwards to; it ends with it.
        self.upstream = upstream
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                ["taskset", "-c", str(cpu), *command],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=home)
        try:
            self.wait_ready()
        except BaseException:
            self.upstream = None  # the caller stops it
            self.stop()
            raise

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait_ready(self) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                said = self.log.read_text(errors="replace").strip()[-300:]
                raise Unavailable(f"{self.program} ended at once: {said or self.process.returncode}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise Unavailable(f"{self.program} did not listen within {READY_WITHIN_S} s")

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                for pid in reversed(self.pids()):
                    os.kill(pid, 9)
        self.process.wait()
        if self.upstream:
            self.upstream.stop()

    def alive(self) -> bool:
        return self.process.poll() is None and (self.upstream is None or self.upstream.alive())

    def pids(self) -> list[int]:
        """The process and all that descend from it (nginx serves in a child), eldest first."""
        parents = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and (stat := read(entry / "stat")):
                parents[int(entry.name)] = int(stat.rsplit(")", 1)[1].split()[1])
        family = [self.process.pid]
        for pid in family:
            family += [child for child, parent in parents.items() if parent == pid]
        return family

    def cpu(self) -> "Cpu":
        """CPU time used so far by every thread of every process of this server."""
        run_ns: dict[tuple[int, int], int] = {}
        user = system = 0.0
        for pid in self.pids():
            if not (stat := read(Path(f"/proc/{pid}/stat"))):
                continue
            fields = stat.rsplit(")", 1)[1].split()
            user += int(fields[11]) / TICKS_PER_SECOND
            system += int(fields[12]) / TICKS_PER_SECOND
            for task in Path(f"/proc/{pid}/task").iterdir():
                if text := read(task / "schedstat"):
                    run_ns[pid, int(task.name)] = int(text.split()[0])
        return Cpu(run_ns, user, system)

    def resident_kib(self) -> int:
        """Resident memory of every process of this server, in KiB."""
        total = 0
        for pid in self.pids():
            found = re.search(r"^Rss:\s+(\d+) kB", read(Path(f"/proc/{pid}/smaps_rollup")), re.MULTILINE)
            total += int(found[1]) if found else 0
        return total


class Cpu:
    """A reading of CPU time: nanoseconds on the CPU per thread, and the kernel's user/system split.

    The scheduler's nanoseconds are exact but forget threads that ended; the split counts in ticks of
    10 ms and remembers them.
    """

    def __init__(self, run_ns: dict[tuple[int, int], int], user: float, system: float):
        self.run_ns, self.user, self.system = run_ns, user, system

    def since(self, earlier: "Cpu") -> tuple[float, float]:
        """Seconds in user and in system since `earlier`."""
        exact = sum(ns - earlier.run_ns.get(task, 0) for task, ns in self.run_ns.items()) / 1e9
        user, system = self.user - earlier.user, self.system - earlier.system
        ticks = user + system
        # Threads that ended in between are missing from `exact`: then ticks are the better figure.
        total = ticks if ticks > exact * 1.02 + 4 / TICKS_PER_SECOND else exact
        share = user / ticks if ticks else 0.0
        return total * share, total * (1 - share)


def read(path: Path) -> str:
    """A file of /proc, or nothing when its process ended meanwhile."""
    try:
        return path.read_text()
    except OSError:
        return ""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def tool(name: str) -> str:
    """A program on the path; servers live in sbin, which users often lack."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        raise Unavailable(f"{name} is not installed")
    return found


def install_missing() -> None:
    """Installs the peers and the client from Debian when root; otherwise says what to type."""
    missing = []
    for name, package in (("nginx", "nginx"), ("h2o", "h2o"), ("caddy", "caddy"), ("wrk", "wrk"), ("haproxy", "haproxy"),
                          ("h2load", "nghttp2-client"), ("openssl", "openssl"), ("curl", "curl")):
        try:
            tool(name)
        except Unavailable:
            missing.append(package)
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print(f"bench: not installed: {', '.join(missing)}. "
              f"As root: apt-get install {' '.join(missing)}", flush=True)
        return
    # RUNLEVEL=1 keeps the packages from starting their services.
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    install = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *missing]
    quiet = {"env": env, "stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    if subprocess.run(install, **quiet).returncode != 0:
        subprocess.run(["apt-get", "update", "-qq"], **quiet)
        if subprocess.run(install, **quiet).returncode != 0:
            print(f"bench: apt-get could not install {' '.join(missing)}; their rows are skipped", flush=True)
