//! What a reload changes beside routes, in a server that goes on: listeners and their TLS, limits, the access
//! log.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use serde_json::Value;

use crate::server::{Server, get, quoit, run};
use crate::{site, text, until};

/// The addresses that serve now, by the administrator's socket.
fn addresses(path: &Path) -> Vec<String> {
    let status = run(quoit(&["status", "--config", text(path)]));
    let status: Value = serde_json::from_str(&status.stdout).unwrap_or_else(|_| panic!("{status:?}"));
    let list = status["addresses"].as_array().unwrap().iter();
    list.map(|address| address.as_str().unwrap().to_owned()).collect()
}

fn addr(address: &str) -> SocketAddr {
    address.split_once("://").unwrap().1.parse().unwrap()
}

fn reload(path: &Path, content: &str) -> Result<String, String> {
    fs::write(path, content).unwrap();
    let ended = run(quoit(&["reload", "--config", text(path)]));
    if ended.status.success() { Ok(ended.stdout) } else { Err(ended.stdout) }
}

/// The status of the answer to what is sent.
fn sent(addr: SocketAddr, request: &str) -> u16 {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer.split(' ').nth(1).unwrap_or_default().parse().unwrap_or(0)
}

#[test]
fn listeners_limits_and_the_log_follow_the_file() {
    let dir = site();
    let path = dir.path().join("quoit.toml");
    let rest = "workers = 2\nadmin = \"admin.sock\"\nrespond = \"one\"\n";
    let config = |listen: &str, more: &str| format!("listen = {listen}\n{rest}{more}");
    fs::write(&path, config("\"127.0.0.1:0\"", "")).unwrap();
    let server = Server::start_command(quoit(&["run", "--config", text(&path)]));
    until("the administrator's socket", || dir.path().join("admin.sock").exists().then_some(()));
    let first = server.addr();
    let mut kept = BufReader::new(TcpStream::connect(first).unwrap());
    let mut ask = || {
        kept.get_mut().write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") && kept.read_line(&mut head).unwrap() > 0 {}
        let mut body = [0; 3];
        kept.read_exact(&mut body).unwrap();
        head.contains(" 200 ")
    };
    assert!(ask());

    // One more listener, with TLS, and its certificate changed after that.
    let two = "[\"127.0.0.1:0\", { address = \"127.0.0.1:0\", tls = true }]";
    let tls = |name: &str, more: &str| format!("[tls.main]\nself_signed = \"{name}\"\n{more}");
    let told = reload(&path, &config(two, &tls("a.test", ""))).unwrap();
    assert!(told.contains("+ listener http://127.0.0.1:0: https://127.0.0.1:0 (a.test)"), "{told}");
    let now = addresses(&path);
    assert_eq!((now.len(), addr(&now[0])), (2, first));
    let second = addr(&now[1]);
    let shown = |addr: SocketAddr| run(quoit(&["cert", "show", &addr.to_string()])).stdout;
    assert!(shown(second).contains("a.test"), "{}", shown(second));
    reload(&path, &config(two, &tls("b.test", "min = \"1.3\"\n"))).unwrap();
    assert!(shown(second).contains("b.test") && !shown(second).contains("a.test"), "{}", shown(second));
    assert_eq!(addresses(&path), now, "the socket is the same");
    // And back to plain HTTP, on the same socket.
    assert_eq!(sent(second, "GET / HTTP/1.0\r\n\r\n"), 400);
    let plain = "[\"127.0.0.1:0\", \"127.0.0.1:0\"]";
    reload(&path, &config(plain, "")).unwrap();
    assert_eq!(get(second, "/").body, b"one");

    // Limits hold for connections that begin after the reload.
    let upload = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 100\r\n\r\n";
    let upload = format!("{upload}{}", "x".repeat(100));
    assert_eq!(sent(first, &upload), 200);
    let limits = "[limits]\nbody_size = 10\n";
    let told = reload(&path, &config(plain, limits)).unwrap();
    assert!(told.contains("~ limits"), "{told}");
    assert_eq!(sent(first, &upload), 413);
    let refused = reload(&path, &config(plain, "[limits]\ndrain_timeout = \"1s\"\n")).unwrap_err();
    assert!(refused.contains("limits.drain_timeout: this cannot be changed"), "{refused}");

    // A log that begins, moves, and ends.
    let lines = |name: &str| {
        let text = fs::read_to_string(dir.path().join(name)).unwrap_or_default();
        text.lines().filter(|line| line.contains("/logged")).count()
    };
    let logged = |log: &str| {
        reload(&path, &format!("{log}{}", config(plain, ""))).unwrap();
        (0..20).for_each(|_| assert_eq!(get(first, "/logged").status, 200));
    };
    logged("access_log = \"one.log\"\n");
    logged("access_log = { file = \"two.log\", format = \"common\" }\n");
    until("the lines of the first", || (lines("one.log") == 20).then_some(()));
    logged("");
    until("the lines of the second", || (lines("two.log") == 20).then_some(()));
    assert!(fs::read_to_string(dir.path().join("two.log")).unwrap().contains("\"GET /logged HTTP/1.1\" 200"));

    // A listener that cannot be bound, or a log that cannot be opened: nothing changes.
    let before = addresses(&path);
    for broken in [
        config(&format!("[\"127.0.0.1:0\", \"{}\"]", before[0].trim_start_matches("http://")), ""),
        format!("access_log = \"none/x.log\"\n{}", config(plain, "")),
    ] {
        let broken = broken.replace("\"one\"", "\"changed\"");
        let refused = reload(&path, &broken).unwrap_err();
        assert!(refused.contains("cannot"), "{refused}");
        assert_eq!((addresses(&path), get(second, "/").body), (before.clone(), b"one".to_vec()));
    }

    // Removed: nothing is accepted there, the port is free, and kept connections go on.
    reload(&path, &config("\"127.0.0.1:0\"", "")).unwrap();
    until("the port is free", || std::net::TcpListener::bind(second).ok());
    assert!(ask());
    let ended = server.stop();
    assert!(ended.status.success() && !ended.stderr.contains("were lost"), "{ended:?}");
}
