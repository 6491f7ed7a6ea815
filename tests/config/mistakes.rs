//! Every kind of mistake, with its exact text.

use super::{Config, Depth, Environment, mistakes};

/// What is long, and comes again and again, under a short name.
const SHORTENED: [(&str, &str); 5] = [
    (
        "include, listen, tls, upstreams, workers, cpus, unix_mode, quiet, access_log, admin, metrics, \
         limits, filters, body, route, test, site, files, respond, redirect, proxy, welcome",
        "KEYS",
    ),
    (
        "request_id, headers, security_headers, cors, compress, error_pages, basic_auth, timeout, https",
        "FILTERS",
    ),
    (
        "root, strip, index, list, spa, clean_urls, follow_links, cache_control, preload, download, charset, \
         siblings, compress, compressed_size, cache_size, cached_file_size, mounts",
        "FILES",
    ),
    (
        "endpoints, balance, sticky, protocol, tls, timeouts, pool, retries, response, checks, ejection, \
         breaker, \
         slow_start, zone, resolver",
        "UPSTREAM",
    ),
    ("files, respond, redirect, proxy, welcome", "HANDLERS"),
];

fn shortened(text: String) -> String {
    SHORTENED.iter().fold(text, |text, (long, short)| text.replace(long, short))
}

/// The mistakes, a line each, without the name of the file.
fn lines(text: &str, depth: Depth) -> Vec<String> {
    let error = Config::from_text("quoit.toml", text, &Environment::of([]), depth).unwrap_err();
    let line = |line: String| shortened(line.strip_prefix("quoit.toml:").unwrap_or(&line).to_owned());
    error.lines().into_iter().map(line).collect()
}

const ALL_AT_ONCE: &str = "\
error: unknown key `lisen` in the file
 --> quoit.toml:1:1
  |
1 | lisen = \"127.0.0.1:0\"
  | ^^^^^ did you mean `listen`?
  |
  = help: the keys here are KEYS

error: `workers` is a whole number from 1 to 4096
 --> quoit.toml:2:11
  |
2 | workers = 0
  |           ^ this is the number 0

error: `idle_timeout` is a time above 0 such as \"30s\", \"250ms\" or \"1h\", at most 7d
 --> quoit.toml:5:16
  |
5 | idle_timeout = \"soon\"
  |                ^^^^^^ this is \"soon\"

error: this route has nothing that answers
 --> quoit.toml:7:1
  |
7 | [[route]]
  | ^^^^^^^^^
  |
  = help: add one of HANDLERS";

#[test]
fn all_mistakes_come_at_once_with_their_places() {
    let text = "lisen = \"127.0.0.1:0\"\nworkers = 0\n\n[limits]\nidle_timeout = \
        \"soon\"\n\n[[route]]\npath = \"/a\"\n";
    assert_eq!(shortened(mistakes(text)), ALL_AT_ONCE);
}

#[test]
fn each_kind_says_what_is_wrong_and_what_helps() {
    for (text, expected) in [
        (
            "a = ",
            &[
                "1:1: unknown key `a` in the file; no such key; the keys here are KEYS",
                "1:5: this is no TOML: string values must be quoted, expected literal string",
            ][..],
        ),
        (
            "a = 1\na = 2",
            &[
                "1:1: unknown key `a` in the file; no such key; the keys here are KEYS",
                "2:1: this is no TOML: duplicate key",
            ],
        ),
        ("[[rout]]", &["1:3: unknown key `rout` in the file; did you mean `route`?; the keys here are KEYS"]),
        ("xyz = 1", &["1:1: unknown key `xyz` in the file; no such key; the keys here are KEYS"]),
        ("workers = \"many\"", &["1:11: `workers` is a whole number from 1 to 4096; this is \"many\""]),
        ("workers = 1.5", &["1:11: `workers` is a whole number from 1 to 4096; this is the number 1.5"]),
        ("workers = -1", &["1:11: `workers` is a whole number from 1 to 4096; this is the number -1"]),
        ("quiet = \"maybe\"", &["1:9: `quiet` is true or false; this is \"maybe\""]),
        (
            "listen = \"here\"",
            &["1:10: this is no address to listen on; write 127.0.0.1:8080, [::1]:8080, 8080 for this \
                 machine alone, :8080 for every interface, or unix:/run/quoit.sock"],
        ),
        ("listen = [\"127.0.0.1:80\", \"80\"]", &["1:27: this address is listened on twice"]),
        (
            "listen = 8080",
            &["1:10: `listen` is a text in quotes; or a listener: a table with address, tls; this is the \
                 number 8080"],
        ),
        (
            "[[listen]]\naddress = \"80\"\ntls = true",
            &["3:7: there is no TLS configuration; write its name, and [tls.NAME] with its certificates"],
        ),
        (
            "[[listen]]\naddress = \"80\"\ntls = \"mian\"\n[tls.main]\nself_signed = \"localhost\"",
            &["3:7: there is no TLS configuration `mian`; did you mean \"main\"?"],
        ),
        (
            "[[listen]]\ntls = false",
            &["1:1: a listener has no `address`; add `address`: ADDR:PORT, PORT for this machine alone, \
                 :PORT for every interface, or unix:PATH."],
        ),
        (
            "[tls.a]",
            &["1:6: `a` has no certificate; add certificates, acme, or self_signed while developing"],
        ),
        (
            "[tls.a]\nself_signed = \"a..b\"",
            &["2:15: this is no name of a host; write a name such as localhost, 127.0.0.1 or *.a.test"],
        ),
        (
            "[tls.a]\nself_signed = \"a.test\"\nmin = \"1.1\"",
            &["3:7: `min` is \"1.2\" or \"1.3\"; did you mean \"1.2\"?"],
        ),
        (
            "[tls.a]\nself_signed = \"a.test\"\ncrl = \"x.pem\"",
            &["3:1: `crl` needs `client_ca`; name the PEM file of the authorities: client_ca = \"ca.pem\""],
        ),
        (
            "[tls.a]\ncertificates = [\"a.pem\", \"a.pem\"]",
            &["2:26: this certificate is given twice; give each certificate once"],
        ),
        (
            "[tls.a]\ncertificates = \"a.pem\"\nself_signed = \"a.test\"",
            &["3:1: a self-signed certificate is for want of another, and there is one; leave self_signed \
                 out"],
        ),
        (
            "[tls.a.acme]\nnames = \"localhost\"",
            &["2:9: `localhost` is no public host name; write example.com or *.example.com, and names \
                 with other letters in their xn-- form"],
        ),
        (
            "[tls.a.acme]\nnames = \"*.a.example\"",
            &["2:9: a wildcard can only be proved by DNS; add dns_hook, the command that writes records"],
        ),
        (
            "[tls.a.acme]\nnames = \"a.example\"\ndirectory = \"http://ca\"\nstate = \"s\"",
            &["3:13: the directory of a CA is an https URL; write it as the CA's manual names it"],
        ),
        (
            "[tls.a.acme]\nnames = \"a.example\"\nchallenge = \"http-01\"\n[[listen]]\naddress = \
             \"443\"\ntls = \"a\"",
            &["3:13: http-01 needs a listener without TLS; add one on port 80 to listen, or use tls-alpn-01"],
        ),
        (
            "[tls.a.acme]\nnames = \"a.example\"\neab = \"x\"",
            &["3:7: this is no KID:KEY as the CA shows them; write the key in base64url"],
        ),
        (
            "unix_mode = \"999\"",
            &["1:13: these are no permissions in octal; write \"660\" for owner and group, or \"666\" for \
                 everybody"],
        ),
        ("cpus = [0, \"3-1\"]", &["1:12: this is no list of CPUs; write [0, 2] or \"0,2-3\""]),
        ("cpus = \"0,0\"", &["1:8: CPU 0 is named twice; name each CPU once"]),
        (
            "access_log = { format = \"json\" }",
            &["1:14: an access log has no `file`; add `file`: The file, or \"-\" for standard output."],
        ),
        (
            "access_log = { file = \"-\", format = \"jsn\" }",
            &["1:37: `format` is \"auto\", \"json\", \"pretty\", \"common\" or \"combined\"; did you mean \
                 \"json\"?"],
        ),
        (
            "[limits]\nidle_timeout = 30",
            &["2:16: `idle_timeout` is a time above 0 such as \"30s\", \"250ms\" or \"1h\", at most 7d; \
                 this is the number 30"],
        ),
        (
            "[limits]\nidle_timeout = \"0\"",
            &["2:16: `idle_timeout` is a time above 0 such as \"30s\", \"250ms\" or \"1h\", at most 7d; \
                 this is \"0\""],
        ),
        (
            "[limits]\nidle_timeout = \"8d\"",
            &["2:16: `idle_timeout` is a time above 0 such as \"30s\", \"250ms\" or \"1h\", at most 7d; \
                 this is \"8d\""],
        ),
        (
            "[limits]\nrate_min = \"10\"",
            &["2:12: `rate_min` is a rate such as \"240 B/s\" or \"1 MiB/s\"; this is \"10\""],
        ),
        (
            "[limits]\nbody_size = \"lots\"",
            &["2:13: `body_size` is a number of bytes such as 8192, \"16 KiB\" or \"64 MiB\"; or \
                 \"none\"; this is \"lots\""],
        ),
        (
            "[limits]\nhead_size = \"1 KiB\"\nrequest_line_size = \"2 KiB\"",
            &["3:21: the request line is larger than the whole head, which has 1024 bytes at the most; \
                 raise head_size as well, or leave request_line_size out"],
        ),
        (
            "filters = [\"gzip\"]",
            &["1:12: there is no `gzip` for `filters`; no such word; there are request_id, \
                 security_headers, cors, \
                 compress, timeout, headers, error_pages, basic_auth, https"],
        ),
        ("filters = [\"basic_auth\"]", &["1:12: `basic_auth` has options; write { basic_auth = … }"]),
        (
            "filters = [{ }]",
            &["1:12: a filter is one key with its options; write one of FILTERS; give each its own { … }"],
        ),
        (
            "filters = [{ cors = {}, compress = {} }]",
            &["1:12: a filter is one key with its options; `cors` and `compress` are 2; give each its own \
                 { … }"],
        ),
        (
            "filters = [{ hedaers = {} }]",
            &["1:14: unknown key `hedaers` in a filter; did you mean `headers`?; the keys here are FILTERS"],
        ),
        (
            "filters = [{ headers = { \"X A\" = \"b\" } }]",
            &["1:34: a response field's name holds byte 0x20; use letters, digits and hyphens"],
        ),
        (
            "filters = [{ headers = { X-A = \"a\\nb\" } }]",
            &["1:32: a response field's value holds control byte 0x0a; remove or encode it"],
        ),
        ("filters = [{ headers = [\"X-A\"] }]", &["1:25: this is no field; write \"Name: value\""]),
        (
            "filters = [{ error_pages = { 200 = \"a.html\" } }]",
            &["1:30: `200` is no status of an error; errors are 400 to 599"],
        ),
        (
            "filters = [{ cors = { credentials = true } }]",
            &["1:11: CORS with credentials needs a list of origins; a response to any origin cannot have \
                 them"],
        ),
        (
            "filters = [{ https = { hsts = \"1d\" } }]",
            &["1:31: hsts depends on the certificates of one TLS configuration; name it: tls = \"NAME\", \
                 and [tls.NAME] with its certificates"],
        ),
        (
            "files = { root = \"x\", lst = true }",
            &["1:23: unknown key `lst` in a directory of files; did you mean `list`?; the keys here are \
                 FILES"],
        ),
        ("files = { list = true }", &["1:9: a directory of files has no `root`; add `root`: The directory."]),
        (
            "files = 5",
            &["1:9: `files` is a path in quotes; or a directory of files: a table with FILES; this is the \
                 number 5"],
        ),
        (
            "files = { root = \"x\", index = [\"a\", \"a\"] }",
            &["1:31: the index file a is named twice; name each file once"],
        ),
        (
            "files = { root = \"x\", download = \"[a]\" }",
            &["1:34: `[a]` is no pattern of names; patterns know *, ** and ?, and no [ ] { } or \\; write \
                 ? for one character"],
        ),
        (
            "files = \"x\"\nrespond = \"y\"",
            &["2:1: `files` and `respond` exclude each other; keep one of them, or give the other a route \
                 of its own"],
        ),
        ("respond = { text = \"a\", html = \"b\" }", &["1:25: `text` and `html` are both the body"]),
        ("respond = { json = \"{\" }", &["1:20: this is no JSON, at line 1, column 1 of it"]),
        ("respond = { status = 204, text = \"a\" }", &["1:11: a response with the status 204 has no body"]),
        (
            "respond = { status = 100 }",
            &["1:22: `status` is a whole number from 200 to 999; this is the number 100"],
        ),
        (
            "redirect = { to = \"/x\", status = 304 }",
            &["1:12: 304 is not the status of a redirect; use 301, 302, 303, 307 or 308"],
        ),
        (
            "respond = { file = \"no-such-file\" }",
            &["1:20: cannot read no-such-file: No such file or directory (os error 2); name a small text \
                 file that this user may read"],
        ),
        (
            "respond = { text = { file = \"a\", more = 1 } }",
            &["1:20: a text from a file is written { file = \"…\" }, with nothing else"],
        ),
        (
            "[[route]]\nrespond = \"x\"",
            &["1:1: this route has no `path`; add path = \"/…\", or prefix = \"/…\""],
        ),
        ("[[route]]\npath = \"/a\"", &["1:1: this route has nothing that answers; add one of HANDLERS"]),
        ("[[route]]\npath = \"a\"\nrespond = \"x\"", &["2:8: a path begins with a slash"]),
        (
            "[[route]]\npath = \"/a\"\nprefix = \"/a\"\nrespond = \"x\"",
            &["3:1: `path` and `prefix` exclude each other; path matches exactly, prefix everything below \
                 as well"],
        ),
        (
            "[[route]]\nprefix = \"a\"\nrespond = \"x\"",
            &["2:10: this is no prefix of paths; write /like/this, decoded"],
        ),
        (
            "[[route]]\npath = \"/a\"\nmethods = [\"get\"]\nrespond = \"x\"",
            &["3:12: `get` is no method: they are case-sensitive; did you mean \"GET\"?"],
        ),
        (
            "[[route]]\npath = \"/a\"\nmethods = [\"G T\"]\nrespond = \"x\"",
            &["3:11: a method is letters, such as PROPFIND"],
        ),
        (
            "[[route]]\npath = \"/a\"\nmethods = [\"GET\", \"GET\"]\nrespond = \"x\"",
            &["3:19: the method GET is named twice; name each method once"],
        ),
        (
            "[[route]]\npath = \"/{a}\"\nrespond = \"x\"\n[[route]]\npath = \"/{b}\"\nrespond = \"y\"",
            &["5:8: it matches the same requests as (any method) /{a}; remove one or change its pattern"],
        ),
        (
            "[[route]]\npath = \"/\"\nrespond = \"x\"\nwhen.headers.X-A = \"1\"\n[[route]]\npath = \
             \"/\"\nrespond = \"x\"\nwhen.query.b = \"2\"",
            &["8:1: requests may fulfil its conditions and those of (any method) / when field X-A \
                 is \"1\", and neither has more; give one another"],
        ),
        (
            "[[route]]\npath = \"/\"\nrespond = \"x\"\nwhen.headers = { \"a b\" = true }",
            &["4:1: `a b` is no name of a field"],
        ),
        (
            "[[route]]\npath = \"/\"\nrespond = \"x\"\nwhen.query = { v = 1 }",
            &["4:20: `v` is true or false; or a text in quotes, or a list of such; or a beginning of \
                 values: a table with prefix; this is the number 1"],
        ),
        (
            "[[site]]\nrespond = \"x\"",
            &["1:1: a site has no `host`; add `host`: Its host, such as example.com, or *.example.com for \
                 every name below it; or several."],
        ),
        (
            "[[site]]\nhost = \"a b\"\nrespond = \"x\"",
            &["2:8: a host is example.com, or *.example.com for every name below it, without a port"],
        ),
        (
            "[[site]]\nhost = \"a.test\"\n[[site]]\nhost = \"A.test\"",
            &["4:8: another site has the host `A.test`; join the two sites"],
        ),
        (
            "[[test]]\nrequest = \"GET x\"\nexpect = { status = 200 }",
            &["2:11: this is no request; write \"GET /path\" or \"POST https://example.com/path\""],
        ),
        (
            "[[test]]\nrequest = \"/x\"\nexpect = {}",
            &["3:1: nothing is expected; add status, route, upstream or others"],
        ),
        (
            "[[test]]\nrequest = \"/x\"\nexpect = { stauts = 200 }",
            &["3:12: unknown key `stauts` in an expectation; did you mean `status`?; the keys here are \
                 status, headers, body, site, route, upstream, path"],
        ),
        (
            "include = \"no-such-file.toml\"",
            &["1:11: cannot read no-such-file.toml: No such file or directory (os error 2)"],
        ),
        (
            "include = \"*/x.toml\"",
            &["1:11: a pattern stands in the last part of a path alone; write sites/*.toml, and one such \
                 pattern for each directory"],
        ),
        (
            "respond = \"${NOT_SET}\"",
            &["1:11: the variable NOT_SET is not set; set it before the start, or give it a default: \
                 ${NOT_SET:-value}"],
        ),
        (
            "respond = \"${\"",
            &["1:11: `${` has no `}`; write ${NAME}, with letters, digits and underscores; a plain `${` \
                 is written `$${`"],
        ),
        (
            "respond = \"${a b}\"",
            &["1:11: `a b` is no name of a variable; write ${NAME}, with letters, digits and underscores; \
                 a plain `${` is written `$${`"],
        ),
    ] {
        assert_eq!(lines(text, Depth::Structure), expected, "\n{text}");
    }
}

#[test]
fn each_kind_of_upstreams_and_proxies_too() {
    for (text, expected) in [
        ("proxy = \"api\"", &["1:9: there is no upstream `api`; add [upstreams.api] with its endpoints"][..]),
        (
            "proxy = \"apo\"\n[upstreams.api]\nendpoints = \"127.0.0.1:1\"",
            &["1:9: there is no upstream \
            `apo`; did you mean \"api\"?"],
        ),
        (
            "proxy = \"http://127.0.0.1:9001\"",
            &["1:9: this is no endpoint; write HOST:PORT without a scheme, or the name of an upstream, \
            which may have `tls`"],
        ),
        (
            "proxy = \"127.0.0.1:\"",
            &["1:9: this is no endpoint; write HOST:PORT, unix:PATH, or the name of \
            an upstream"],
        ),
        (
            "proxy = { host = \"endpoint\" }",
            &["1:9: a proxy has no `to`; add `to`: The name of an upstream, \
            HOST:PORT or unix:PATH; or several names with their shares."],
        ),
        (
            "proxy = { to = { \"a:1\" = 0 } }",
            &["1:16: no upstream has a share above 0; write { stable = 95, \
            canary = 5 }"],
        ),
        (
            "proxy = { to = \"a:1\", strip_prefix = \"api\" }",
            &["1:38: a prefix of paths begins with a \
            slash; write /like/this, percent-encoded"],
        ),
        (
            "proxy = { to = \"a:1\", trusted = \"10.0.0.0/33\" }",
            &["1:33: this is no network; write an \
            address with a prefix, such as 10.0.0.0/8, or \"unix\""],
        ),
        (
            "proxy = { to = \"a:1\", forwarded = \"x-forward\" }",
            &["1:35: `forwarded` is \"x-forwarded\", \
            \"forwarded\", \"both\" or \"none\"; did you mean \"x-forwarded\"?"],
        ),
        (
            "proxy = { to = \"a:1\", host = \"a b\" }",
            &["1:9: `a b` is no host; write a name or an address, \
            with or without a port"],
        ),
        (
            "proxy = { to = \"a:1\", set_headers = { Host = \"b\" } }",
            &["1:9: the field `Host` cannot be set \
            or removed: names are tokens, values have no control bytes, and fields of framing and \
            connection are the proxy's"],
        ),
        (
            "proxy = { to = \"a:1\", remove_headers = \"Content-Length\" }",
            &["1:9: the field \
            `Content-Length` cannot be set or removed: names are tokens, values have no control bytes, and \
            fields of framing and connection are the proxy's"],
        ),
        (
            "[upstreams.a]",
            &["1:1: an upstream has no `endpoints`; add `endpoints`: Its servers: HOST:PORT \
            or unix:PATH, alone or with options."],
        ),
        (
            "[upstreams.a]\nendpoints = []",
            &["2:13: an upstream has at least one endpoint; write HOST:PORT \
            or unix:PATH"],
        ),
        (
            "[upstreams.a]\nendpoints = [\"a\", \"a:0\"]",
            &[
                "2:14: this is no endpoint; write HOST:PORT, such \
            as 127.0.0.1:9001, unix:PATH or srv:NAME",
                "2:19: this is no endpoint; write HOST:PORT, such as \
            127.0.0.1:9001, unix:PATH or srv:NAME",
            ],
        ),
        (
            "[upstreams.a]\nendpoints = \"srv:a..b\"\nresolver = \"ns.test\"",
            &[
                "2:13: this is no endpoint; write HOST:PORT, such as 127.0.0.1:9001, unix:PATH or srv:NAME",
                "3:12: this is no address of a name server; write an IP address, such as 10.0.0.2, or with a \
            port 10.0.0.2:5353",
            ],
        ),
        (
            "[upstreams.a]\nendpoints = [\"a:1\", { address = \"a:1\", weight = 2 }]",
            &["2:33: this endpoint \
            is given twice; give one of them the sum of the weights"],
        ),
        (
            "[upstreams.a]\nendpoints = [{ address = \"a:1\", wieght = 2 }]",
            &["2:33: unknown key `wieght` in \
            an endpoint; did you mean `weight`?; the keys here are address, weight, backup, down, zone"],
        ),
        (
            "[upstreams.a]\nendpoints = \"a:1\"\nbalance = \"random\"",
            &["3:11: there is no `random` for \
            `balance`; no such word; there are power_of_two, round_robin, least_requests, hash, rendezvous"],
        ),
        (
            "[upstreams.a]\nendpoints = \"a:1\"\nbalance = { hash = \"query\" }",
            &["3:20: there is no `query` \
            for `hash`; no such word; there are path, client_address, header, cookie"],
        ),
        (
            "[upstreams.a]\nendpoints = \"a:1\"\nsticky = { secret = \"short\" }",
            &["3:21: the key of a \
            cookie has at least 16 characters; make one with: openssl rand -base64 32"],
        ),
        (
            "[upstreams.a]\nendpoints = \"a:1\"\nchecks = \"health\"",
            &["3:10: this is no health check; write \
            a path such as /health, \"tcp\" or \"grpc\""],
        ),
        (
            "[upstreams.a]\nendpoints = \"a:1\"\nchecks = { path = \"/\", tcp = true }",
            &["3:12: `path` and \
            `tcp` exclude each other; a check asks one thing"],
        ),
        (
            "[upstreams.a]\nendpoints = \"a:1\"\nchecks = { statuses = [\"299-200\", 700] }",
            &[
                "3:24: this is \
            no status; write 503, or a range such as \"500-599\"",
                "3:35: this is no status; write 503, or \
            a range such as \"500-599\"",
            ],
        ),
        (
            "[upstreams.a]\nendpoints = \"a:1\"\npool = { queue = 5 }",
            &["3:10: `queue` needs `connections`; \
            without a limit of connections no request of HTTP/1.1 waits for one"],
        ),
        (
            "[upstreams.a]\nendpoints = \"a:1\"\ntls = {}\nprotocol = \"http1\"\n\
             pool = { queue_time = \"1s\" }",
            &["5:10: `queue_time` needs `connections`; \
            without a limit of connections no request of HTTP/1.1 waits for one"],
        ),
        (
            "[upstreams.a]\nendpoints = \"a:1\"\ntls = { key = \"k.pem\" }",
            &["3:9: `key` needs \
            `certificate`; name the certificate that this is the key of"],
        ),
        (
            "[upstreams.a]\nendpoints = \"a:1\"\nejection = { latency_factor = -1 }",
            &["3:31: \
            `latency_factor` is a number such as 1.9, not negative; this is the number -1"],
        ),
        (
            "[upstreams.a]\nendpoints = \"a:1\"\nretries = { budget = 101 }",
            &["3:22: `budget` is a whole \
            number from 0 to 100; this is the number 101"],
        ),
        (
            "[upstreams.a]\nendpoint = \"a:1\"",
            &[
                "1:1: an upstream has no `endpoints`; add `endpoints`: Its \
            servers: HOST:PORT or unix:PATH, alone or with options.",
                "2:1: unknown key `endpoint` in an \
            upstream; did you mean `endpoints`?; the keys here are UPSTREAM",
            ],
        ),
        ("[upstreams.\"\"]\nendpoints = \"a:1\"", &["1:1: an upstream has a name; write [upstreams.NAME]"]),
    ] {
        assert_eq!(lines(text, Depth::Structure), expected, "\n{text}");
    }
}

#[test]
fn what_is_not_there_is_found_by_a_check() {
    for (text, expected) in [
        (
            "files = \"no-such-dir\"",
            &["1:9: cannot serve no-such-dir: there is no such directory; check the spelling, or make it \
                 with mkdir"][..],
        ),
        (
            "filters = [{ basic_auth = \"no-such-file\" }]",
            &["1:11: no-such-file: there is no such file of users; make one with `htpasswd -cB FILE NAME`"],
        ),
        (
            "filters = [{ error_pages = { 404 = \"no-such-file\" } }]",
            &["1:11: cannot use the error page no-such-file: there is no such file; write it, or name \
                 another as STATUS=FILE"],
        ),
        (
            "[tls.a]\ncertificates = \"no-such-file\"",
            &["2:16: no-such-file: there is no such file; check the spelling, or make a certificate with \
                 `quoit cert`"],
        ),
        (
            "files = \".\"\naccess_log = \"access.log\"",
            &["1:9: the access log access.log would be served as /access.log, because it is below .: move \
                 it out of that directory, or into one below it whose name begins with a dot, which is not \
                 served"],
        ),
    ] {
        assert_eq!(lines(text, Depth::Check), expected, "\n{text}");
    }
}
