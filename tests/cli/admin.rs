//! The administrator's socket, and the commands that are its clients, beside a server that forwards.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};

use serde_json::Value;

use crate::server::{Ended, Server, get, get_over, quoit, run};
use crate::{site, text};

/// What a command prints, as JSON.
fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

#[test]
fn a_server_is_seen_and_changed_through_its_socket() {
    let dir = site();
    let backends = [
        Server::start(&[text(dir.path()), "--listen", "127.0.0.1:0", "--workers", "1"]),
        Server::start(&[text(dir.path()), "--listen", "127.0.0.1:0", "--workers", "1"]),
    ];
    let endpoints = backends.each_ref().map(|backend| backend.addr().to_string());
    let (path, socket) = (dir.path().join("quoit.toml"), dir.path().join("admin.sock"));
    let config = |routes: &str| {
        format!(
            "listen = \"127.0.0.1:0\"\nworkers = 2\nadmin = \"admin.sock\"\nproxy = \"app\"\n\
             [upstreams.app]\nendpoints = [\"{}\", \"{}\"]\n{routes}",
            endpoints[0], endpoints[1]
        )
    };
    fs::write(&path, config("")).unwrap();
    let mut server = Server::start_command(quoit(&["run", "--config", text(&path)]));
    for _ in 0..10 {
        assert_eq!(get(server.addr(), "/").body, b"<title>here</title>");
    }
    let metadata = crate::wait::until("the socket", || fs::metadata(&socket).ok());
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "for its owner alone");

    // By the file, or by the socket's path.
    let asked = |args: &[&str]| run(quoit(&[args, &["--config", text(&path)]].concat()));
    let status = json(&run(quoit(&["status", "--admin", text(&socket)])));
    assert_eq!((&status["workers"], &status["workers_answering"]), (&2.into(), &2.into()));
    assert_eq!((&status["requests"], &status["reloads"]), (&10.into(), &0.into()));
    assert_eq!(status["addresses"][0], format!("http://{}", server.addr()));

    let upstreams = json(&asked(&["upstreams"]));
    assert_eq!(upstreams[0]["name"], "app");
    let listed = upstreams[0]["endpoints"].as_array().unwrap();
    assert_eq!(listed.len(), 2);
    let requests: u64 = listed.iter().map(|one| one["requests"].as_u64().unwrap()).sum();
    assert_eq!(requests, 10);
    assert!(listed.iter().all(|one| one["state"] == "up" && one["is_usable"] == true), "{listed:?}");

    // A drained endpoint gets nothing more, until it is enabled.
    let drained = asked(&["drain", &endpoints[0]]);
    assert!(drained.status.success() && json(&drained)["done"] == true, "{drained:?}");
    let count = |index: usize| {
        let upstreams = json(&asked(&["upstreams"]));
        let endpoints_of = upstreams[0]["endpoints"].as_array().unwrap().clone();
        let one = endpoints_of.iter().find(|one| one["endpoint"] == *endpoints[index]).unwrap();
        (one["requests"].as_u64().unwrap(), one["state"].as_str().unwrap().to_owned())
    };
    let (before, state) = count(0);
    assert_eq!(state, "drained");
    for _ in 0..10 {
        assert_eq!(get(server.addr(), "/").status, 200);
    }
    assert_eq!(count(0), (before, "drained".to_owned()));
    assert!(asked(&["enable", &endpoints[0]]).status.success());
    assert_eq!(count(0).1, "up");
    assert!(asked(&["weight", &endpoints[1], "0", "--upstream", "app"]).status.success());
    assert_eq!(count(1).1, "drained");
    assert!(asked(&["weight", &endpoints[1], "default"]).status.success());
    assert_eq!(count(1).1, "up");
    let unknown = asked(&["drain", "127.0.0.1:1"]);
    assert!(!unknown.status.success(), "{unknown:?}");
    assert!(
        json(&unknown)["lines"][0].as_str().unwrap().contains("there is no endpoint 127.0.0.1:1; there are")
    );
    let unknown = asked(&["weight", &endpoints[1], "5", "--upstream", "ap"]);
    assert!(unknown.stdout.contains("there is no upstream ap; there are app"), "{unknown:?}");

    // A reload says what came of it to who asked for it, and in the log.
    fs::write(&path, config("[[route]]\npath = \"/new\"\nrespond = \"new\"\n")).unwrap();
    let reloaded = json(&asked(&["reload"]));
    assert_eq!(reloaded["done"], true, "{reloaded}");
    assert!(
        reloaded["lines"][0].as_str().unwrap().starts_with("+ default site, route any /new"),
        "{reloaded}"
    );
    server.wait_for("reloaded: + default site, route any /new");
    assert_eq!(get(server.addr(), "/new").body, b"new");
    assert!(count(0).0 >= before, "the state of endpoints outlives a reload");
    fs::write(&path, config("[[route]]\npth = \"/new\"\nrespond = \"x\"\n")).unwrap();
    let refused = run(quoit(&["reload", "--admin", text(&socket)]));
    assert!(!refused.status.success(), "{refused:?}");
    assert!(json(&refused)["lines"].to_string().contains("did you mean `path`?"), "{refused:?}");
    assert_eq!(get(server.addr(), "/new").body, b"new");

    // Numbers for Prometheus, without a series for what clients send.
    let stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    let metrics = get_over(stream, "/metrics");
    let metrics = String::from_utf8(metrics.body).unwrap();
    for line in [
        "quoit_reloads_total{outcome=\"served\"} 1".to_owned(),
        "quoit_reloads_total{outcome=\"refused\"} 1".to_owned(),
        "# TYPE quoit_requests_total counter".to_owned(),
        format!("quoit_upstream_usable{{upstream=\"app\",endpoint=\"{}\"}} 1", endpoints[0]),
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }

    let ended = server.stop();
    assert!(ended.status.success(), "{ended:?}");
    assert!(!socket.exists(), "it is removed at the end");
    let gone = run(quoit(&["status", "--admin", text(&socket)]));
    assert!(gone.stderr.contains("there is no such socket; is the server running?"), "{gone:?}");
    fs::write(&path, "respond = \"x\"\n").unwrap();
    let none = asked(&["status"]);
    assert!(none.stderr.contains("names no administrator's socket; add admin = "), "{none:?}");
}
