//! Files that change while they are served: noticed within a second, validators with the content, and never a
//! mixture of two.

use std::collections::HashMap;
use std::fs;
use std::io::{Seek, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Broken, PATIENCE, pattern};
use crate::site::Site;

/// From here on no response may have the old content.
const NOTICED_WITHIN: Duration = Duration::from_secs(1);

/// Warms the cache, changes the file, and keeps asking: what is answered may be old for a second and is
/// consistent all the time. The last answer is returned, asked for after that second.
fn change(site: &Site, name: &str, old: &[u8], apply: impl FnOnce()) -> crate::common::Response {
    let mut client = site.connect();
    let target = format!("/{name}");
    let before = client.get(&target, "");
    before.is(200, old);
    // Checked just now, so that the change comes at the worst moment.
    let tag = before.field("etag").unwrap().to_owned();
    let mut contents: HashMap<String, Vec<u8>> = HashMap::from([(tag.clone(), old.to_vec())]);
    apply();
    let changed = Instant::now();
    // Time is tested here: the promise is a second.
    while changed.elapsed() < NOTICED_WITHIN {
        let response = client.get(&target, "");
        if response.status == 200 {
            let tag = response.field("etag").unwrap().to_owned();
            let known = contents.entry(tag).or_insert_with(|| response.body.clone());
            assert!(*known == response.body, "one tag, two contents");
        }
        client.stays_quiet(Duration::from_millis(40));
    }
    let after = client.get(&target, "");
    assert_ne!(after.field("etag"), Some(tag.as_str()), "the old validator");
    if after.status == 200 {
        // The old validators are worth nothing any more.
        client.get(&target, &format!("If-None-Match: {tag}\r\n")).is(200, &after.body);
        client.get(&target, &format!("If-Match: {tag}\r\n")).has_status(412);
        let new_tag = after.field("etag").unwrap();
        client.get(&target, &format!("If-None-Match: {new_tag}\r\n")).is(304, "");
    }
    client.still_serves();
    after
}

const OLD: &[u8] = b"the content as it was";
const NEW: &[u8] = b"the content as it is.";

fn site_with_old() -> Site {
    assert_eq!(OLD.len(), NEW.len(), "lengths give nothing away");
    Site::with(&[("file", OLD)])
}

#[test]
fn a_file_replaced_by_another() {
    let site = site_with_old();
    let after = change(&site, "file", OLD, || {
        site.write("new", NEW);
        fs::rename(site.path("new"), site.path("file")).unwrap();
    });
    after.is(200, NEW);
}

#[test]
fn a_file_replaced_by_one_with_the_same_time() {
    let site = site_with_old();
    let modified = fs::metadata(site.path("file")).unwrap().modified().unwrap();
    let after = change(&site, "file", OLD, || {
        site.write("new", NEW);
        fs::File::options().write(true).open(site.path("new")).unwrap().set_modified(modified).unwrap();
        fs::rename(site.path("new"), site.path("file")).unwrap();
    });
    after.is(200, NEW);
}

#[test]
fn a_file_rewritten_in_place() {
    let site = site_with_old();
    let after = change(&site, "file", OLD, || {
        let mut file = fs::File::options().write(true).open(site.path("file")).unwrap();
        file.write_all(NEW).unwrap();
    });
    after.is(200, NEW);
}

#[test]
fn a_file_truncated() {
    let site = site_with_old();
    let after = change(&site, "file", OLD, || {
        fs::File::options().write(true).open(site.path("file")).unwrap().set_len(3).unwrap();
    });
    after.is(200, &OLD[..3]);
}

#[test]
fn a_file_that_grows() {
    let site = site_with_old();
    let after = change(&site, "file", OLD, || {
        fs::File::options().append(true).open(site.path("file")).unwrap().write_all(b", and more").unwrap();
    });
    after.is(200, [OLD, b", and more"].concat());
}

#[test]
fn a_small_file_that_becomes_large_and_a_large_one_that_becomes_small() {
    let site = Site::with(&[("file", OLD), ("large", &pattern(1_000_000))]);
    thread::scope(|scope| {
        scope.spawn(|| {
            change(&site, "file", OLD, || site.write("file", pattern(900_000)))
                .is(200, pattern(900_000))
                .keeps()
                .status
        });
        scope.spawn(|| {
            change(&site, "large", &pattern(1_000_000), || site.write("large", NEW))
                .is(200, NEW)
                .keeps()
                .status
        });
    });
}

#[test]
fn a_file_deleted() {
    let site = site_with_old();
    change(&site, "file", OLD, || fs::remove_file(site.path("file")).unwrap()).has_status(404);
    // And one that appears is there at once: what does not exist is not remembered.
    site.write("file", NEW);
    site.get("/file").is(200, NEW);
}

#[test]
fn a_file_that_becomes_something_else() {
    let site = Site::with(&[("file", OLD), ("link", OLD), ("pipe", OLD)]);
    thread::scope(|scope| {
        scope.spawn(|| {
            let after = change(&site, "file", OLD, || {
                fs::remove_file(site.path("file")).unwrap();
                fs::create_dir(site.path("file")).unwrap();
            });
            after.has_status(301);
        });
        scope.spawn(|| {
            let after = change(&site, "pipe", OLD, || {
                fs::remove_file(site.path("pipe")).unwrap();
                let kind = rustix::fs::FileType::Fifo;
                let mode = rustix::fs::Mode::from_raw_mode(0o644);
                rustix::fs::mknodat(rustix::fs::CWD, site.path("pipe"), kind, mode, 0).unwrap();
            });
            after.has_status(404);
        });
        scope.spawn(|| {
            let after = change(&site, "link", OLD, || {
                fs::remove_file(site.path("link")).unwrap();
                std::os::unix::fs::symlink("../secret", site.path("link")).unwrap();
            });
            after.has_status(404);
        });
    });
}

#[test]
fn an_index_file_that_changes() {
    let site = Site::with(&[("index.html", OLD)]);
    change(&site, "", OLD, || site.write("index.html", NEW)).is(200, NEW);
}

#[test]
fn a_directory_moved_away() {
    let site = Site::with(&[("dir/file", OLD)]);
    change(&site, "dir/file", OLD, || fs::rename(site.path("dir"), site.path("elsewhere")).unwrap())
        .has_status(404);
}

#[test]
fn a_touched_file_has_another_date_and_the_same_tag() {
    let site = site_with_old();
    let before = site.get("/file");
    let earlier = std::time::SystemTime::now() - Duration::from_secs(1000);
    fs::File::options().write(true).open(site.path("file")).unwrap().set_modified(earlier).unwrap();
    let date = before.field("last-modified");
    let after = site.connect().get_until("/file", "", |response| response.field("last-modified") != date);
    after.is(200, OLD);
    assert_eq!(after.field("etag"), before.field("etag"));
}

/// From memory, and from the file whose content is in memory as well.
#[test]
fn many_changes_in_a_row_never_mix() {
    never_mix(40_000);
    never_mix(200_000);
}

fn never_mix(length: usize) {
    let site = Site::new();
    let version = |n: usize| vec![b'a' + (n % 26) as u8; length];
    site.write("file", version(0));
    let seen = AtomicUsize::new(0);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            // As long as it takes until the server has noticed some of them.
            let (mut n, began) = (0, Instant::now());
            while seen.load(Ordering::Relaxed) < 2 && began.elapsed() < PATIENCE {
                n += 1;
                site.write("new", version(n));
                fs::rename(site.path("new"), site.path("file")).unwrap();
            }
            n
        });
        let mut client = site.connect();
        let mut last = b'a';
        while !writer.is_finished() {
            let response = client.get("/file", "");
            response.has_status(200);
            let first = response.body[0];
            assert!(response.body.len() == length && response.body.iter().all(|byte| *byte == first));
            seen.fetch_add(usize::from(first != last), Ordering::Relaxed);
            last = first;
        }
        let newest = version(writer.join().unwrap());
        client.get_until("/file", "", |response| response.body == newest);
    });
}

/// What is sent from the file itself is what the file has, in parts too; memory serves while it is closed.
#[test]
fn content_in_memory_that_is_sent_from_its_file() {
    let (old, new) = (pattern(200_000), vec![b'n'; 200_000]);
    let site = Site::with(&[("file", &old)]);
    let mut client = site.connect();
    let began = Instant::now();
    // Time is tested here: longer than the file is held without a check.
    while began.elapsed() < 2 * NOTICED_WITHIN {
        client.get("/file", "").is(200, &old);
        client.get("/file", "Range: bytes=1000-99999\r\n").is(206, &old[1000..100_000]);
        client.stays_quiet(Duration::from_millis(20));
    }
    change(&site, "file", &old, || fs::write(site.path("file"), &new).unwrap()).is(200, &new);
    fs::remove_file(site.path("file")).unwrap();
    client.get_until("/file", "", |response| response.status == 404);
}

/// Begins a download that is far from over when it is left alone.
fn begin_download(site: &Site) -> crate::common::Client {
    let mut client = site.connect_narrow();
    client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").fill_some(50_000).unwrap();
    client
}

const LARGE: usize = 40 << 20;

#[test]
fn a_file_truncated_during_a_download_ends_it() {
    let site = Site::with(&[("large", &pattern(LARGE)), ("small", b"small")]);
    let mut client = begin_download(&site);
    fs::File::options().write(true).open(site.path("large")).unwrap().set_len(1000).unwrap();
    site.get("/small").is(200, "small");
    match client.try_response_to("GET") {
        Err(Broken::InBody(response, _)) => {
            assert_eq!(response.field("content-length"), Some(LARGE.to_string().as_str()));
            assert!(response.body.len() < LARGE);
        }
        outcome => panic!("{outcome:?}"),
    }
    site.get("/small").is(200, "small");
    site.get("/large").is(200, &pattern(LARGE)[..1000]);
}

#[test]
fn a_file_deleted_or_replaced_during_a_download_is_finished() {
    let site = Site::with(&[("large", &pattern(LARGE))]);
    let mut first = begin_download(&site);
    site.write("new", "new");
    fs::rename(site.path("new"), site.path("large")).unwrap();
    site.get("/large").is(200, "new");
    first.response().is(200, pattern(LARGE)).keeps();
    first.still_serves();
}

#[test]
fn a_file_that_grows_during_a_download_is_sent_as_announced() {
    let site = Site::with(&[("large", &pattern(LARGE))]);
    let mut client = begin_download(&site);
    let mut file = fs::File::options().append(true).open(site.path("large")).unwrap();
    file.write_all(b"GET / HTTP/1.1\r\n\r\n and more").unwrap();
    file.stream_position().unwrap();
    client.response().is(200, pattern(LARGE)).keeps();
    client.still_serves();
}
