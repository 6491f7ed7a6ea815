//! What stands in a tree beside files and directories, and what the server may not read: answered at once,
//! the process at the other end.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::common::Client;
use crate::site::Site;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn make(path: &Path, kind: FileType, device: u64) -> rustix::io::Result<()> {
    mknodat(CWD, path, kind, Mode::from_raw_mode(0o644), device)
}

#[test]
fn pipes_sockets_and_devices_are_no_files() {
    let site = Site::with(&[("a.txt", b"a")]);
    make(&site.path("pipe"), FileType::Fifo, 0).unwrap();
    let _listener = UnixListener::bind(site.path("socket")).unwrap();
    let mut targets = vec!["/pipe", "/socket"];
    // Making a device takes a privilege that tests may lack; /dev/zero would never end.
    if make(&site.path("zero"), FileType::CharacterDevice, makedev(1, 5)).is_ok() {
        targets.push("/zero");
    }
    let mut client = site.connect();
    for target in targets {
        for _ in 0..2 {
            client.get(target, "").has_status(404).keeps();
            client.head(target, "").has_status(404).keeps();
            client.get(&format!("{target}/"), "").has_status(404).keeps();
            site.get("/a.txt").is(200, "a");
        }
    }
    client.still_serves();
}

#[test]
fn a_pipe_with_a_writer_is_no_file_either() {
    let site = Site::with(&[("a.txt", b"a")]);
    make(&site.path("pipe"), FileType::Fifo, 0).unwrap();
    // Open for both, so that neither side waits.
    let mut pipe = fs::File::options().read(true).write(true).open(site.path("pipe")).unwrap();
    std::io::Write::write_all(&mut pipe, b"not for the web").unwrap();
    site.get("/pipe").has_status(404);
    let mut left = [0; 15];
    std::io::Read::read_exact(&mut pipe, &mut left).unwrap();
    assert_eq!(&left, b"not for the web", "nobody read from it");
}

#[test]
fn what_the_server_may_not_read_is_403() {
    if is_root() {
        // Root may read everything; there is nothing to show.
        return;
    }
    let site = Site::with(&[("a.txt", b"a"), ("closed/b.txt", b"b"), ("index/index.html", b"c")]);
    fs::set_permissions(site.path("a.txt"), fs::Permissions::from_mode(0o0)).unwrap();
    fs::set_permissions(site.path("closed"), fs::Permissions::from_mode(0o0)).unwrap();
    fs::set_permissions(site.path("index/index.html"), fs::Permissions::from_mode(0o0)).unwrap();
    let mut client: Client = site.connect();
    for target in ["/a.txt", "/closed/b.txt", "/index/"] {
        client.get(target, "").has_status(403).keeps();
    }
    client.still_serves();
    fs::set_permissions(site.path("closed"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_permission_that_is_lost_is_noticed() {
    if is_root() {
        return;
    }
    let site = Site::with(&[("a.txt", b"a")]);
    let mut client = site.connect();
    client.get("/a.txt", "").is(200, "a");
    fs::set_permissions(site.path("a.txt"), fs::Permissions::from_mode(0o0)).unwrap();
    client.get_until("/a.txt", "", |response| response.status == 403).keeps();
}

#[test]
fn a_root_that_is_deleted_serves_nothing_and_goes_on() {
    let site = Site::with(&[("sub/a.txt", b"a")]);
    let mut client = site.connect();
    client.get("/sub/a.txt", "").is(200, "a");
    fs::remove_dir_all(site.path("")).unwrap();
    client.get_until("/sub/a.txt", "", |response| response.status == 404).keeps();
    client.get("/", "").has_status(404).keeps();
}
