//! Deployments: the root is a link that is switched, or a directory that is replaced; and links out of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use quoit::handler::FilesOptions;

use crate::common::{Client, Hosted, lenient, serve_files, serve_files_with};
use crate::site::{SECRET, Site};

const NOTICED_WITHIN: Duration = Duration::from_secs(1);

fn write(path: &Path, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn get(server: &Hosted, target: &str) -> crate::common::Response {
    Client::connect(server.addr).get(target, "")
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
    thread::sleep(Duration::from_millis(60));
    get(&server, "/").is(200, "one");
    switch(&dir.path().join("current"), "two");
    thread::sleep(NOTICED_WITHIN);
    get(&server, "/").is(200, "two");
    get(&server, "/large").is(200, "two".repeat(400_000));
    get(&server, "/gone").has_status(404);
    get(&server, "/new").is(200, "new");
    // And back, to the directory that the server once had open.
    switch(&dir.path().join("current"), "one");
    thread::sleep(NOTICED_WITHIN);
    get(&server, "/").is(200, "one");
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
        thread::sleep(NOTICED_WITHIN);
        get(&server, "/").has_status(404);
        fs::create_dir(&root).unwrap();
        write(&root.join("index.html"), release);
        thread::sleep(Duration::from_millis(100));
        get(&server, "/").is(200, release);
    }
    // By one of the same name, moved over it.
    write(&dir.path().join("next/index.html"), "four");
    fs::rename(&root, dir.path().join("old")).unwrap();
    fs::rename(dir.path().join("next"), &root).unwrap();
    thread::sleep(NOTICED_WITHIN);
    get(&server, "/").is(200, "four");
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
    thread::scope(|scope| {
        let switching = scope.spawn(|| {
            // Periods that no check of the server's falls in step with; it ends with the first release.
            for round in 0..40 {
                switch(&link, if round % 2 == 0 { "b" } else { "a" });
                thread::sleep(Duration::from_millis(40 + 13 * (round % 11)));
            }
        });
        let mut client = Client::connect(server.addr);
        while !switching.is_finished() {
            let response = client.get("/app.js", "Accept-Encoding: br\r\n");
            let seen = (response.text(), response.field("content-encoding").map(str::to_owned));
            let is_whole = matches!(
                (&*seen.0, seen.1.as_deref()),
                ("coded a", Some("br")) | ("plain b, which has no other form", None)
            );
            assert!(is_whole, "{seen:?}");
            let tag = response.field("etag").unwrap().to_owned();
            assert_eq!(tags.entry(tag).or_insert_with(|| seen.0.clone()), &seen.0);
        }
    });
    assert_eq!(tags.len(), 2, "both were seen");
    // The last one stays.
    let began = Instant::now();
    thread::sleep(NOTICED_WITHIN.saturating_sub(began.elapsed()));
    get(&server, "/app.js").is(200, "plain a");
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
    thread::sleep(NOTICED_WITHIN);
    for _ in 0..16 {
        get(&server, "/").is(200, "two");
    }
}
