//! What is on removed and changed routes: it goes on for a time, and then it is cut.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{Client, assert_took, pattern};
use crate::lab::{Endpoint, get};
use crate::site::{DOWNLOAD_BYTES, Download, Site, Tunnelled, endpoint};

const DRAINS: Duration = Duration::from_secs(2);

fn routes(app: &Endpoint, routes: &str) -> String {
    format!(
        "[limits]\nreload_drain_timeout = \"2s\"\n[upstreams.app]\nendpoints = [\"{}\"]\n{routes}",
        app.addr
    )
}

fn proxied(path: &str, more: &str) -> String {
    format!("[[route]]\npath = \"{path}\"\nproxy = \"app\"\n{more}")
}

#[test]
fn what_is_in_progress_on_other_routes_is_cut_in_time_and_counted() {
    let app = endpoint();
    let kept = proxied("/ws-kept", "") + &proxied("/down-kept", "");
    let gone = ["/ws", "/down", "/never"].map(|path| proxied(path, "")).concat();
    let site = Site::start(&routes(&app, &(kept.clone() + &gone)));
    let addr = site.addr();
    let mut tunnels = [Tunnelled::open(addr, "/ws"), Tunnelled::open(addr, "/ws")];
    let mut tunnel_kept = Tunnelled::open(addr, "/ws-kept");
    let (mut download, mut download_kept) =
        (Download::begin(addr, "/down"), Download::begin(addr, "/down-kept"));
    let mut waits = Client::connect(addr);
    waits.send(get("/never"));
    crate::common::eventually("the request is at the endpoint", || app.seen.requests() == 6);

    // `/ws` and `/never` are removed, `/down` is changed.
    let changed = "[[route]]\npath = \"/down\"\nrespond = \"no more\"\n";
    let report = site.reload(&routes(&app, &(kept.clone() + changed)));
    let began = Instant::now();
    assert!(report.contains("in progress on unchanged routes, and goes on: 2"), "{report}");
    assert!(report.contains("limits.reload_drain_timeout: 4"), "{report}");
    assert_eq!(crate::server::get(addr, "/down").body, b"no more");
    assert_eq!(crate::server::get(addr, "/ws").status, 404);
    // What drains goes on, also over further reloads, which give it no more time.
    tunnels.iter_mut().for_each(|tunnel| tunnel.echoes(b'a'));
    download.read_to(DOWNLOAD_BYTES / 4);
    let report = site.reload(&routes(&app, &(kept.clone() + changed)));
    assert!(report.contains("goes on: 2") && report.contains("reload_drain_timeout: 4"), "{report}");
    tunnels[0].echoes(b'b');

    waits.response().has_status(503);
    assert_took(began, DRAINS - Duration::from_millis(500));
    download.ends_early();
    tunnels.into_iter().for_each(|mut tunnel| assert_eq!(tunnel.0.drain(), b""));
    let status: Value = serde_json::from_str(&site.admin(&["status"])).unwrap();
    assert_eq!(status["cut"], 4, "{status}");
    tunnel_kept.echoes(b'c');
    download_kept.read_to(DOWNLOAD_BYTES / 2);

    // What was kept is judged by later reloads, too.
    let report = site.reload(&routes(&app, &proxied("/down-kept", "")));
    assert!(report.contains("goes on: 1") && report.contains("reload_drain_timeout: 1"), "{report}");
    tunnel_kept.echoes(b'd');
    assert_eq!(tunnel_kept.0.drain(), b"");
    download_kept.finish(&pattern(DOWNLOAD_BYTES));
    let mut site = site;
    site.server.wait_for("responses, uploads or tunnels on routes that a reload removed or changed");
    assert!(site.server.stop().status.success());
}

#[test]
fn what_decides_about_new_requests_alone_disturbs_no_open_one() {
    let (app, other) = (endpoint(), endpoint());
    let config = |upstream: &str| {
        format!("[limits]\nreload_drain_timeout = \"2s\"\n{}[upstreams.app]\n{upstream}", proxied("/ws", ""))
    };
    let site = Site::start(&config(&format!("endpoints = [\"{}\"]\n", app.addr)));
    let mut tunnel = Tunnelled::open(site.addr(), "/ws");
    // A weight, another endpoint, checks, ejection, retries.
    let more = format!(
        "endpoints = [{{ address = \"{}\", weight = 3 }}, \"{}\"]\nbalance = \"round_robin\"\n\
         retries.tries = 2\nejection = {{ failures_in_a_row = 3 }}\n",
        app.addr, other.addr
    );
    let report = site.reload(&config(&more));
    assert!(report.contains("~ default site, route any /ws"), "{report}");
    assert!(report.contains("goes on: 1") && !report.contains("reload_drain_timeout"), "{report}");
    tunnel.echoes(b'a');
    // Its own endpoint goes.
    let report = site.reload(&config(&format!("endpoints = [\"{}\"]\n", other.addr)));
    assert!(!report.contains("goes on") && report.contains("reload_drain_timeout: 1"), "{report}");
    tunnel.echoes(b'b');
    assert_eq!(tunnel.0.drain(), b"");
    assert!(site.server.stop().status.success());
}

/// The one handler of a plan without routes, which needs no router.
#[test]
fn a_lone_fallback_is_a_route_like_others() {
    let app = endpoint();
    let site = Site::start(&routes(&app, "").replacen("[limits]", "proxy = \"app\"\n[limits]", 1));
    let mut tunnel = Tunnelled::open(site.addr(), "/ws");
    let again = site.admin(&["reload"]);
    assert!(again.contains("goes on: 1") && !again.contains("reload_drain_timeout"), "{again}");
    let report = site.reload(&routes(&app, "").replacen("[limits]", "respond = \"x\"\n[limits]", 1));
    assert!(!report.contains("goes on") && report.contains("reload_drain_timeout: 1"), "{report}");
    tunnel.echoes(b'a');
    assert_eq!(tunnel.0.drain(), b"");
    assert!(site.server.stop().status.success());
}

#[test]
fn a_stream_of_http2_is_cut_and_its_connection_is_not() {
    let app = endpoint();
    let kept = proxied("/down-kept", "");
    let site = Site::start(&routes(&app, &(kept.clone() + &proxied("/down", ""))));
    // Both on one connection; too slow to end within the time.
    let url = |path: &str| format!("http://{}{path}", site.addr());
    let mut curl = Command::new("curl")
        .args(["-sS", "--parallel", "--parallel-immediate", "--http2-prior-knowledge", "--max-time", "20"])
        .args(["-w", "%{url} %{exitcode} %{num_connects}\n", "--limit-rate", "3M"])
        .args(["-o", "/dev/null", &url("/down"), "-o", "/dev/null", &url("/down-kept")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("curl is installed");
    crate::common::eventually("both have begun", || app.seen.requests() == 2);
    let report = site.reload(&routes(&app, &kept));
    assert!(report.contains("goes on: 1") && report.contains("reload_drain_timeout: 1"), "{report}");
    assert!(curl.try_wait().unwrap().is_none());
    let ended = curl.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stdout).unwrap();
    let exit = |path: &str| {
        let line = said.lines().find(|line| line.starts_with(&format!("{} ", url(path)))).expect(&said);
        line.split(' ').nth(1).unwrap().to_owned()
    };
    // 92: the stream was reset.
    assert_eq!((exit("/down"), exit("/down-kept")), ("92".into(), "0".into()), "{said}");
    assert!(site.server.stop().status.success());
}
