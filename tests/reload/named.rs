//! Files that the configuration names, changed in each of the ways in which files are (case P39).

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::certs::Certs;
use crate::common::eventually;
use crate::secure::{Asks, SecureEndpoint, answers, config};
use crate::server::get;
use crate::site::Site;

fn dir() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// The certificate that a new connection is shown, and the connection.
fn presented(addr: SocketAddr, certs: &Certs) -> CertificateDer<'static> {
    let mut roots = RootCertStore::empty();
    roots.add(certs.root()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = builder.unwrap().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut tls = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = TcpStream::connect(addr).unwrap();
    while tls.is_handshaking() {
        tls.complete_io(&mut stream).expect("a handshake");
    }
    tls.peer_certificates().unwrap()[0].clone().into_owned()
}

fn text(certs: &Certs, name: &str) -> String {
    fs::read_to_string(certs.path(name)).unwrap()
}

/// Points `..data` to a directory with these files, as a mounted volume does: NAME → ..data/NAME.
fn swap(site_dir: &std::path::Path, version: &str, files: [(&str, String); 2]) {
    let of = site_dir.join(version);
    fs::create_dir(&of).unwrap();
    for (name, content) in files {
        fs::write(of.join(name), content).unwrap();
        fs::set_permissions(of.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let beside = site_dir.join("..data_tmp");
    symlink(version, &beside).unwrap();
    fs::rename(beside, site_dir.join("..data")).unwrap();
}

const TLS: &str =
    "respond = \"x\"\n[tls.main]\ncertificates = [{ certificate = \"cert.pem\", key = \"cert.key\" }]\n";

#[test]
fn new_certificates_are_shown_however_they_come() {
    let certs = Certs::new();
    for name in ["b", "c", "d", "e"] {
        certs.issue(name, &["127.0.0.1"]);
    }
    let pair = |name: &str| {
        [
            ("cert.pem", text(&certs, &format!("{name}.pem"))),
            ("cert.key", text(&certs, &format!("{name}.key"))),
        ]
    };
    let dir = dir();
    swap(dir.path(), "..1", pair("a"));
    for name in ["cert.pem", "cert.key"] {
        symlink(format!("..data/{name}"), dir.path().join(name)).unwrap();
    }
    let site = Site::start_tls(dir, TLS);
    let shown = || presented(site.addr(), &certs);
    assert_eq!(shown(), certs.chain("a")[0]);
    // The two links of a mounted volume, twice.
    for (version, name) in [("..2", "b"), ("..3", "c")] {
        swap(site.path("").as_path(), version, pair(name));
        site.admin(&["reload"]);
        eventually("the certificate behind the links", || shown() == certs.chain(name)[0]);
    }
    // By rename, the key before the certificate: the former pair is shown until they match.
    site.replace("cert.key", text(&certs, "d.key"));
    site.server.signal("HUP");
    let mut site = site;
    site.server.wait_for("cert.key");
    assert_eq!(presented(site.addr(), &certs), certs.chain("c")[0]);
    site.replace("cert.pem", text(&certs, "d.pem"));
    eventually("the pair that matches", || presented(site.addr(), &certs) == certs.chain("d")[0]);
    // In place, with the time of the former.
    let time = fs::metadata(site.path("cert.pem")).unwrap().modified().unwrap();
    for (name, content) in pair("e") {
        fs::write(site.path(name), content).unwrap();
        fs::File::options().write(true).open(site.path(name)).unwrap().set_modified(time).unwrap();
    }
    eventually("the pair that was written in place", || {
        presented(site.addr(), &certs) == certs.chain("e")[0]
    });
    assert!(site.server.stop().status.success());
}

/// An authority and a client certificate for an endpoint that asks for one: neither is right at first.
#[test]
fn what_upstreams_are_trusted_by_is_read_again() {
    let (certs, others) = (Certs::new(), Certs::new());
    let server = config(&certs, "a", &["http/1.1"], Asks::Certificate);
    let endpoint = SecureEndpoint::new(server, answers(100));
    let dir = dir();
    for name in ["ca.pem", "a.pem", "a.key"] {
        fs::write(dir.path().join(name), text(&others, name)).unwrap();
        fs::set_permissions(dir.path().join(name), fs::metadata(others.path(name)).unwrap().permissions())
            .unwrap();
    }
    let config = format!(
        "proxy = \"app\"\n[upstreams.app]\nendpoints = [\"{}\"]\nretries.tries = 1\n\
         tls = {{ ca = \"ca.pem\", certificate = \"a.pem\", key = \"a.key\" }}\n",
        endpoint.addr
    );
    let site = Site::start_in(dir, &config, &[]);
    let status = || get(site.addr(), "/").status;
    assert_eq!(status(), 502, "another authority");
    // In place, with the time of the former.
    let time = fs::metadata(site.path("ca.pem")).unwrap().modified().unwrap();
    fs::write(site.path("ca.pem"), text(&certs, "ca.pem")).unwrap();
    fs::File::options().write(true).open(site.path("ca.pem")).unwrap().set_modified(time).unwrap();
    site.admin(&["reload"]);
    assert_eq!(status(), 502, "the client certificate of another authority");
    site.replace("a.key", text(&certs, "a.key"));
    site.replace("a.pem", text(&certs, "a.pem"));
    site.admin(&["reload"]);
    assert_eq!(status(), 200);
    // An authority that is no longer trusted: kept connections are not used any more either.
    site.replace("ca.pem", text(&others, "ca.pem"));
    site.admin(&["reload"]);
    assert_eq!(status(), 502, "a kept connection of the former trust");
    assert!(site.server.stop().status.success());
}

#[test]
fn the_watcher_follows_what_only_a_refused_configuration_names() {
    let (certs, others) = (Certs::new(), Certs::new());
    let endpoint = SecureEndpoint::new(config(&certs, "a", &["http/1.1"], Asks::Nothing), answers(100));
    let dir = dir();
    let start = "include = [\"part.toml\"]\n";
    fs::write(dir.path().join("part.toml"), "respond = \"one\"\n").unwrap();
    let mut site = Site::start_in(dir, start, &["--watch"]);
    // An included file, in place and with the time of the former.
    let time = fs::metadata(site.path("part.toml")).unwrap().modified().unwrap();
    fs::write(site.path("part.toml"), "respond = \"two\"\n").unwrap();
    fs::File::options().write(true).open(site.path("part.toml")).unwrap().set_modified(time).unwrap();
    eventually("the included file", || get(site.addr(), "/").body == b"two");

    // It includes a file that is not there, and then is.
    site.write("include = [\"part.toml\", \"late.toml\"]\n");
    site.server.wait_for("not reloaded: ");
    let upstream = format!(
        "[[route]]\npath = \"/up\"\nproxy = \"app\"\n[upstreams.app]\nendpoints = [\"{}\"]\n\
         tls = {{ ca = \"ca.pem\" }}\n",
        endpoint.addr
    );
    fs::write(site.path("late.toml"), &upstream).unwrap();
    // The file of authorities is not there either, and then is of others.
    site.server.wait_for("ca.pem");
    site.replace("ca.pem", text(&others, "ca.pem"));
    eventually("the other authority", || get(site.addr(), "/up").status == 502);
    site.replace("ca.pem", text(&certs, "ca.pem"));
    eventually("the authority", || get(site.addr(), "/up").status == 200);
    assert!(site.server.stop().status.success());
}
