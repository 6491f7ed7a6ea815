//! What is on unchanged routes.

use std::time::Duration;

use crate::common::{eventually, pattern, until};
use crate::lab::Endpoint;
use crate::site::{DOWNLOAD_BYTES, Download, Load, Site, Tunnelled, endpoint};

const RELOADS: usize = 50;
const TUNNELS: usize = 120;
const DOWNLOADS: usize = 12;
const CLIENTS: usize = 4;

/// What an allocator may keep of 45 reloads; a configuration that is left each time is more.
const GROWTH_BYTES_MAX: usize = 6 << 20;

/// The same routes to `app`, and others that differ each time.
fn version(app: &[&Endpoint; 2], number: usize) -> String {
    let [one, other] = app.map(|endpoint| endpoint.addr);
    let mut text = format!(
        "proxy = \"app\"\n[upstreams.app]\nendpoints = [\"{one}\", \"{other}\"]\n\
         [upstreams.passing-{number}]\nendpoints = [\"127.0.0.1:1\"]\n\
         [[route]]\nprefix = \"/ws\"\nproxy = \"app\"\n[[route]]\npath = \"/down\"\nproxy = \"app\"\n\
         [[route]]\npath = \"/version\"\nrespond = \"{number}\"\n\
         [[route]]\npath = \"/passing/{number}\"\nproxy = \"passing-{number}\"\n"
    );
    for route in 0..100 {
        text += &format!("[[route]]\npath = \"/many/{route}\"\nrespond = \"{number} {route}\"\n");
    }
    text
}

#[test]
fn fifty_reloads_disturb_nothing_that_did_not_change() {
    let (one, other) = (endpoint(), endpoint());
    let app = [&one, &other];
    let content = pattern(DOWNLOAD_BYTES);
    let site = Site::start(&version(&app, 0));
    let addr = site.addr();
    // What an administrator has set is state of an endpoint, too: it gets nothing, whatever is reloaded.
    site.admin(&["drain", &other.addr.to_string()]);
    // The first reload starts threads that stay.
    site.admin(&["reload"]);
    let descriptors_idle = site.descriptors();

    let load = Load::begin(addr, CLIENTS, Duration::from_millis(3));
    let mut tunnels: Vec<_> = (0..TUNNELS).map(|_| Tunnelled::open(addr, "/ws")).collect();
    let mut downloads: Vec<_> = (0..DOWNLOADS).map(|_| Download::begin(addr, "/down")).collect();
    // Each core uses all its receive buffers, whose pages count from then on: what grows later is not theirs.
    downloads.iter_mut().for_each(|download| download.read_to(DOWNLOAD_BYTES / 4));
    let mut before = None;
    for number in 1..=RELOADS {
        let report = site.reload(&version(&app, number));
        assert!(report.contains("route any /version"), "{report}");
        let answer = crate::server::get(addr, "/version");
        assert_eq!(answer.body, number.to_string().as_bytes(), "in force once the command has ended");
        for (index, tunnel) in tunnels.iter_mut().enumerate().filter(|(index, _)| index % 5 == number % 5) {
            tunnel.echoes((index + number) as u8);
        }
        let read = DOWNLOAD_BYTES / 4 * (RELOADS + number) / RELOADS;
        downloads.iter_mut().for_each(|download| download.read_to(read));
        if number == 5 {
            before = Some((site.resident_bytes(), site.descriptors(), site.threads(), one.seen.accepted()));
        }
    }
    let (resident, descriptors, threads, accepted) = before.expect("there were more than five");
    // Each client's exchange may have found the kept connections of its core in use, but no pool was lost.
    let opened = one.seen.accepted() - accepted;
    assert!(opened <= CLIENTS, "{opened} new connections to an endpoint that did not change");
    assert_eq!(other.seen.requests(), 0, "a drained endpoint");
    assert!(site.threads() <= threads, "{} threads, {threads} before", site.threads());
    eventually("the descriptors of former configurations are closed", || {
        site.descriptors() <= descriptors + CLIENTS
    });
    let grown = site.resident_bytes().saturating_sub(resident);
    assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes more");

    downloads.into_iter().for_each(|download| download.finish(&content));
    tunnels.iter_mut().for_each(|tunnel| tunnel.echoes(b'z'));
    assert!(load.end() > RELOADS);
    drop(tunnels);
    // What stays are the kept connections to the endpoint.
    let mut seen = (0, 0);
    let is_back = || {
        seen = (site.descriptors(), one.seen.open());
        (seen.0 <= descriptors_idle + seen.1 && seen.1 <= CLIENTS + DOWNLOADS + 2).then_some(())
    };
    until(&format!("descriptors, {descriptors_idle} before, are back"), is_back);
    assert!(site.server.stop().status.success());
}
