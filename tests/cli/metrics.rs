//! `GET /metrics` as a scraper reads it: the text format held against its rules, labels that clients do not
//! choose, counts that a reload keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use crate::server::{Server, get, quoit};
use crate::{site, text, until};

/// Series with their values, by name and labels as written.
type Series = BTreeMap<String, f64>;

/// Reads the text exposition format strictly: HELP and TYPE once and before the series of a family, which
/// stand together; no series twice; buckets that add up.
fn parsed(body: &str) -> Series {
    let (mut series, mut kinds, mut families) = (Series::new(), BTreeMap::new(), BTreeSet::new());
    let mut family = String::new();
    assert!(body.ends_with('\n'), "the last line has its end");
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a text");
            assert!(families.insert(name.to_owned()) && !help.is_empty(), "{line}");
            family = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a kind");
            assert_eq!(name, family);
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}");
        } else {
            let (name, value) = line.rsplit_once(' ').expect("a value");
            let base = name.split('{').next().expect("a name");
            let ends = ["_bucket", "_sum", "_count"].into_iter().filter(|_| kinds[&family] == "histogram");
            let base = ends.fold(base, |base, end| base.strip_suffix(end).unwrap_or(base));
            assert_eq!(base, family, "{line}");
            labels(name);
            let value: f64 = value.parse().expect("a number");
            assert!(series.insert(name.to_owned(), value).is_none(), "twice: {line}");
        }
    }
    let buckets = series.iter().filter(|(name, _)| name.contains("le=\"+Inf\""));
    for (name, count) in buckets {
        let (before, _) = name.split_once("le=\"+Inf\"").expect("filtered");
        let one = |(name, value): (&String, &f64)| {
            let bound = name.strip_prefix(before)?.strip_prefix("le=\"")?.strip_suffix("\"}")?;
            Some((bound.parse::<f64>().expect("a bound"), *value))
        };
        let mut bounds: Vec<(f64, f64)> = series.iter().filter_map(one).collect();
        bounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(bounds.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{bounds:?}");
        assert_eq!(bounds.last().expect("+Inf"), &(f64::INFINITY, *count));
        let whole = before.replace("_bucket{", "_count{");
        let whole = format!("{}}}", whole.trim_end_matches(','));
        assert_eq!(series[&whole], *count, "{whole}");
    }
    series
}

/// The labels of a series; their quotes and escapes are right.
fn labels(name: &str) -> Vec<(String, String)> {
    let Some((_, rest)) = name.split_once('{') else { return Vec::new() };
    let mut rest = rest.strip_suffix('}').expect("closed");
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (label, after) = rest.split_once("=\"").expect("a value");
        assert!(label.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next().expect("a quote at the end") {
                (at, '"') => break at,
                (_, '\\') => match chars.next().expect("an escape").1 {
                    'n' => value.push('\n'),
                    escaped @ ('"' | '\\') => value.push(escaped),
                    other => panic!("an escape of {other} in {name}"),
                },
                (_, char) => value.push(char),
            }
        };
        found.push((label.to_owned(), value));
        rest = after[end + 1..].strip_prefix(',').unwrap_or(&after[end + 1..]);
    }
    found
}

fn scrape(addr: SocketAddr) -> Series {
    let answer = get(addr, "/metrics");
    assert_eq!(answer.status, 200);
    assert!(
        answer.head.contains("Content-Type: text/plain; version=0.0.4; charset=utf-8"),
        "{}",
        answer.head
    );
    parsed(&String::from_utf8(answer.body).expect("UTF-8"))
}

/// Sends a request as it is, and returns its connection after the head of the response.
fn send(addr: SocketAddr, request: &str) -> (u16, TcpStream) {
    let stream = TcpStream::connect(addr).unwrap();
    (&stream).write_all(request.as_bytes()).unwrap();
    let mut reader = BufReader::with_capacity(1, &stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
    let status = head.split(' ').nth(1).unwrap_or_else(|| panic!("{head}")).parse().unwrap();
    drop(reader);
    (status, stream)
}

/// An upstream: events and tunnels that last, and answers by path.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut reader = BufReader::new(&stream);
                loop {
                    let mut head = String::new();
                    while reader.read_line(&mut head).unwrap_or(0) > 2 {}
                    let (answer, lasts) = match head.split(' ').nth(1) {
                        None => return,
                        Some("/events") => {
                            ("200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n", true)
                        }
                        Some("/tunnel") => {
                            ("101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", true)
                        }
                        Some("/broken") => ("500 Internal Server Error\r\nContent-Length: 0\r\n\r\n", false),
                        Some(_) => ("200 OK\r\nContent-Length: 2\r\n\r\nok", false),
                    };
                    let _ = (&stream).write_all(format!("HTTP/1.1 {answer}").as_bytes());
                    if lasts {
                        // Until the other side leaves.
                        let _ = reader.read_to_end(&mut Vec::new());
                    }
                }
            });
        }
    });
    addr
}

#[test]
fn routes_and_upstreams_are_measured_by_the_names_of_the_configuration() {
    let (dir, upstream) = (site(), upstream());
    let path = dir.path().join("quoit.toml");
    let config = |more: &str| {
        format!(
            "listen = \"127.0.0.1:0\"\nworkers = 2\nmetrics = \"127.0.0.1:0\"\nfiles = \".\"\n\
             [upstreams.app]\nendpoints = [\"{upstream}\"]\n\
             [[route]]\nprefix = \"/api\"\nproxy = {{ to = \"app\", strip_prefix = \"/api\" }}\n\
             [[route]]\npath = \"/q\"\nwhen.query.v = 'a\"\\'\nrespond = \"q\"\n{more}"
        )
    };
    let old = "[[route]]\npath = \"/old\"\nmethods = \"GET\"\nrespond = \"old\"\n[[site]]\nhost = \
               \"b.test\"\nproxy = \"gone\"\n[upstreams.gone]\nendpoints = [\"127.0.0.1:1\"]\n";
    fs::write(&path, config(old)).unwrap();
    let mut server = Server::start_command(quoit(&["run", "--config", text(&path)]));
    let line = server.wait_for("metrics at ");
    let metrics = line.split_once("http://").unwrap().1.trim_end_matches("/metrics").parse().unwrap();
    let addr = server.addr();

    // Nothing else is there.
    assert_eq!([get(metrics, "/").status, get(metrics, "/status").status], [404, 404]);
    assert_eq!(send(metrics, "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").0, 405);

    // What clients send is in no label, whatever it is.
    let before = scrape(metrics).len();
    for number in 0..60 {
        let request = format!(
            "M{number} /{number}\"\\? HTTP/1.1\r\nHost: h{number}.test\r\nUser-Agent: \"\\\r\nConnection: \
             close\r\n\r\n"
        );
        send(addr, &request.replace('M', ["X", "GET "][number % 2]).replace("GET 0", "GET"));
        get(addr, &format!("/api/{number}?{number}"));
    }
    let known = ["site", "route", "class", "le", "core", "upstream", "endpoint", "outcome"];
    let after = scrape(metrics);
    for (label, value) in after.keys().flat_map(|name| labels(name)) {
        assert!(known.contains(&&*label), "{label}");
        assert!(!value.contains("h1") && !value.contains("/1"), "{label} {value}");
    }
    // The histograms of routes that had no request yet, and classes that had none.
    assert!(after.len() < before + 150, "{before} {}", after.len());

    for (path, status) in [("/api/broken", 500), ("/old", 200), ("/q?v=a%22%5C", 200), ("/q", 404)] {
        assert_eq!(get(addr, path).status, status, "{path}");
    }
    assert_eq!(send(addr, "GET / HTTP/1.1\r\nHost: b.test\r\nConnection: close\r\n\r\n").0, 502);
    let upgrade = "GET /api/tunnel HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    let (status, tunnel) = send(addr, upgrade);
    assert_eq!(status, 101);
    let (status, events) = send(addr, "GET /api/events HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(status, 200);
    drop((tunnel, events));

    let of = |series: &Series, name: &str| series.get(name).copied();
    let api = "site=\"default\",route=\"any /api/{*rest}\"";
    let whole = format!("quoit_route_duration_seconds_count{{{api}}}");
    // 60 requests, and the one that was broken; the tunnel and the events are apart.
    let series = until("the end of what is endless", || {
        let series = scrape(metrics);
        (of(&series, &whole) == Some(61.0)).then_some(series)
    });
    let first = format!("quoit_route_first_byte_seconds_count{{{api}}}");
    for (name, value) in [
        (&*format!("quoit_route_responses_total{{{api},class=\"2xx\"}}"), 61.0),
        (&format!("quoit_route_responses_total{{{api},class=\"1xx\"}}"), 1.0),
        (&format!("quoit_route_responses_total{{{api},class=\"5xx\"}}"), 1.0),
        (&format!("quoit_route_endless_total{{{api}}}"), 2.0),
        (&first, 63.0),
        ("quoit_route_responses_total{site=\"b.test\",route=\"fallback\",class=\"5xx\"}", 1.0),
        ("quoit_route_responses_total{site=\"default\",route=\"GET /old\",class=\"2xx\"}", 1.0),
        ("quoit_upstream_first_byte_seconds_count{upstream=\"app\"}", 63.0),
        ("quoit_upstream_retries_total{upstream=\"app\"}", 0.0),
    ] {
        assert_eq!(of(&series, name), Some(value), "{name}: {series:#?}");
    }
    assert!(of(&series, "quoit_upstream_connect_seconds_count{upstream=\"app\"}") > Some(0.0));
    let escaped = "any /q when query parameter v is \"a\\\"\\\\\"";
    let is_it = |name: &&String| labels(name).contains(&("route".to_owned(), escaped.to_owned()));
    assert!(series.keys().any(|name| is_it(&name)), "{:?}", series.keys());
    let sum = |series: &Series, name: &str| {
        (0..2).map(|core| series[&format!("{name}{{core=\"{core}\"}}")]).sum::<f64>()
    };
    assert_eq!(sum(&series, "quoit_core_requests_total"), series["quoit_requests_total"]);
    assert_eq!(sum(&series, "quoit_core_connections_total"), series["quoit_connections_total"]);

    // What a reload keeps goes on from where it was, and what it removes goes.
    for number in 0..3 {
        fs::write(&path, config(&format!("[[route]]\npath = \"/new{number}\"\nrespond = \"new\"\n")))
            .unwrap();
        server.signal("HUP");
        until("the reload", || (get(addr, &format!("/new{number}")).status == 200).then_some(()));
        get(addr, "/api/again");
    }
    let series = until("the series of removed routes", || {
        let series = scrape(metrics);
        let has = |name: &str| series.keys().any(|key| key.contains(name));
        (!has("GET /old") && !has("b.test") && !has("upstream=\"gone\"") && !has("/new0")).then_some(series)
    });
    assert_eq!(of(&series, &whole), Some(64.0));
    assert_eq!(of(&series, "quoit_upstream_first_byte_seconds_count{upstream=\"app\"}"), Some(66.0));
    assert_eq!(of(&series, "quoit_reloads_total{outcome=\"served\"}"), Some(3.0));
    let ended = server.stop();
    assert!(ended.status.success(), "{ended:?}");
}

#[test]
fn a_metrics_address_that_is_taken_is_told() {
    let (dir, taken) = (site(), TcpListener::bind("127.0.0.1:0").unwrap());
    let path = dir.path().join("quoit.toml");
    let metrics = taken.local_addr().unwrap();
    fs::write(&path, format!("listen = \"127.0.0.1:0\"\nmetrics = \"{metrics}\"\nrespond = \"x\"\n"))
        .unwrap();
    let mut server = Server::start_command(quoit(&["run", "--config", text(&path)]));
    let line = server.wait_for("there is no listener for the metrics");
    assert!(line.contains(&metrics.port().to_string()), "{line}");
    assert_eq!(get(server.addr(), "/").status, 200);
    server.stop();
}
