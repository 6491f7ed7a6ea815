//! Certificates that renew themselves, over real sockets: the built program against an authority that checks
//! every request and looks at every answer, and against Pebble, the test server of Let's Encrypt.

#[path = "acme/authority.rs"]
#[allow(dead_code, reason = "a part is for the tests in src/acme, whose clock jumps")]
mod authority;
#[path = "acme/lab.rs"]
mod lab;
#[path = "acme/net.rs"]
mod net;
#[path = "acme/pebble.rs"]
mod pebble;
#[path = "common/wait.rs"]
mod wait;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use crate::authority::Mishap;
use crate::lab::Lab;
use crate::net::{Ca, visit};

/// An authority that looks where the lab answers, and its root.
fn start_ca(lab: &Lab) -> (Ca, String) {
    let ca = Ca::start(lab.places.clone());
    let root = ca.lock().root_pem.clone();
    (ca, root)
}

#[test]
fn each_kind_of_proof_leads_to_a_certificate_that_visitors_trust() {
    let lab = Lab::new();
    let (http, hook) = (lab.places.http.to_string(), lab.hook());
    let kinds: [(&str, &[&str]); 3] = [
        ("a.example,www.a.example", &["--acme-challenge", "tls-alpn-01"]),
        ("b.example,www.b.example", &["--redirect-from", &http]),
        ("c.example,*.c.example", &["--acme-dns-hook", &hook]),
    ];
    for (names, args) in kinds {
        let lab = lab.another();
        let (ca, root) = start_ca(&lab);
        // Errors that every client meets.
        let mishaps = [("new-order", Mishap::BadNonce), ("finalize", Mishap::Reset)];
        ca.lock().mishaps.extend(mishaps);
        ca.lock().slowness = 1;
        let args = [&["--acme-domain", names, "--acme-email", "admin@a.example"], args].concat();
        let mut process = lab.serve(&ca, &args);
        let first = names.split(',').next().unwrap();
        let other = names.split(',').nth(1).unwrap().replace('*', "any");
        let serial = lab.visited(&process, first, &root);
        assert_eq!(visit(lab.places.tls, &other, &root).unwrap(), serial);
        visit(lab.places.tls, "other.example", &root).unwrap_err();
        process.says(&[first, "got a certificate and presenting it; valid until"]);
        assert_eq!(ca.lock().contact().to_string(), r#"["mailto:admin@a.example"]"#);
        assert_eq!(ca.counts(), [1, 1, 1], "{:?}", process.said());
        for left in fs::read_dir(&lab.places.dns).unwrap() {
            let records = fs::read_to_string(left.unwrap().path()).unwrap();
            assert_eq!(records, "", "records are taken away");
        }
        for name in ["account.json".to_owned(), format!("{first}.pem")] {
            let mode = fs::metadata(lab.state(&name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        process.terminate();
        assert!(process.wait().success());
    }
}

#[test]
fn a_due_certificate_is_renewed_while_every_visitor_is_served() {
    let lab = Lab::new();
    let (ca, root) = start_ca(&lab);
    ca.lock().lifetime = Duration::from_secs(18);
    let process = lab.serve(&ca, &["--acme-domain", "a.example"]);
    let first = lab.visited(&process, "a.example", &root);
    let (mut visits, mut serials) = (0, vec![first]);
    let began = Instant::now();
    while serials.len() < 2 {
        let serial = visit(lab.places.tls, "a.example", &root);
        let serial = serial.unwrap_or_else(|error| panic!("{error} after {visits}: {:?}", process.said()));
        visits += 1;
        if !serials.contains(&serial) {
            serials.push(serial);
        }
        assert!(began.elapsed() < lab::PATIENCE, "no renewal: {:?}", process.said());
    }
    assert!(visits > 20, "{visits} visits, none of them in vain");
    assert_eq!(ca.lock().accounts(), 1);
}

#[test]
fn failures_are_told_with_the_next_try_and_serving_goes_on() {
    let lab = Lab::new();
    let (ca, root) = start_ca(&lab);
    ca.lock().lifetime = Duration::from_secs(24);
    let process = lab.serve(&ca, &["--acme-domain", "a.example"]);
    let serial = lab.visited(&process, "a.example", &root);
    ca.lock().mishaps.push_back(("new-order", Mishap::RateLimited(3600)));
    let line = process.says(&["failure 1"]);
    assert!(line.contains("the CA refused the order with 429: rateLimited (come back in 3600)"), "{line}");
    assert!(line.contains("; serving goes on with the certificate until "), "{line}");
    assert!(line.contains("; trying again in 6") || line.contains("in 7"), "minutes: {line}");
    assert_eq!(visit(lab.places.tls, "a.example", &root).unwrap(), serial);
}

#[test]
fn without_a_certificate_handshakes_fail_and_the_log_says_why() {
    let lab = Lab::new();
    let (ca, root) = start_ca(&lab);
    ca.lock().offered = vec!["http-01"];
    let mut process = lab.serve(&ca, &["--acme-domain", "a.example"]);
    let line = process.says(&["failure 1"]);
    assert!(line.contains("the CA does not offer tls-alpn-01 for a.example"), "{line}");
    assert!(line.contains("--acme-challenge among http-01; until there is a certificate"), "{line}");
    assert!(line.contains("; trying again in 6") || line.contains("in 7"), "seconds: {line}");
    let error = visit(lab.places.tls, "a.example", &root).unwrap_err().to_string();
    assert!(error.contains("AccessDenied") || error.contains("UnrecognisedName"), "{error}");
    process.terminate();
    assert!(process.wait().success());
}

#[test]
fn a_name_that_does_not_lead_here_is_told_with_what_the_authority_saw() {
    let lab = Lab::new();
    let (ca, _) = start_ca(&Lab::new());
    let process = lab.serve(&ca, &["--acme-domain", "a.example"]);
    let line = process.says(&["failure 1"]);
    assert!(line.contains("could not verify a.example by tls-alpn-01: incorrectResponse"), "{line}");
    assert!(line.contains("Connection refused") && line.contains("port 443 of that name"), "{line}");
}

#[test]
fn a_restart_uses_account_and_certificate_at_once() {
    let lab = Lab::new();
    let (ca, root) = start_ca(&lab);
    let mut process = lab.serve(&ca, &["--acme-domain", "a.example"]);
    let serial = lab.visited(&process, "a.example", &root);
    process.kill();
    // Independent of the CA.
    ca.lock().mishaps.push_back(("dir", Mishap::Reset));
    let mut process = lab.serve(&ca, &["--acme-domain", "a.example"]);
    assert_eq!(lab.visited(&process, "a.example", &root), serial);
    process.says(&["using the stored certificate; valid until", "renewal planned for"]);

    // The state directory is one process's own.
    let elsewhere = Lab::new();
    fs::create_dir(elsewhere.path("other")).unwrap();
    let state = lab.path("state");
    let args = ["--acme-domain", "a.example", "--acme-state", state.to_str().unwrap()];
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_quoit"));
    command.args(["serve", "--listen", &elsewhere.places.tls.to_string()]).args(args);
    let directory = format!("https://{}/dir", ca.addr);
    command.args(["--acme-directory", &directory]).arg("--acme-ca-root").arg(lab.path("root.pem"));
    let mut second = lab::Process::start(command);
    assert!(!second.wait().success());
    second.says(&["is in use by another process; stop that one, or name another"]);
    assert_eq!(ca.counts(), [1, 1, 1]);
    process.terminate();
    assert!(process.wait().success());
}

#[test]
fn damage_is_told_with_the_remedy() {
    let lab = Lab::new();
    let (ca, root) = start_ca(&lab);
    let mut process = lab.serve(&ca, &["--acme-domain", "a.example"]);
    let serial = lab.visited(&process, "a.example", &root);
    process.kill();
    let file = lab.state("a.example.pem");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let mut process = lab.serve(&ca, &["--acme-domain", "a.example"]);
    process.says(&["a.example.pem is damaged", "a.example.pem.damaged, and another is ordered"]);
    assert_ne!(lab.visited(&process, "a.example", &root), serial);
    process.kill();
    fs::remove_file(&file).unwrap();
    fs::write(lab.state("account.json"), "{\"key\":").unwrap();
    let process = lab.serve(&ca, &["--acme-domain", "a.example"]);
    let line = process.says(&["failure 1", "account.json is damaged"]);
    assert!(line.contains("restore the file from a backup, or remove it"), "{line}");
    fs::remove_file(lab.state("account.json")).unwrap();
}

#[test]
fn the_end_does_not_wait_for_an_authority_that_says_nothing() {
    let lab = Lab::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = format!("https://{}/dir", silent.local_addr().unwrap());
    let (ca, _) = start_ca(&lab);
    let root = lab.path("root.pem");
    fs::write(&root, &ca.lock().root_pem).unwrap();
    let mut process = lab.serve_against(&directory, &root, &["--acme-domain", "a.example"]);
    let _held = silent.accept().unwrap();
    let began = Instant::now();
    process.terminate();
    assert!(process.wait().success());
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[test]
fn what_does_not_fit_together_is_told_at_the_start() {
    let lab = Lab::new();
    let (ca, _) = start_ca(&lab);
    let cases: [(&[&str], &str); 5] = [
        (&["--acme-domain", "*.a.example"], "can only be proved by DNS: --acme-challenge dns-01"),
        (&["--acme-domain", "a.example", "--acme-domain", "a.example,b.example"], "two certificates begin"),
        (&["--acme-domain", "a.example", "--acme-challenge", "http-01"], "add --redirect-from"),
        (&["--acme-domain", "a.example", "--acme-email", "nobody"], "expected an address such as"),
        (&["--acme-domain", "a.example", "--tls-client-ca", "ca.pem"], "the CA has no client certificate"),
    ];
    for (args, words) in cases {
        let mut process = lab.serve(&ca, args);
        assert!(!process.wait().success());
        process.says(&[words]);
        assert_eq!(process.said().len(), 1, "one line: {:?}", process.said());
    }
    let missing = lab.path("missing.pem");
    let mut process = lab.serve_against("https://127.0.0.1:1/", &missing, &["--acme-domain", "a.example"]);
    assert!(!process.wait().success());
    process.says(&["--acme-ca-root", "missing.pem", "name a PEM file"]);
}
