"""The reverse proxies that are measured, and their configurations: each with its own defaults, connections kept
on both sides, one thread on one CPU. And the configuration files of ours, of proxies or not.

Starts nothing.
"""

from pathlib import Path

PROXIES = ("proxy", "proxy-tls", "proxy-grpc", "proxy-websocket", "proxy-one", "proxy-many", "nginx-proxy",
           "nginx-proxy-tls", "nginx-proxy-grpc", "haproxy", "haproxy-tls", "haproxy-grpc", "haproxy-websocket",
           "caddy-proxy")
# What a name may end with: what is in front of the proxy or behind it.
KINDS = ("-tls", "-grpc", "-websocket")
# The examples that are behind a proxy of that kind; nginx is behind all others.
UPSTREAMS = {"-grpc": ("streams", "127.0.0.1:{port}"), "-websocket": ("websocket", "--listen", "127.0.0.1:{port}")}

NGINX = """
{{user}}
daemon off;
worker_processes 1;
worker_cpu_affinity {{mask}};
error_log {{home}}/error.log warn;
pid {{home}}/pid;
events {{{{ worker_connections {{connections}}; }}}}
http {{{{
    access_log off;
    tcp_nopush on;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
    client_body_temp_path {{home}}/body;
    proxy_temp_path {{home}}/proxy;
    fastcgi_temp_path {{home}}/fastcgi;
    uwsgi_temp_path {{home}}/uwsgi;
    scgi_temp_path {{home}}/scgi;
    upstream endpoint {{{{
        server 127.0.0.1:{{upstream}};
        keepalive 1024;
        keepalive_requests 1000000000;
    }}}}
    server {{{{
        listen 127.0.0.1:{{port}} backlog=4096{listen};
        {tls}
        location / {{{{
            {forward}
        }}}}
    }}}}
}}}}
"""

NGINX_HTTP = """proxy_pass http://endpoint;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;"""

NGINX_GRPC = """grpc_pass grpc://endpoint;
            grpc_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            grpc_set_header X-Forwarded-Proto $scheme;"""

NGINX_TLS = """ssl_certificate {home}/cert.pem;
        ssl_certificate_key {home}/key.pem;
        ssl_protocols TLSv1.3;
        {tickets}"""

HAPROXY = """
global
    nbthread 1
    maxconn 8000
defaults
    mode http
    option forwardfor
    timeout connect 3s
    timeout client 60s
    timeout server 60s
frontend front
    bind 127.0.0.1:{{port}}{bind}
    default_backend endpoints
backend endpoints
    server one 127.0.0.1:{{upstream}}{server}
"""

CADDY = """
{{{{
    admin off
    auto_https off
}}}}
http://127.0.0.1:{{port}} {{{{
    bind 127.0.0.1
    reverse_proxy 127.0.0.1:{{upstream}}
}}}}
"""


OURS = """
listen = "127.0.0.1:{port}"
workers = 1
cpus = [{cpu}]
quiet = true
"""

OURS_GRPC = """
proxy = "endpoint"

[upstreams.endpoint]
endpoints = ["127.0.0.1:{upstream}"]
protocol = "http2"
"""

OURS_FILES = """
files = "{root}"
"""


def is_proxy(program: str) -> bool:
    return program in PROXIES


def kind_of(program: str) -> str:
    """One of KINDS, or nothing."""
    return next((kind for kind in KINDS if program.endswith(kind)), "")


def has_tls(program: str) -> bool:
    return kind_of(program) == "-tls"


def upstream_example(program: str) -> tuple[str, ...]:
    """The example behind this proxy, with its arguments; nothing where nginx is."""
    return UPSTREAMS.get(kind_of(program), ())


def own_file(program: str) -> str | None:
    """A template of the configuration file of ours; `None` for what is started by flags."""
    match program:
        case "run":
            return OURS + OURS_FILES
        case "proxy-grpc":
            return OURS + OURS_GRPC
        case "run-one" | "proxy-one":
            return OURS + sites(1, program.startswith("proxy"))
        case "run-many" | "proxy-many":
            return OURS + sites(100, program.startswith("proxy"))
    return None


def sites(count: int, is_proxied: bool) -> str:
    """So many sites with ten routes each and a filter for every second one; of one, the route that is asked for."""
    asked = 'proxy = "127.0.0.1:{upstream}"' if is_proxied else 'respond = "{greeting}"'
    asked = f'[[site]]\nhost = "127.0.0.1"\n[[site.route]]\npath = "/hello"\n{asked}\n'
    if count == 1:
        return asked
    # Braces of parameters and tables are doubled: the whole is a template.
    filters = ('"request_id"', '"security_headers"', '{{{{ headers = {{{{ X-Site = "{}" }}}} }}}}',
               '{{{{ timeout = "{}s" }}}}')
    handlers = ('respond = "route {}"', 'redirect = "/elsewhere/{}"', 'proxy = "127.0.0.1:{}"')
    made = []
    for site in range(count):
        if site != count // 2:
            made.append(f'[[site]]\nhost = "host{site}.test"\n')
        else:
            made.append(asked)
        if site % 2 == 1:
            made.append(f"filters = [{filters[site // 2 % len(filters)].format(site)}]\n")
        for route in range(9 if site == count // 2 else 10):
            handler = handlers[route % len(handlers)].format(9000 + route)
            made.append(f'[[site.route]]\npath = "/v1/r{site * 10 + route}/{{{{id}}}}/items"\n{handler}\n')
    return "".join(made)


def tool_of(program: str) -> str:
    """The program that is looked for on the path."""
    name = program.removesuffix(kind_of(program)).removesuffix("-proxy")
    return "env" if name == "caddy" else name


def configuration(program: str, home: Path, tickets: str) -> str:
    """A template, to be filled with the port and the rest."""
    kind = kind_of(program)
    match program.removesuffix(kind):
        case "nginx-proxy":
            tls = NGINX_TLS.format(home=home, tickets=tickets) if kind == "-tls" else ""
            listen = {"-tls": " ssl http2", "-grpc": " http2"}.get(kind, "")
            return NGINX.format(listen=listen, tls=tls, forward=NGINX_GRPC if kind == "-grpc" else NGINX_HTTP)
        case "haproxy":
            if kind != "-tls":
                version = " proto h2" if kind == "-grpc" else ""
                return HAPROXY.format(bind=version, server=version)
            # One file for both.
            whole = home / "whole.pem"
            whole.write_bytes((home / "cert.pem").read_bytes() + (home / "key.pem").read_bytes())
            whole.chmod(0o600)
            return HAPROXY.format(bind=f" ssl crt {whole} alpn h2,http/1.1 ssl-min-ver TLSv1.3", server="")
        case "caddy-proxy":
            return CADDY.format()
    raise ValueError(program)


def arguments(program: str, home: Path, conf: Path) -> list[str]:
    match program.removesuffix(kind_of(program)):
        case "nginx-proxy":
            return ["-p", str(home), "-e", str(home / "error.log"), "-c", str(conf)]
        case "haproxy":
            return ["-db", "-f", str(conf)]
    own = [f"XDG_DATA_HOME={home}", f"XDG_CONFIG_HOME={home}"]
    return [*own, "caddy", "run", "--adapter", "caddyfile", "--config", str(conf)]
