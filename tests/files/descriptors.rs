//! Descriptors: one open file for all responses with it, and a bound on those that files take.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::common::{Binary, Client, eventually, pattern, time_passes};

fn descriptors(binary: &Binary) -> usize {
    fs::read_dir(format!("/proc/{}/fd", binary.pid())).unwrap().count()
}

/// What its descriptors lead to.
fn links(binary: &Binary) -> Vec<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{}/fd", binary.pid())).unwrap();
    entries.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok()).collect()
}

/// `quoit serve` with a limit on descriptors.
fn serve_with_limit(dir: &std::path::Path, limit: u32) -> Binary {
    let mut command = Command::new("sh");
    let script = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_quoit"), "serve"]).arg(dir);
    Binary::start(command, &[])
}

/// A client that asks for a file that does not fit its buffers, and reads the head alone.
fn begin(binary: &Binary, target: &str) -> Client {
    let mut client = Client::connect_narrow(binary.addr, 16 * 1024);
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).fill_some(1000).unwrap();
    client
}

#[test]
fn all_who_send_a_file_share_one_descriptor() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("large"), pattern(20_000_000)).unwrap();
    let binary = Binary::serve(dir.path(), &[]);
    // What a first connection alone makes.
    Client::connect(binary.addr).get("/none", "").has_status(404);
    let before = descriptors(&binary);
    // Together, when it was not asked for before: they wait for the first.
    let mut clients: Vec<Client> = (0..100).map(|_| Client::connect_narrow(binary.addr, 16 * 1024)).collect();
    for client in &mut clients {
        client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for client in &mut clients {
        client.fill_some(1000).unwrap();
    }
    let taken = descriptors(&binary) - before - clients.len();
    assert!(taken <= 4, "{taken} descriptors for one file");
    // Whatever they share, each gets all of it.
    let [first, .., last] = &mut clients[..] else { unreachable!() };
    for client in [first, last] {
        client.response().is(200, pattern(20_000_000));
    }
    drop(clients);
    // It is closed a while after the last one has gone.
    let name = dir.path().join("large");
    eventually("the file is closed", || !links(&binary).contains(&name));
}

#[test]
fn files_leave_descriptors_to_connections() {
    let dir = tempfile::tempdir().unwrap();
    // Room for 36 files, 144 connections.
    const FILES: usize = 80;
    for n in 0..FILES {
        fs::write(dir.path().join(format!("large-{n}")), pattern(5_000_000)).unwrap();
    }
    fs::write(dir.path().join("small"), "small").unwrap();
    let binary = serve_with_limit(dir.path(), 256);
    Client::connect(binary.addr).get("/small", "").is(200, "small");
    let mut clients: Vec<Client> = Vec::new();
    let mut refused = 0;
    for n in 0..FILES {
        let client = begin(&binary, &format!("/large-{n}"));
        if client.peek().starts_with(b"HTTP/1.1 503") {
            refused += 1;
        } else {
            clients.push(client);
        }
    }
    assert!(refused > 20 && clients.len() > 20, "{refused} refused, {} served", clients.len());
    // What is in memory is served, also when it is due for a check, and so are new connections.
    time_passes(Duration::from_secs(1), "nothing shows that a file is due for a check");
    for _ in 0..3 {
        Client::connect(binary.addr).get("/small", "").is(200, "small");
    }
    let lines = binary.lines();
    let told = lines.iter().filter(|line| line.contains("cannot open")).count();
    assert_eq!(told, 1, "once, not per request: {lines:?}");
    assert!(lines.iter().any(|line| line.contains("LimitNOFILE=")), "{lines:?}");
    // Once there are fewer, files are served again.
    clients.truncate(5);
    eventually("files are served again", || Client::connect(binary.addr).get("/large-79", "").status == 200);
}

/// A hundred files that are asked for at once wait for each other; none is refused.
#[test]
fn a_page_with_many_cold_files_is_served() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..120 {
        fs::write(dir.path().join(format!("{n}.js")), format!("file {n}")).unwrap();
    }
    let binary = serve_with_limit(dir.path(), 256);
    let mut clients: Vec<Client> = (0..120).map(|_| Client::connect(binary.addr)).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(format!("GET /{n}.js HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br\r\n\r\n"));
    }
    for (n, client) in clients.iter_mut().enumerate() {
        client.response().is(200, format!("file {n}"));
    }
}
