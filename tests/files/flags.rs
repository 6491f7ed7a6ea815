//! `quoit serve` with the flags about files.

use std::fs;
use std::process::Command;

use crate::common::{Binary, Client};

#[test]
fn every_flag_does_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let (site, docs, api) = (dir.path().join("site"), dir.path().join("docs"), dir.path().join("api"));
    for (path, content) in [
        (site.join("start.html"), "start"),
        (site.join("a.css"), "css"),
        (site.join("uploads/x.svg"), "svg"),
        (docs.join("guide.txt"), "guide"),
        (api.join("index.html"), "api"),
        (docs.join("index.html"), "docs"),
        (site.join("about.html"), "about"),
    ] {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let mounts = [format!("/docs={}", docs.display()), format!("/docs/api/={}", api.display())];
    let args = [
        "--list",
        "--spa",
        "--clean-urls",
        "--index",
        "index.html",
        "--index",
        "start.html",
        "--cache-control",
        "*.css=public, max-age=60",
        "--download",
        "uploads/**,*.zip",
        "--mount",
        &mounts[0],
        "--mount",
        &mounts[1],
    ];
    let server = Binary::serve(&site, &args);
    let mut client = Client::connect(server.addr);
    client.get("/", "").is(200, "start");
    client.get("/some/route", "Accept: text/html\r\n").is(200, "start");
    assert_eq!(client.get("/a.css", "").field("cache-control"), Some("public, max-age=60"));
    assert_eq!(client.get("/uploads/x.svg", "").field("content-disposition"), Some("attachment"));
    assert!(client.get("/uploads/", "").has_status(200).text().contains("./x.svg"));
    client.get("/docs/guide.txt", "").is(200, "guide");
    client.get("/docs/", "").is(200, "docs");
    client.get("/about", "").is(200, "about");
    // A path below a mount is no route of the application.
    client.get("/docs/missing", "Accept: text/html\r\n").has_status(404);
    client.get("/%64ocs/missing", "Accept: text/html\r\n").has_status(404);
    client.get("//docs//api/missing", "Accept: text/html\r\n").has_status(404);
    assert_eq!(client.get("/docs", "").has_status(301).field("location"), Some("/docs/"));
    client.get("/docs/api/", "").is(200, "api");
    client.get("/docsx", "Accept: text/html\r\n").is(200, "start");
    client.get("/docs/a.css", "").has_status(404);
}

#[test]
fn mistakes_are_told_before_anything_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let said = |args: &[&str], env: &[(&str, &str)]| {
        let output = Command::new(env!("CARGO_BIN_EXE_quoit"))
            .arg("serve")
            .args(args)
            .args(["--listen", "127.0.0.1:0"])
            .envs(env.iter().copied())
            .output()
            .unwrap();
        assert!(!output.status.success());
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        text
    };
    let dir = dir.path().to_str().unwrap();
    assert!(said(&[dir, "--mount", "docs=/srv"], &[]).contains("expected /PREFIX=DIR"));
    assert!(said(&[dir, "--mount", "/docs=/no/such/dir"], &[]).contains("there is no such directory"));
    assert!(said(&[dir, "--cache-control", "*.css"], &[]).contains("expected GLOB=VALUE"));
    assert!(said(&[dir, "--index", "a/b"], &[]).contains("no name of an index file"));
    assert!(said(&[dir], &[("QUOIT_INDEX", "../x")]).contains("no name of an index file"));
    // In quoit's own source no directory is served unless it is named.
    assert!(said(&["--mount", "/docs=/srv"], &[]).contains("--mount needs a directory"));
}
