"""The reverse proxies that are measured, and their configurations: each with its own defaults, connections kept
on both sides, one thread on one CPU.

Starts nothing.
"""

from pathlib import Path

PROXIES = ("proxy", "proxy-tls", "nginx-proxy", "nginx-proxy-tls", "haproxy", "haproxy-tls", "caddy-proxy")

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
            proxy_pass http://endpoint;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}}}
    }}}}
}}}}
"""

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
    server one 127.0.0.1:{{upstream}}
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


def is_proxy(program: str) -> bool:
    return program in PROXIES


def has_tls(program: str) -> bool:
    return program.endswith("-tls")


def tool_of(program: str) -> str:
    """The program that is looked for on the path."""
    name = program.removesuffix("-tls").removesuffix("-proxy")
    return "env" if name == "caddy" else name


def configuration(program: str, home: Path, tickets: str) -> str:
    """A template, to be filled with the port and the rest."""
    match program.removesuffix("-tls"):
        case "nginx-proxy":
            is_tls = has_tls(program)
            tls = NGINX_TLS.format(home=home, tickets=tickets) if is_tls else ""
            return NGINX.format(listen=" ssl http2" if is_tls else "", tls=tls)
        case "haproxy":
            if not has_tls(program):
                return HAPROXY.format(bind="")
            # One file for both.
            whole = home / "whole.pem"
            whole.write_bytes((home / "cert.pem").read_bytes() + (home / "key.pem").read_bytes())
            whole.chmod(0o600)
            return HAPROXY.format(bind=f" ssl crt {whole} alpn h2,http/1.1 ssl-min-ver TLSv1.3")
        case "caddy-proxy":
            return CADDY.format()
    raise ValueError(program)


def arguments(program: str, home: Path, conf: Path) -> list[str]:
    match program.removesuffix("-tls"):
        case "nginx-proxy":
            return ["-p", str(home), "-e", str(home / "error.log"), "-c", str(conf)]
        case "haproxy":
            return ["-db", "-f", str(conf)]
    own = [f"XDG_DATA_HOME={home}", f"XDG_CONFIG_HOME={home}"]
    return [*own, "caddy", "run", "--adapter", "caddyfile", "--config", str(conf)]
