//! `quoit cert` as a process: the program makes authorities and certificates, openssl verifies
//! them, and the program shows their contents.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use tempfile::TempDir;

/// A directory to run in.
fn place() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn cert(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quoit")).arg("cert").args(args).current_dir(dir).output().unwrap()
}

/// Its output on success.
#[track_caller]
fn makes(dir: &Path, args: &[&str]) -> String {
    let output = cert(dir, args);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Its error: one line, and nothing on standard output.
#[track_caller]
fn refuses(dir: &Path, args: &[&str]) -> String {
    let output = cert(dir, args);
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("quoit: ") && said.lines().count() == 1, "{said}");
    said
}

fn openssl(dir: &Path, args: &[&str]) -> Output {
    Command::new("openssl").args(args).current_dir(dir).output().expect("openssl is installed")
}

#[track_caller]
fn openssl_says(dir: &Path, args: &[&str]) -> String {
    let output = openssl(dir, args);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn an_authority_issues_for_servers_and_clients_and_openssl_agrees() {
    let dir = place();
    let dir = dir.path();
    let said = makes(dir, &["ca", "dev/ca", "--name", "Test Authority"]);
    assert!(said.contains("`Test Authority`") && said.contains("--cacert dev/ca/ca.pem"), "{said}");
    let said = makes(dir, &["leaf", "localhost", "*.a.test", "127.0.0.1", "::1", "--ca", "dev/ca"]);
    assert!(
        said.contains("quoit serve --tls-cert localhost.pem --tls-key localhost.key DIR, with"),
        "{said}"
    );
    makes(dir, &["client", "alice@example.test", "--ca", "dev/ca", "--days", "7"]);
    for key in ["dev/ca/ca.key", "localhost.key", "alice@example.test.key"] {
        assert_eq!(mode(&dir.join(key)), 0o600, "{key}");
    }
    assert_eq!(mode(&dir.join("localhost.pem")), 0o644);
    let verify = |purpose: &str, file: &str, more: &[&str]| {
        let args =
            [&["verify", "-x509_strict", "-CAfile", "dev/ca/ca.pem", "-purpose", purpose], more, &[file]];
        openssl(dir, &args.concat()).status.success()
    };
    assert!(verify("sslserver", "localhost.pem", &["-verify_hostname", "localhost"]));
    assert!(verify("sslserver", "localhost.pem", &["-verify_hostname", "b.a.test"]));
    assert!(verify("sslserver", "localhost.pem", &["-verify_ip", "::1"]));
    assert!(!verify("sslserver", "localhost.pem", &["-verify_hostname", "other.test"]));
    assert!(!verify("sslclient", "localhost.pem", &[]), "a server's certificate is no client's");
    assert!(verify("sslclient", "alice@example.test.pem", &["-verify_email", "alice@example.test"]));
    assert!(!verify("sslserver", "alice@example.test.pem", &[]));
    let text = openssl_says(dir, &["x509", "-in", "dev/ca/ca.pem", "-noout", "-text"]);
    assert!(text.contains("CA:TRUE, pathlen:0") && text.contains("CRL Sign"), "{text}");
    // The key is the certificate's.
    let of_certificate = openssl_says(dir, &["x509", "-in", "localhost.pem", "-noout", "-pubkey"]);
    assert_eq!(openssl_says(dir, &["pkey", "-in", "localhost.key", "-pubout"]), of_certificate);
}

#[test]
fn two_authorities_of_no_name_are_told_apart() {
    let dir = place();
    let dir = dir.path();
    makes(dir, &["ca", "one"]);
    makes(dir, &["ca", "two"]);
    let subject = |file: &str| openssl_says(dir, &["x509", "-in", file, "-noout", "-subject"]);
    assert_ne!(subject("one/ca.pem"), subject("two/ca.pem"));
    makes(dir, &["leaf", "localhost", "--ca", "one"]);
    assert!(!openssl(dir, &["verify", "-CAfile", "two/ca.pem", "localhost.pem"]).status.success());
}

#[test]
fn a_self_signed_certificate_stands_alone() {
    let dir = place();
    let dir = dir.path();
    fs::create_dir(dir.join("out")).unwrap();
    makes(dir, &["self-signed", "*.x.test", "--days", "3", "--out", "out"]);
    let file = "out/wildcard.x.test.pem";
    let verified = ["verify", "-CAfile", file, "-verify_hostname", "a.x.test", file];
    assert!(openssl(dir, &verified).status.success());
    let day = 24 * 60 * 60;
    let ends = |seconds: u32| {
        let seconds = seconds.to_string();
        !openssl(dir, &["x509", "-in", file, "-noout", "-checkend", &seconds]).status.success()
    };
    assert!(!ends(3 * day - 600) && ends(3 * day + 600));
}

#[test]
fn nothing_is_replaced_unless_told_to() {
    let dir = place();
    let dir = dir.path();
    makes(dir, &["ca", "ca"]);
    let authority = fs::read(dir.join("ca/ca.pem")).unwrap();
    let said = refuses(dir, &["ca", "ca"]);
    assert!(said.contains("ca/ca.key exists already") && said.contains("--force"), "{said}");
    assert_eq!(fs::read(dir.join("ca/ca.pem")).unwrap(), authority);
    // One of the two is enough, and then nothing is written.
    fs::write(dir.join("localhost.pem"), "mine").unwrap();
    let said = refuses(dir, &["leaf", "localhost", "--ca", "ca"]);
    assert!(said.contains("localhost.pem exists already"), "{said}");
    assert!(!dir.join("localhost.key").exists());
    assert_eq!(fs::read(dir.join("localhost.pem")).unwrap(), b"mine");
    makes(dir, &["leaf", "localhost", "--ca", "ca", "--force"]);
    assert!(openssl(dir, &["verify", "-CAfile", "ca/ca.pem", "localhost.pem"]).status.success());
    let names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "nothing is left lying about: {names:?}");
}

#[test]
fn mistakes_are_told_with_the_remedy() {
    let dir = place();
    let dir = dir.path();
    makes(dir, &["ca", "ca"]);
    for (args, words) in [
        (
            &["leaf", "localhost", "--ca", "nowhere"][..],
            &["nowhere/ca.pem: there is no such file", "cert ca nowhere"][..],
        ),
        (
            &["leaf", "localhost", "--ca", "ca", "--out", "nowhere"],
            &["nowhere/localhost.key", "no such directory"],
        ),
        (&["leaf", "not a name", "--ca", "ca"], &["not a name", "host name"]),
        (&["leaf", "--ca", "ca"], &["NAME"]),
        (&["client", "../alice", "--ca", "ca"], &["../alice", "letters"]),
        (&["leaf", "localhost", "--ca", "ca", "--days", "0"], &["--days"]),
        (&["show", "nothing.pem"], &["nothing.pem: there is no such file", "HOST:PORT"]),
        (&["show", "ca/ca.key"], &["ca/ca.key: ", "BEGIN CERTIFICATE"]),
        (&["show", "127.0.0.1:1"], &["127.0.0.1:1: cannot connect to 127.0.0.1:1"]),
    ] {
        let said = refuses(dir, args);
        for word in words {
            assert!(said.contains(word), "{args:?}: `{word}` is missing: {said}");
        }
    }
    fs::copy(dir.join("ca/ca.pem"), dir.join("ca/ca.key")).unwrap();
    assert!(refuses(dir, &["leaf", "localhost", "--ca", "ca"]).contains("ca/ca.key: it is no private key"));
}

#[test]
fn show_tells_what_is_in_a_file() {
    let dir = place();
    let dir = dir.path();
    makes(dir, &["ca", "ca", "--name", "Odd, \"name\""]);
    makes(dir, &["leaf", "localhost", "127.0.0.1", "--ca", "ca", "--days", "9"]);
    let both = ["localhost.pem", "ca/ca.pem", "localhost.key"].map(|name| fs::read(dir.join(name)).unwrap());
    fs::write(dir.join("both.pem"), both.concat()).unwrap();
    let shown = makes(dir, &["show", "both.pem"]);
    let fingerprint =
        openssl_says(dir, &["x509", "-in", "localhost.pem", "-noout", "-fingerprint", "-sha256"]);
    let fingerprint = fingerprint.trim().rsplit('=').next().unwrap().replace(':', "").to_lowercase();
    for words in [
        "names  localhost, 127.0.0.1\n",
        "subject  CN=localhost\n",
        "issuer  CN=Odd\\, \\\"name\\\"\n",
        "key  ECDSA P-256\n",
        "kind  authority, self-signed\n",
        "and a private key\n",
        &fingerprint,
    ] {
        assert!(shown.contains(words), "`{words}` is missing:\n{shown}");
    }
    // Whole days: one fewer as soon as a second has passed.
    for days in [9, 3650] {
        let is_left = |days: i32| shown.contains(&format!("({days} days left)\n"));
        assert!(is_left(days) || is_left(days - 1), "{days} days:\n{shown}");
    }
    let serial = openssl_says(dir, &["x509", "-in", "localhost.pem", "-noout", "-serial"]);
    let serial = serial.trim().trim_start_matches("serial=").to_lowercase();
    assert!(shown.contains(&serial), "{serial}:\n{shown}");
}

#[test]
fn show_reads_the_keys_of_others() {
    let dir = place();
    let dir = dir.path();
    for (algorithm, kind) in [("rsa:2048", "RSA 2048"), ("ed25519", "Ed25519")] {
        let made = openssl(
            dir,
            &[
                "req",
                "-x509",
                "-newkey",
                algorithm,
                "-nodes",
                "-keyout",
                "x.key",
                "-out",
                "x.pem",
                "-subj",
                "/C=DE/O=Zoë/CN=x",
                "-days",
                "1",
                "-utf8",
            ],
        );
        assert!(made.status.success(), "{made:?}");
        let shown = makes(dir, &["show", "x.pem"]);
        assert!(shown.contains(&format!("key  {kind}\n")), "{shown}");
        assert!(shown.contains("subject  CN=x,O=Zoë,C=DE\n") && shown.contains("names  none\n"), "{shown}");
    }
}

#[test]
fn show_asks_servers_and_tells_who_is_none() {
    let dir = place();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    let server = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.write_all(b"220 mail.test ESMTP\r\n").unwrap();
        let _ = socket.read_to_end(&mut Vec::new());
    });
    assert!(refuses(dir.path(), &["show", &place]).contains("does not use TLS"));
    server.join().unwrap();
}
