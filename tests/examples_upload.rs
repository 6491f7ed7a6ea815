//! The upload example as a process, through its socket: what is stored, what leaves nothing behind, what
//! names pass, and that memory stays the same whatever flows through it.

mod common;

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use common::{Binary, Client, End, Response, eventually, example_path, pattern, until_within};
use serde_json::Value;

const MIB: u64 = 1024 * 1024;

/// Growth of the process that a hundred times as much in flight would exceed at once: a step per upload, the
/// ring's buffers, and what the allocator keeps.
const GROWTH_BYTES_MAX: u64 = 16 * MIB;

/// For the uploads of the largest test.
const UPLOADED_WITHIN: Duration = Duration::from_secs(120);

fn serve(dir: &Path, args: &[&str]) -> Binary {
    let args = [&["--dir", dir.to_str().unwrap()], args].concat();
    Binary::example("upload", &args)
}

/// Everything in the directory, hidden files too.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn put_head(path: &str, length: u64) -> String {
    format!("PUT {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n")
}

fn put(client: &mut Client, path: &str, body: &[u8]) -> Response {
    client.ask([put_head(path, body.len() as u64).as_bytes(), b"\r\n", body].concat())
}

/// A form with these files: names and contents.
fn form(files: &[(&str, &str)]) -> String {
    let mut body = String::new();
    for (name, data) in files {
        body += &format!(
            "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n{data}\r\n"
        );
    }
    body + "--x--\r\n"
}

fn post_head(length: u64) -> String {
    format!(
        "POST /files HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: \
         {length}\r\n"
    )
}

fn post(client: &mut Client, fields: &str, body: &str) -> Response {
    client.ask(format!("{}{fields}\r\n{body}", post_head(body.len() as u64)))
}

fn get(client: &mut Client, target: &str) -> Response {
    client.ask(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"))
}

fn detail(response: &Response) -> String {
    let document: Value = serde_json::from_slice(&response.body).expect("a problem document");
    document["detail"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn put_stores_a_body_under_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path(), &[]);
    let mut client = Client::connect(server.addr);
    let body = pattern(1_500_000);
    let made = put(&mut client, "/files/a%20b%C3%A4.bin", &body);
    made.is(201, r#"{"stored":[{"name":"a bä.bin","bytes":1500000}]}"#).keeps();
    assert!(fs::read(dir.path().join("a bä.bin")).unwrap() == body);
    // Again: in place of the first.
    put(&mut client, "/files/a%20b%C3%A4.bin", b"x").has_status(200);
    assert_eq!(fs::read(dir.path().join("a bä.bin")).unwrap(), b"x");
    // Unless that is not wanted.
    let head = put_head("/files/a%20b%C3%A4.bin", 1) + "If-None-Match: *\r\n\r\ny";
    assert_eq!(detail(client.ask(head).has_status(412)), "there is a file \"a bä.bin\" already");
    put(&mut client, "/files/empty", b"").is(201, r#"{"stored":[{"name":"empty","bytes":0}]}"#);
    get(&mut client, "/files").is(200, r#"[{"name":"a bä.bin","bytes":1},{"name":"empty","bytes":0}]"#);
    assert_eq!(fs::read(dir.path().join("a bä.bin")).unwrap(), b"x");
    // What was refused is removed beside the core.
    eventually("no temporary file is left", || names(dir.path()) == ["a bä.bin", "empty"]);
}

#[test]
fn a_form_is_stored_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path(), &[]);
    let mut client = Client::connect(server.addr);
    let two = form(&[("a", "1"), ("C:\\x\\b", "22")]);
    let stored = r#"{"stored":[{"name":"a","bytes":1},{"name":"b","bytes":2}]}"#;
    post(&mut client, "", &two).is(201, stored).keeps();
    let taken = post(&mut client, "", &form(&[("new", "1"), ("a", "x")]));
    assert_eq!(detail(taken.has_status(409)), "there is a file \"a\" already");
    post(&mut client, "", &form(&[("twice", "1"), ("twice", "2")])).has_status(409);
    let blank = form(&[("", "")]);
    assert_eq!(detail(post(&mut client, "", &blank).has_status(422)), "the form has no file");
    eventually("no more than the first two", || names(dir.path()) == ["a", "b"]);
    assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"1");

    // A browser without JavaScript is sent back to the page.
    let html = "Accept: text/html,application/xhtml+xml\r\nSec-Fetch-Site: same-origin\r\n";
    let seen = post(&mut client, html, &form(&[("c", "3")]));
    assert_eq!((seen.status, seen.field("location")), (303, Some("/")));
    let problem = post(&mut client, html, &form(&[("<i>", ""), ("c", "3")]));
    assert_eq!((problem.status, problem.field("content-type")), (409, Some("text/html; charset=utf-8")));
    post(&mut client, "Sec-Fetch-Site: cross-site\r\n", &form(&[("d", "4")])).has_status(403);
    eventually("no more than the first three", || names(dir.path()) == ["a", "b", "c"]);
}

#[test]
fn hostile_names_name_nothing() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("inner");
    fs::create_dir(&dir).unwrap();
    fs::create_dir(dir.join("folder")).unwrap();
    let server = serve(&dir, &[]);
    let mut client = Client::connect(server.addr);
    let long = "x".repeat(256);
    for name in [
        "a%2Fb",
        "a%5Cb",
        "%00",
        "a%0Ab",
        "a%1B%5B2J",
        ".hidden",
        "..%5c..",
        ".upload-1-1",
        "exe%E2%80%AEgpj.a",
        "%C2%85",
        &long,
    ] {
        let refused = put(&mut client, &format!("/files/{name}"), b"x");
        assert_eq!(refused.status, 400, "{name}: {}", refused.text());
        assert_eq!(refused.field("content-type"), Some("application/problem+json"));
    }
    put(&mut client, "/files/%ff", b"x").has_status(400);
    // Paths that would leave a directory are no targets: the connection ends.
    for name in ["..%2fout", "%2e%2e%2Fout", ".."] {
        put(&mut Client::connect(server.addr), &format!("/files/{name}"), b"x").has_status(400).says_close();
    }
    put(&mut client, "/files/a/b", b"x").has_status(404);
    put(&mut client, "/files/.", b"x").has_status(404);
    put(&mut client, "/files/", b"x").has_status(404);
    let folder = put(&mut client, "/files/folder", b"x");
    assert_eq!(detail(folder.has_status(409).keeps()), "there is a file \"folder\" already");
    for name in [".bashrc", "a\u{202e}b", &long] {
        post(&mut client, "", &form(&[("fine", "1"), (name, "x")])).has_status(400);
        client = Client::connect(server.addr);
    }
    eventually("nothing is left", || names(&dir) == ["folder"]);
    assert_eq!(names(outer.path()), ["inner"]);

    // A form's directories are cut off; what means something to HTML or a shell is only a name.
    for (sent, stored) in [("../../etc/passwd", "passwd"), ("<b>&'.txt", "<b>&'.txt"), ("-rf *", "-rf *")] {
        post(&mut client, "", &form(&[(sent, "x")])).has_status(201);
        assert!(dir.join(stored).exists(), "{stored}");
    }
    let page = get(&mut client, "/");
    let html = page.text();
    assert!(html.contains("<td>&lt;b&gt;&amp;&#39;.txt<td>1") && !html.contains("<b>"), "{html}");
    assert!(page.field("content-security-policy").unwrap().contains("default-src 'self'"));
    assert!(get(&mut client, "/upload.js").text().contains("FormData"));
    assert_eq!(get(&mut client, "/upload.css").field("content-type"), Some("text/css; charset=utf-8"));
}

#[test]
fn a_client_that_leaves_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path(), &[]);
    let part = vec![b'x'; 3_000_000];
    for head in [put_head("/files/a", 10_000_000), post_head(10_000_000)] {
        let start = form(&[("a", "")]);
        for resets in [true, false] {
            let mut client = Client::connect(server.addr);
            client.send([head.as_bytes(), b"\r\n", &start.as_bytes()[..start.len() - 9], &part].concat());
            eventually("it is being written", || !names(dir.path()).is_empty());
            assert!(names(dir.path())[0].starts_with(".upload-"), "nobody sees it");
            if resets {
                client.reset()
            } else {
                client.close()
            }
            eventually("nothing is left", || names(dir.path()).is_empty());
        }
    }
    let mut client = Client::connect(server.addr);
    put(&mut client, "/files/a", b"x").has_status(201);
}

/// What a process that was killed left half-written goes when the next one begins; what a living one is
/// writing stays.
#[test]
fn a_killed_server_leaves_nothing_for_long() {
    let dir = tempfile::tempdir().unwrap();
    let killed = serve(dir.path(), &[]);
    let living = serve(dir.path(), &[]);
    let upload = |server: &Binary| {
        let mut client = Client::connect(server.addr);
        client.send([put_head("/files/a", 4_000_000).as_bytes(), b"\r\n", &[b'x'; 1_000_000]].concat());
        client
    };
    let lost = upload(&killed);
    eventually("it is being written", || names(dir.path()).len() == 1);
    let mut kept = upload(&living);
    eventually("both are being written", || names(dir.path()).len() == 2);
    drop(killed);
    assert_eq!(names(dir.path()).len(), 2);
    let next = serve(dir.path(), &[]);
    assert_eq!(names(dir.path()).len(), 1);
    kept.send(vec![b'x'; 3_000_000]);
    kept.response().has_status(201);
    assert_eq!(names(dir.path()), ["a"]);
    drop((lost, next));
}

/// A limit on the size of files stands in for a disk without room: the write fails midway.
#[test]
fn a_full_disk_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut shell = Command::new("sh");
    // 2 MiB in blocks of 512 bytes. Ignored signals stay so: the write fails instead of ending the process.
    shell.args(["-c", "trap '' XFSZ; ulimit -f 4096; exec \"$0\" \"$@\""]).arg(example_path("upload"));
    let server = Binary::start(shell, &["--dir", dir.path().to_str().unwrap()]);
    let mut client = Client::connect(server.addr);
    let refused = put(&mut client, "/files/a", &vec![b'x'; 2_200_000]);
    assert_eq!(detail(refused.has_status(507)), "there is no room for this file");
    let mut client = Client::connect(server.addr);
    let big = "x".repeat(2_200_000);
    let refused = post(&mut client, "", &form(&[("small", "1"), ("big", &big)]));
    assert_eq!(detail(refused.has_status(507)), "there is no room for this file");
    eventually("nothing is left", || names(dir.path()).is_empty());
    let mut client = Client::connect(server.addr);
    put(&mut client, "/files/a", &vec![b'x'; 2_000_000]).has_status(201);
}

#[test]
fn the_limit_on_size_holds_whether_the_size_is_told_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path(), &["--max-bytes", "1000"]);
    let mut client = Client::connect(server.addr);
    put(&mut client, "/files/a", &[b'x'; 1000]).has_status(201).keeps();
    put(&mut client, "/files/b", &[b'x'; 1001]).has_status(413);
    let mut client = Client::connect(server.addr);
    let head = "PUT /files/b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("1f4\r\n{}\r\n", "x".repeat(500));
    client.ask(format!("{head}{}1\r\nx\r\n0\r\n\r\n", chunk.repeat(2))).has_status(413);
    eventually("nothing but the first", || names(dir.path()) == ["a"]);
}

/// The lines of a progress stream, once it has ended.
fn lines(answer: &Response) -> Vec<Value> {
    answer.text().lines().map(|line| serde_json::from_str(line).expect("a JSON object per line")).collect()
}

/// Receives until this was told.
fn until_told(follower: &mut Client, text: &str) {
    while !String::from_utf8_lossy(follower.peek()).contains(text) {
        assert!(follower.fill().expect("progress is told"), "it ended before {text}");
    }
}

#[test]
fn progress_is_told_while_it_happens() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path(), &["--workers", "2"]);
    let mut follower = Client::connect(server.addr);
    // Asked for before there is such an upload.
    follower.send("GET /files/id-1/progress HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut client = Client::connect(server.addr);
    client.send(put_head("/files/a?progress=id-1", 3000) + "\r\n");
    for received in [900, 1800, 2700] {
        client.send([b'x'; 900]);
        until_told(&mut follower, &format!("\"received\":{received}"));
    }
    let mut rival = Client::connect(server.addr);
    let conflict = put(&mut rival, "/files/b?progress=id-1", b"x");
    assert_eq!(detail(conflict.has_status(409)), "an upload with this id is under way");
    client.send([b'x'; 300]);
    client.response().has_status(201);
    let answer = follower.response();
    assert_eq!(answer.field("content-type"), Some("application/x-ndjson"));
    let told = lines(&answer);
    assert!(told.len() >= 4, "{told:?}");
    let received: Vec<u64> = told.iter().map(|line| line["received"].as_u64().unwrap()).collect();
    assert!(received.is_sorted() && received.contains(&900) && received.contains(&2700), "{received:?}");
    assert!(told.iter().all(|line| line["expected"] == 3000));
    assert_eq!(told.last().unwrap()["state"], "stored");
    assert_eq!(*received.last().unwrap(), 3000);
    // Afterwards it is one line.
    assert_eq!(lines(&get(&mut follower, "/files/id-1/progress")).len(), 1);

    let mut client = Client::connect(server.addr);
    client.send(put_head("/files/c?progress=id-2", 3000) + "\r\nxxx");
    follower.send("GET /files/id-2/progress HTTP/1.1\r\nHost: a\r\n\r\n");
    until_told(&mut follower, "\"received\":3");
    client.reset();
    assert_eq!(lines(&follower.response()).last().unwrap()["state"], "failed");

    get(&mut follower, "/files/no!/progress").has_status(404);
    let bad = put(&mut rival, "/files/c?progress=no!", b"x");
    assert_eq!(detail(bad.has_status(400)), "must be 1 to 64 letters, digits, - and _");
}

/// A client that follows an upload and leaves does not keep anything.
#[test]
fn a_follower_may_leave() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path(), &[]);
    let mut client = Client::connect(server.addr);
    client.send(put_head("/files/a?progress=x", 4) + "\r\nxx");
    for _ in 0..20 {
        let mut follower = Client::connect(server.addr);
        follower.send("GET /files/x/progress HTTP/1.1\r\nHost: a\r\n\r\n");
        follower.fill().unwrap();
        follower.reset();
    }
    client.send("xx");
    client.response().has_status(201);
}

/// Two uploads of 256 MiB each (or QUOIT_UPLOAD_MIB, for a gigabyte), a body and a form, at the same time.
#[test]
fn memory_stays_the_same_whatever_flows() {
    let mib = std::env::var("QUOIT_UPLOAD_MIB").map_or(256, |text| text.parse::<u64>().expect("a number"));
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path(), &[]);
    let block = pattern(MIB as usize);
    // Once small, so that what is allocated once is there.
    put(&mut Client::connect(server.addr), "/files/first", &block).has_status(201);
    let before = server.resident_bytes();

    let form = form(&[("b", "")]);
    let (start, end) = form.split_at(form.len() - "\r\n--x--\r\n".len());
    let bodies =
        [(put_head("/files/a", mib * MIB), "", ""), (post_head(mib * MIB + form.len() as u64), start, end)];
    let most = thread::scope(|scope| {
        let senders = bodies.map(|(head, start, end)| {
            let mut client = Client::connect(server.addr);
            let block = &block;
            scope.spawn(move || {
                client.send(format!("{head}\r\n{start}"));
                for _ in 0..mib {
                    client.send(block);
                }
                client.send(end).response().has_status(201);
                assert_eq!(client.ended(), None::<End>);
            })
        });
        let mut most = before;
        until_within(UPLOADED_WITHIN, "the end of the uploads", || {
            most = most.max(server.resident_bytes());
            senders.iter().all(|sender| sender.is_finished()).then_some(most)
        })
    });
    let growth = most.saturating_sub(before);
    println!("from {before} bytes it grew by {growth}");
    assert!(growth < GROWTH_BYTES_MAX, "grew by {growth} bytes while 2 × {mib} MiB came in");
    for name in ["a", "b"] {
        let path = dir.path().join(name);
        assert_eq!(fs::metadata(&path).unwrap().len(), mib * MIB);
        let mut stored = BufReader::new(File::open(&path).unwrap());
        let mut found = vec![0; block.len()];
        for number in 0..mib {
            stored.read_exact(&mut found).unwrap();
            assert!(found == block, "{name} differs in MiB {number}");
        }
    }
}
