//! `quoit serve` without a directory: the working directory where that can be meant, and the welcome page
//! where there is nothing to serve.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::server::{Server, get, quoit, refused};
use crate::{ANY_PORT, root, site, text};

fn serve_in(dir: &Path, args: &[&str]) -> Command {
    let mut command = quoit(&[&["serve", "--listen", ANY_PORT, "--workers", "1"], args].concat());
    command.current_dir(dir);
    command
}

/// Starts in a directory, and waits for what it says about it.
fn start_in(dir: &Path, args: &[&str], remark: &str) -> Server {
    let mut server = Server::start_command(serve_in(dir, args));
    if !server.said().iter().any(|line| line.contains(remark)) {
        server.wait_for(remark);
    }
    server
}

#[test]
fn the_working_directory_is_served_and_told() {
    let dir = site();
    let place = fs::canonicalize(dir.path()).unwrap();
    let server = start_in(dir.path(), &[], &format!("serving the working directory, {}", place.display()));
    assert_eq!(get(server.addr(), "/").body, b"<title>here</title>");
    assert_eq!(get(server.addr(), "/absent").status, 404);
    let ended = server.stop();
    assert!(!ended.stderr.contains("welcome") && !ended.stderr.contains("--list"), "{ended:?}");
    // Flags of files are for it too.
    fs::create_dir(dir.path().join("sub")).unwrap();
    let server = start_in(dir.path(), &["--list", "--mount", &format!("/m={}", text(dir.path()))], "working");
    assert_eq!((get(server.addr(), "/sub/").status, get(server.addr(), "/m/").status), (200, 200));
}

#[test]
fn a_directory_without_an_index_says_what_its_root_answers() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("notes.txt"), "notes").unwrap();
    let server = start_in(dir.path(), &[], "--list would list");
    assert_eq!((get(server.addr(), "/").status, get(server.addr(), "/notes.txt").status), (404, 200));
    let server = start_in(Path::new("/"), &[text(dir.path())], "--list would list");
    assert!(!server.said().iter().any(|line| line.contains("working directory")), "{:?}", server.said());
}

#[test]
fn where_there_is_nothing_to_serve_there_is_a_welcome_page() {
    let empty = tempfile::tempdir().unwrap();
    fs::write(empty.path().join(".hidden"), "").unwrap();
    for (dir, why) in
        [(empty.path(), "has nothing to serve"), (root(), "quoit's source"), (Path::new("/"), "is /")]
    {
        let server = start_in(dir, &[], why);
        let welcome = get(server.addr(), "/");
        assert_eq!(welcome.status, 200);
        assert!(String::from_utf8(welcome.body).unwrap().contains("quoit is running"));
        assert_eq!(
            (get(server.addr(), "/Cargo.toml").status, get(server.addr(), "/etc/hostname").status),
            (404, 404)
        );
    }
}

/// A 404 whose cause is hard to find is logged once, with the remedy.
#[test]
fn a_link_out_of_the_directory_is_told() {
    let (dir, other) = (site(), site());
    std::os::unix::fs::symlink(other.path().join("index.html"), dir.path().join("out.html")).unwrap();
    let mut server = Server::start(&[text(dir.path()), "--listen", ANY_PORT, "--workers", "1"]);
    for _ in 0..2 {
        assert_eq!(get(server.addr(), "/out.html").status, 404);
    }
    let line = server.wait_for("out.html");
    assert!(line.contains("link") && line.contains("--follow-links"), "{line}");
    assert_eq!(server.stop().stderr.matches("out.html").count(), 1);
}

#[test]
fn flags_that_need_a_directory_say_so() {
    let empty = tempfile::tempdir().unwrap();
    for flags in [
        &["--list"][..],
        &["--spa"],
        &["--index", "home.html"],
        &["--cache-control", "*=no-store"],
        &["--preload", "*.html=</a.css>; rel=preload; as=style"],
        &["--download", "*.zip"],
        &["--mount", "/docs=/srv/docs"],
        &["--auth", "users"],
    ] {
        let words = format!("{} needs a directory to serve: quoit serve DIR {}", flags[0], flags[0]);
        refused(serve_in(empty.path(), flags), &[&words]);
        refused(serve_in(root(), flags), &[&words]);
    }
}
