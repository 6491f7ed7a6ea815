//! What is left of former configurations: nothing (case P35).

use std::fmt::Write as _;

use crate::common::{eventually, pattern};
use crate::lab::Endpoint;
use crate::site::{DOWNLOAD_BYTES, Download, Site, Tunnelled, endpoint};

const ROUTES: usize = 500;
const UPSTREAMS: usize = 50;
/// `QUOIT_TEST_RELOADS=300` for more.
const RELOADS: usize = 40;

/// What an allocator may keep; a configuration of this size that is left each time is far more.
const GROWTH_BYTES_MAX: usize = 8 << 20;

/// Routes and upstreams that stay, each with a check of its own, and one of each that is another each time.
fn version(app: &Endpoint, passing: &Endpoint, number: usize) -> String {
    let addr = app.addr;
    let mut text = format!(
        "[upstreams.app]\nendpoints = [\"{addr}\"]\n[[route]]\nprefix = \"/ws\"\nproxy = \"app\"\n\
         [[route]]\npath = \"/down\"\nproxy = \"app\"\n\
         [[route]]\npath = \"/passing\"\nproxy = \"passing-{number}\"\n[upstreams.passing-{number}]\n\
         endpoints = [\"{}\"]\nchecks = {{ path = \"/passing-{number}\", interval = \"200ms\" }}\n",
        passing.addr
    );
    for index in 0..UPSTREAMS {
        let check = format!("checks = {{ path = \"/check-{index}.\", interval = \"500ms\" }}");
        write!(text, "[upstreams.u{index}]\nendpoints = [\"{addr}\"]\n{check}\n").unwrap();
    }
    for index in 0..ROUTES {
        let version = if index % 10 == 0 { number } else { 0 };
        let handler = match index % 2 {
            0 => format!("respond = \"{version}\""),
            _ => format!("proxy = \"u{}\"", index / 2 % UPSTREAMS),
        };
        write!(text, "[[route]]\npath = \"/many/{index}/{version}\"\n{handler}\n").unwrap();
    }
    text
}

/// Checks of a path that the endpoint has seen.
fn checks(app: &Endpoint, path: &str) -> usize {
    (0..app.seen.requests()).filter(|index| app.seen.head(*index).contains(path)).count()
}

fn series(site: &Site) -> usize {
    site.ask_admin("/metrics").lines().filter(|line| !line.starts_with('#')).count()
}

#[test]
fn nothing_is_left_of_former_configurations() {
    let reloads = std::env::var("QUOIT_TEST_RELOADS").map_or(RELOADS, |count| count.parse().unwrap());
    let (app, passing) = (endpoint(), endpoint());
    let site = Site::start(&version(&app, &passing, 0));
    let mut tunnel = Tunnelled::open(site.addr(), "/ws");
    let mut download = Download::begin(site.addr(), "/down");
    let mut before = None;
    for number in 1..=reloads {
        site.reload(&version(&app, &passing, number));
        // The upstream that goes with the next reload has a kept connection then.
        assert_eq!(crate::server::get(site.addr(), "/passing").status, 200);
        tunnel.echoes(number as u8);
        download.read_to(number * DOWNLOAD_BYTES / reloads / 2);
        if number == 10 {
            eventually("the series of removed upstreams are gone", || {
                site.ask_admin("/metrics").matches("passing-").count() > 0
                    && !site.ask_admin("/metrics").contains("passing-9\"")
            });
            before = Some((site.resident_bytes(), site.threads(), series(&site)));
        }
        if [10, 40, 100, 300].contains(&number) {
            let (bytes, fds, threads) = (site.resident_bytes(), site.descriptors(), site.threads());
            println!("{number}: {} KiB, {fds} fds, {threads} threads, {} series", bytes >> 10, series(&site));
        }
    }
    let (resident, threads, known) = before.expect("there were more than ten");
    assert_eq!(site.threads(), threads);
    eventually("as many series as before", || series(&site) <= known);
    let grown = site.resident_bytes().saturating_sub(resident);
    assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes more");
    // Kept connections of removed upstreams are closed at once; this one and its checks have a few.
    eventually("connections of removed upstreams are closed", || passing.seen.open() <= 4);

    // Each upstream is checked by one: while the first is checked thrice, no other is by a multiple of it.
    let counts = || (0..UPSTREAMS).map(|index| checks(&app, &format!("/check-{index}."))).collect::<Vec<_>>();
    let began = counts();
    eventually("three checks", || checks(&app, "/check-0.") >= began[0] + 3);
    for (index, (now, began)) in counts().into_iter().zip(began).enumerate() {
        assert!(now - began <= 8, "{} checks of upstream {index}", now - began);
    }

    tunnel.echoes(b'z');
    download.finish(&pattern(DOWNLOAD_BYTES));
    drop(tunnel);
    let gone = "[[route]]\npath = \"/x\"\nrespond = \"x\"\n";
    site.reload(gone);
    eventually("all connections to endpoints are closed", || app.seen.open() + passing.seen.open() == 0);
    eventually("the series are gone", || !site.ask_admin("/metrics").contains("upstream=\"u"));
    assert!(site.server.stop().status.success());
}
