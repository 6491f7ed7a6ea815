//! Secrets below a directory that is served: the server does not start, and says which, where, and what to
//! do.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::{Binary, Client};

/// What `quoit serve ARGS` says, run in `dir`, when it does not start.
fn refusal(dir: &Path, args: &[&str]) -> String {
    // An address that is in use, so that a server that starts after all ends as well.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_quoit"))
        .arg("serve")
        .args(args)
        .args(["--listen", &address, "--workers", "1"])
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

/// A directory `site`, and in it what `quoit cert` and `htpasswd` make.
fn site() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let site = dir.path().join("site");
    fs::create_dir_all(site.join(".private")).unwrap();
    fs::create_dir(dir.path().join("other")).unwrap();
    let made = Command::new(env!("CARGO_BIN_EXE_quoit"))
        .args(["cert", "self-signed", "localhost"])
        .current_dir(&site)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(made.unwrap().success());
    // The password is `x`.
    fs::write(site.join("users"), "u:$2y$04$tZc7kRnkBTSPKCMvzvcfXO3CY2wUuN6Q3J5gDVEDPiYgISxAYCzBu\n")
        .unwrap();
    for name in ["localhost.pem", "localhost.key", "users"] {
        fs::copy(site.join(name), site.join(".private").join(name)).unwrap();
        fs::copy(site.join(name), dir.path().join(name)).unwrap();
    }
    dir
}

#[test]
fn a_server_that_would_publish_its_secrets_does_not_start() {
    let dir = site();
    let site = dir.path().join("site");
    for (args, kind, url) in [
        (&["--tls-cert", "localhost.pem", "--tls-key", "localhost.key"][..], "private key", "/localhost.key"),
        (&["--auth", "users"], "file of users and passwords", "/users"),
        (&["--access-log", "access.json"], "access log", "/access.json"),
    ] {
        let said = refusal(&site, &[&["."], args].concat());
        assert!(said.contains(kind) && said.contains(&format!("served as {url},")), "{said}");
        assert!(said.contains("move it out of"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        // Also when it is a mount that would serve it.
        let mount = format!("/docs={}", site.display());
        let other = dir.path().join("other");
        let said = refusal(&site, &[&[other.to_str().unwrap(), "--mount", &mount], args].concat());
        assert!(said.contains(&format!("served as /docs{url},")), "{said}");
    }
    assert!(!site.join("access.json").exists(), "nothing was begun");
}

#[test]
fn secrets_beside_the_site_and_in_hidden_directories_are_in_their_place() {
    let dir = site();
    let site = dir.path().join("site");
    fs::remove_file(site.join("localhost.key")).unwrap();
    fs::remove_file(site.join("users")).unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    for place in ["", "site/.private/"] {
        let [users, log] = ["users", "log"].map(|name| at(&format!("{place}{name}")));
        let binary = Binary::serve(&site, &["--auth", &users, "--access-log", &log]);
        let mut client = Client::connect(binary.addr);
        let authorization = "Authorization: Basic dTp4\r\n";
        for target in ["/.private/users", "/.private/localhost.key", "/users", "/log", "/localhost.key"] {
            let response = client.get(target, authorization);
            assert!(matches!(response.status, 401 | 404), "{target}: {}", response.head);
        }
    }
}

/// Links within the root, and a hard link: the names are not hidden, the file is the same.
#[test]
fn no_link_leads_to_a_secret() {
    let dir = site();
    let site = dir.path().join("site");
    fs::remove_file(site.join("localhost.key")).unwrap();
    fs::remove_file(site.join("users")).unwrap();
    let at = |name: &str| site.join(".private").join(name).display().to_string();
    symlink(".private", site.join("pub")).unwrap();
    // The password is `secret`.
    let user = "u:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n";
    fs::write(at("users"), user).unwrap();
    fs::hard_link(at("users"), site.join("hard")).unwrap();
    fs::write(at("open.txt"), "open").unwrap();
    fs::write(site.join("a.txt"), "a").unwrap();
    symlink(".private/log", site.join("a.txt.br")).unwrap();
    let binary = Binary::serve(&site, &["--auth", &at("users"), "--access-log", &at("log")]);
    let mut client = Client::connect(binary.addr);
    let fields = "Authorization: Basic dTpzZWNyZXQ=\r\nAccept-Encoding: br\r\n";
    client.get("/pub/open.txt", fields).is(200, "open");
    for target in ["/pub/users", "/hard", "/pub/log", "/hard"] {
        client.get(target, fields).has_status(404);
    }
    client.get("/a.txt", fields).is(200, "a");
    // One that is replaced is as secret.
    fs::copy(at("users"), at("new")).unwrap();
    fs::rename(at("new"), at("users")).unwrap();
    client.get("/pub/users", fields).has_status(404);
    let told = binary.lines().iter().filter(|line| line.contains("because that is secret")).count();
    assert_eq!(told, 1, "once: {:?}", binary.lines());
}

#[test]
fn what_the_server_itself_writes_is_not_served() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("index.html"), "index").unwrap();
    let output = File::create(dir.path().join("nohup.out")).unwrap();
    let address = {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap()
    };
    let mut server = Command::new(env!("CARGO_BIN_EXE_quoit"))
        .args(["serve", ".", "--workers", "1", "--access-log", "-", "--listen", &address.to_string()])
        .current_dir(dir.path())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap();
    let mut said = 0;
    crate::common::eventually("it serves", || match Client::try_connect(address) {
        Ok(mut client) => {
            client.get("/", "").is(200, "index");
            said = client.get("/nohup.out", "").status;
            true
        }
        Err(_) => false,
    });
    let output = dir.path().join("nohup.out");
    crate::common::eventually("it is written there", || fs::metadata(&output).unwrap().len() > 0);
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(said, 404);
}
