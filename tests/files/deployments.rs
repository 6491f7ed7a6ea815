//! Deployments: the root is a link that is switched, or a directory that is replaced; and links out of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use quoit::handler::FilesOptions;

use crate::common::{Client, Hosted, eventually, lenient, serve_files, serve_files_with, time_passes};
use crate::site::{SECRET, Site};

const NOTICED_WITHIN: Duration = Duration::from_secs(1);

fn write(path: &Path, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn get(server: &Hosted, target: &str) -> crate::common::Response {
    Client::connect(server.addr).get(target, "")
}

/// Waits until this content is served.
#[track_caller]
fn get_until(server: &Hosted, target: &str, content: &str) {
    Client::connect(server.addr).get_until(target, "", |response| response.body == content.as_bytes());
}

/// Makes the link lead elsewhere in one step, as `ln -sfn` followed by a rename does.
fn switch(link: &Path, target: &str) {
    let new = link.with_extension("new");
    symlink(target, &new).unwrap();
    fs::rename(&new, link).unwrap();
}

#[test]
fn a_link_that_is_switched() {
    let dir = tempfile::tempdir().unwrap();
    for release in ["one", "two"] {
        write(&dir.path().join(release).join("index.html"), release);
        write(&dir.path().join(release).join("large"), release.repeat(400_000));
    }
    write(&dir.path().join("one/gone"), "gone");
    write(&dir.path().join("two/new"), "new");
    symlink("one", dir.path().join("current")).unwrap();
    let server = serve_files(lenient(), &dir.path().join("current"));
    // In memory, held open, and not there.
    get(&server, "/").is(200, "one");
    get(&server, "/large").is(200, "one".repeat(400_000));
    get(&server, "/gone").is(200, "gone");
    get(&server, "/new").has_status(404);
    switch(&dir.path().join("current"), "two");
    time_passes(NOTICED_WITHIN, "the promise: a second later nothing of the old release is left");
    get(&server, "/").is(200, "two");
    get(&server, "/large").is(200, "two".repeat(400_000));
    get(&server, "/gone").has_status(404);
    get(&server, "/new").is(200, "new");
    // And back, to the directory that the server once had open.
    switch(&dir.path().join("current"), "one");
    get_until(&server, "/", "one");
}

#[test]
fn a_directory_that_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("dist");
    write(&root.join("index.html"), "one");
    let server = serve_files(lenient(), &root);
    for release in ["two", "three"] {
        get(&server, "/").has_status(200);
        fs::remove_dir_all(&root).unwrap();
        eventually("nothing is there", || get(&server, "/").status == 404);
        fs::create_dir(&root).unwrap();
        write(&root.join("index.html"), release);
        get_until(&server, "/", release);
    }
    // By one of the same name, moved over it.
    write(&dir.path().join("next/index.html"), "four");
    fs::rename(&root, dir.path().join("old")).unwrap();
    fs::rename(dir.path().join("next"), &root).unwrap();
    get_until(&server, "/", "four");
}

/// While a link is switched to and fro, every response is of one release: its content, its tag and the coding
/// that lies beside it.
#[test]
fn one_response_is_of_one_release() {
    let dir = tempfile::tempdir().unwrap();
    // The first has a sibling; in the second the file itself says that it has none.
    write(&dir.path().join("a/app.js"), "plain a");
    write(&dir.path().join("a/app.js.br"), "coded a");
    write(&dir.path().join("b/app.js"), "plain b, which has no other form");
    let link = dir.path().join("current");
    symlink("a", &link).unwrap();
    let server = serve_files(lenient(), &link);
    let mut tags = std::collections::HashMap::new();
    // Responses, and the release of the last one.
    let (asked, seen) = (AtomicUsize::new(0), AtomicU8::new(b'a'));
    thread::scope(|scope| {
        let switching = scope.spawn(|| {
            // Without a pause, so that a switch falls into any step of a look-up; then one stays until it is
            // seen. It ends with the first one.
            for last in ["b", "a"].repeat(2) {
                let enough = asked.load(Ordering::Relaxed) + 100;
                eventually("a hundred responses", || {
                    for release in ["a", "b"].repeat(20) {
                        switch(&link, release);
                    }
                    asked.load(Ordering::Relaxed) > enough
                });
                switch(&link, last);
                eventually("the release that stays", || seen.load(Ordering::Relaxed) == last.as_bytes()[0]);
            }
        });
        let mut client = Client::connect(server.addr);
        while !switching.is_finished() {
            let response = client.get("/app.js", "Accept-Encoding: br\r\n");
            let text = response.text();
            let release = match (&*text, response.field("content-encoding")) {
                ("coded a", Some("br")) => b'a',
                ("plain b, which has no other form", None) => b'b',
                mixed => panic!("{mixed:?}"),
            };
            let tag = response.field("etag").unwrap().to_owned();
            assert_eq!(tags.entry(tag).or_insert_with(|| text.clone()), &text);
            seen.store(release, Ordering::Relaxed);
            asked.fetch_add(1, Ordering::Relaxed);
        }
    });
    assert_eq!(tags.len(), 2, "both were seen");
    // The last one stays.
    get_until(&server, "/app.js", "plain a");
}

#[test]
fn links_out_of_the_root_are_followed_on_request_alone() {
    let options = FilesOptions { follow_links: true, list: true, ..FilesOptions::default() };
    let site = Site::with_options(1, options);
    symlink("../secret", site.path("out")).unwrap();
    symlink(site.outside(), site.path("around")).unwrap();
    symlink("/proc/self/exe", site.path("magic")).unwrap();
    let mut client = site.connect();
    client.get("/out", "").is(200, SECRET);
    client.get("/around/secret", "").is(200, SECRET);
    client.get("/magic", "").has_status(404);
    let listed = client.get("/", "").text();
    assert!(
        listed.contains("./out") && listed.contains("./around/") && !listed.contains("magic"),
        "{listed}"
    );
    // Paths still cannot ascend.
    client.get("/around/%2e%2e/secret", "").has_status(400);
}

#[test]
fn every_core_notices() {
    let dir = tempfile::tempdir().unwrap();
    for release in ["one", "two"] {
        write(&dir.path().join(release).join("index.html"), release);
    }
    let link = dir.path().join("current");
    symlink("one", &link).unwrap();
    let server = serve_files_with(2, lenient(), &link, FilesOptions::default());
    for _ in 0..16 {
        get(&server, "/").is(200, "one");
    }
    switch(&link, "two");
    time_passes(
        NOTICED_WITHIN,
        "the promise holds on every core, and which one answers is the kernel's choice",
    );
    for _ in 0..16 {
        get(&server, "/").is(200, "two");
    }
}
