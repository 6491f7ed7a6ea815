//! What `loadgen bench` sends, where to, and what it tells of the server's process: seen by a server that
//! keeps every request.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// What arrived: requests with head and body, and how many connections brought them.
#[derive(Default)]
struct Seen {
    requests: Vec<String>,
    connections: usize,
}

type Book = Arc<Mutex<Seen>>;

/// Serves what `accept` brings, as long as the test's process lives.
fn serve<S: Read + Write + Send + 'static>(mut accept: impl FnMut() -> S + Send + 'static) -> Book {
    let book = Book::default();
    let kept = book.clone();
    std::thread::spawn(move || {
        loop {
            let stream = accept();
            book.lock().unwrap().connections += 1;
            let book = book.clone();
            std::thread::spawn(move || answer(stream, &book));
        }
    });
    kept
}

fn serve_tcp() -> (String, Book) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    (addr, serve(move || listener.accept().unwrap().0))
}

fn answer(mut stream: impl Read + Write, book: &Book) {
    let (mut held, mut piece) = (String::new(), [0; 4096]);
    while let Ok(length @ 1..) = stream.read(&mut piece) {
        held += std::str::from_utf8(&piece[..length]).expect("these tests send ASCII");
        while let Some(end) = held.find("\r\n\r\n").map(|head| head + 4 + body_length(&held[..head])) {
            if held.len() < end {
                break;
            }
            book.lock().unwrap().requests.push(held.drain(..end).collect());
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
                return;
            }
        }
    }
}

fn body_length(head: &str) -> usize {
    let value = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    value.map_or(0, |value| value.parse().unwrap())
}

/// Runs to a sound end and gives the result.
fn bench(arguments: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    let output =
        command.arg("bench").args(arguments).args(["-o", "json=-", "--lag-allowed", "24h"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    let result = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {told}"));
    assert_eq!(output.status.code(), Some(0), "{told}{}", result_line(&result));
    result
}

fn result_line(result: &Value) -> String {
    format!("{} {}", result["validity"], result["total"]["errors_by_kind"])
}

#[test]
fn a_unix_socket_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let book = serve(move || listener.accept().unwrap().0);
    let result = bench(&["http://localhost/a", "--unix", path.to_str().unwrap(), "-c", "3", "-n", "50"]);
    assert_eq!(result["total"]["done"], 50);
    let seen = book.lock().unwrap();
    assert_eq!((seen.requests.len(), seen.connections), (50, 3));
    assert_eq!(seen.requests[0], "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n");
}

#[test]
fn connect_to_changes_the_address_and_not_the_host() {
    let (addr, book) = serve_tcp();
    let result = bench(&["http://name.invalid:81/", "--connect-to", &addr, "-c", "1", "-n", "5"]);
    assert_eq!(result["total"]["done"], 5);
    let seen = book.lock().unwrap();
    assert!(seen.requests.iter().all(|request| request.contains("\r\nHost: name.invalid:81\r\n")));
    assert_eq!(seen.requests.len(), 5);
}

#[test]
fn churn_renews_connections_and_fails_no_request() {
    let (addr, book) = serve_tcp();
    let result =
        bench(&[&format!("http://{addr}/"), "-c", "4", "-n", "1000000", "-d", "2s", "--churn", "20"]);
    assert_eq!(result["total"]["errors"], 0, "{}", result_line(&result));
    // 40 are due; the last of them may be when nothing more is asked.
    let opened = result["connections"]["opened"].as_u64().unwrap();
    assert!((36..=44).contains(&opened), "{opened}");
    assert_eq!(book.lock().unwrap().connections as u64, opened);
}

#[test]
fn templates_fill_paths_and_bodies() {
    let (addr, book) = serve_tcp();
    let url = format!("http://{addr}/item/{{{{seq}}}}?n={{{{rand 5 7}}}}");
    bench(&[&url, "--template", "-b", "id={{uuid}}", "-c", "2", "-n", "30", "--seed", "9"]);
    let seen = book.lock().unwrap();
    let part = |request: &str, from: &str, to: &str| {
        let rest = request.split_once(from).unwrap_or_else(|| panic!("{request}")).1;
        rest.split_once(to).map_or(rest, |(part, _)| part).to_owned()
    };
    let mut numbers: Vec<u64> =
        seen.requests.iter().map(|request| part(request, "POST /item/", "?").parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 30, "no number twice: {numbers:?}");
    assert!(seen.requests.iter().all(|request| "567".contains(&part(request, "?n=", " "))));
    let mut ids: Vec<String> =
        seen.requests.iter().map(|request| part(request, "\r\n\r\nid=", " ")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert!(ids.len() == 30 && ids.iter().all(|id| id.len() == 36), "{ids:?}");
}

#[test]
fn rows_of_data_are_taken_in_turn() {
    let (addr, book) = serve_tcp();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users.csv");
    std::fs::write(&file, "id,name\n7,Anna\n8,\"Bob, jr\"\n").unwrap();
    let (url, file) = (format!("http://{addr}/{{{{data name}}}}"), file.to_str().unwrap().to_owned());
    bench(&[&url, "--template", "--data", &file, "-b", "{{data name}}={{data id}}", "-c", "1", "-n", "4"]);
    let seen = book.lock().unwrap();
    let told: Vec<(&str, &str)> = seen
        .requests
        .iter()
        .map(|request| (request.lines().next().unwrap(), request.rsplit_once("\r\n\r\n").unwrap().1))
        .collect();
    let (anna, bob) = (("POST /Anna HTTP/1.1", "Anna=7"), ("POST /Bob%2C%20jr HTTP/1.1", "Bob, jr=8"));
    assert_eq!(told, [anna, bob, anna, bob]);
}

#[test]
fn a_mix_is_sent_by_weight_and_told_by_endpoint() {
    let (addr, book) = serve_tcp();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mix.jsonl");
    let lines = [
        r#"{"weight":3,"path":"/read","headers":{"Accept":"text/html"}}"#,
        r#"{"method":"PUT","path":"/write","body":"hello"}"#,
    ];
    std::fs::write(&file, lines.join("\n")).unwrap();
    let result = bench(&[&format!("http://{addr}/"), "-i", file.to_str().unwrap(), "-c", "2", "-n", "400"]);
    let seen = book.lock().unwrap();
    let count = |start: &str, rest: &str| {
        let asked = seen.requests.iter().filter(|request| request.starts_with(start));
        asked.inspect(|request| assert!(request.contains(rest), "{request}")).count() as u64
    };
    let reads = count("GET /read HTTP/1.1\r\n", "\r\nAccept: text/html\r\n");
    let writes = count("PUT /write HTTP/1.1\r\n", "\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(reads + writes, 400);
    assert!((260..=340).contains(&reads), "three of four: {reads}");
    let told = |name: &str| result["endpoints"][name]["done"].as_u64().unwrap();
    assert_eq!((told("GET /read"), told("PUT /write")), (reads, writes));
}

/// A process that computes until the test is over.
struct Busy(Child);

impl Drop for Busy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_server_process_is_watched() {
    let (addr, _book) = serve_tcp();
    let busy = Busy(Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap());
    let pid = busy.0.id();
    let result =
        bench(&[&format!("http://{addr}/"), "-c", "1", "-d", "1s", "--server-pid", &pid.to_string()]);
    let server = &result["cost"]["server"];
    assert_eq!(server["pid"], pid, "{server}");
    let cpu_s = server["user_s"].as_f64().unwrap() + server["system_s"].as_f64().unwrap();
    // How much of a core it gets is the machine's affair; that it gets none would be ours.
    assert!((0.05..2.0).contains(&cpu_s), "{server}");
    assert!(server["resident_bytes"].as_u64().unwrap() > 100_000, "{server}");
}

#[test]
fn secrets_are_sent_and_not_told() {
    let (addr, book) = serve_tcp();
    let result =
        bench(&[&format!("http://{addr}/"), "-c", "1", "-n", "2", "-H", "Authorization: Bearer hush"]);
    assert!(book.lock().unwrap().requests[0].contains("\r\nAuthorization: Bearer hush\r\n"));
    let command = result["command"].to_string();
    assert!(command.contains("Authorization: ***") && !result.to_string().contains("hush"), "{command}");
}
