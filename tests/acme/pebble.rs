//! Against Pebble, an independent ACME server, and its name server: conformance to RFC 8555.
//! Debian packages both; `scripts/test` installs it, and without it these tests only print a note.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

use crate::lab::{Lab, Process, free_addr};
use crate::net::visit;

/// Pebble with its name server, which resolves every name to 127.0.0.1.
struct Pebble {
    addr: SocketAddr,
    management: SocketAddr,
    names: SocketAddr,
    process: Process,
    _name_server: Process,
}

/// A part of the nonces is refused, so that trying again is tried in every run.
const NONCES_REFUSED_PERCENT: &str = "20";

fn is_installed() -> bool {
    let found = |program| Command::new(program).arg("-h").output().is_ok();
    let installed = found("pebble") && found("pebble-challtestsrv");
    // Where everything must hold, a missing program is a failure.
    assert!(installed || std::env::var_os("CI").is_none(), "pebble is missing: apt-get install pebble");
    if !installed {
        eprintln!("skipped, for pebble is missing: apt-get install pebble");
    }
    installed
}

fn start(lab: &Lab, more: &Value) -> Pebble {
    let key = KeyPair::generate().unwrap();
    let mut root = CertificateParams::new(Vec::<String>::new()).unwrap();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.distinguished_name.push(rcgen::DnType::CommonName, "root of the test");
    fs::write(lab.path("root.pem"), root.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(root, key);
    let own = KeyPair::generate().unwrap();
    let chain = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&own, &issuer).unwrap();
    fs::write(lab.path("own.pem"), chain.pem()).unwrap();
    fs::write(lab.path("own.key"), own.serialize_pem()).unwrap();
    let [addr, management, names] = [free_addr(), free_addr(), free_addr()];
    let dns = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut config = json!({
        "listenAddress": addr.to_string(), "managementListenAddress": management.to_string(),
        "certificate": lab.path("own.pem"), "privateKey": lab.path("own.key"),
        "httpPort": lab.places.http.port(), "tlsPort": lab.places.tls.port(),
        "ocspResponderURL": "", "externalAccountBindingRequired": false,
    });
    for (name, value) in more.as_object().unwrap() {
        config[name] = value.clone();
    }
    let file = lab.path("pebble.json");
    fs::write(&file, json!({"pebble": config}).to_string()).unwrap();
    let mut command = Command::new("pebble-challtestsrv");
    command.args(["-dns01", &dns.to_string(), "-management", &names.to_string(), "-defaultIPv6", ""]);
    command.args(["-http01", "", "-https01", "", "-tlsalpn01", ""]);
    let name_server = Process::start(command);
    let mut command = Command::new("pebble");
    command.arg("-config").arg(file).args(["-strict", "-dnsserver", &dns.to_string()]);
    command.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", NONCES_REFUSED_PERCENT);
    command.env("PEBBLE_CHAIN_LENGTH", "2");
    let process = Process::start(command);
    let pebble = Pebble { addr, management, names, process, _name_server: name_server };
    pebble.process.until("pebble listens", || curl(lab, &format!("https://{addr}/dir"), &[]));
    pebble.process.until("its name server listens", || {
        curl(lab, &format!("http://{names}/set-txt"), &["-d", r#"{"host":"x.example.","value":"x"}"#])
    });
    pebble
}

/// What a URL has, if it has anything.
fn curl(lab: &Lab, url: &str, args: &[&str]) -> Option<String> {
    let mut command = Command::new("curl");
    command.args(["-sf", "--max-time", "10", "--cacert"]).arg(lab.path("root.pem")).args(args).arg(url);
    let output = command.output().expect("curl is installed");
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

impl Pebble {
    /// The root of the certificates that it issues.
    fn roots(&self, lab: &Lab) -> String {
        curl(lab, &format!("https://{}/roots/0", self.management), &[]).expect("it tells its root")
    }

    fn serve(&self, lab: &Lab, args: &[&str]) -> Process {
        lab.serve_against(&format!("https://{}/dir", self.addr), &lab.path("root.pem"), args)
    }

    /// A DNS hook that updates the name server.
    fn hook(&self, lab: &Lab) -> String {
        let script = lab.path("hook.sh");
        let text = format!(
            "set -e\ncase $1 in present) what=set-txt ;; *) what=clear-txt ;; esac\n\
             curl -sf -d \"{{\\\"host\\\":\\\"$3.\\\",\\\"value\\\":\\\"$4\\\"}}\" http://{}/$what\n",
            self.names
        );
        fs::write(&script, text).unwrap();
        format!("sh {}", script.display())
    }
}

#[test]
fn pebble_believes_each_kind_of_proof() {
    if !is_installed() {
        return;
    }
    for kind in ["tls-alpn-01", "http-01", "dns-01"] {
        let lab = Lab::new();
        let pebble = start(&lab, &json!({}));
        let (http, hook) = (lab.places.http.to_string(), pebble.hook(&lab));
        let (names, other) = match kind {
            "dns-01" => ("a.example,*.a.example", "any.a.example"),
            _ => ("a.example,www.a.example", "www.a.example"),
        };
        let mut args = vec!["--acme-domain", names, "--acme-challenge", kind];
        match kind {
            "http-01" => args.extend(["--redirect-from", &http]),
            "dns-01" => args.extend(["--acme-dns-hook", &hook]),
            _ => {}
        }
        let mut process = pebble.serve(&lab, &args);
        process.says(&["a.example", "got a certificate and presenting it"]);
        let roots = pebble.roots(&lab);
        let serial = visit(lab.places.tls, "a.example", &roots).unwrap();
        assert_eq!(visit(lab.places.tls, other, &roots).unwrap(), serial, "{kind}");

        // The account is known from now on, and the certificate good for weeks.
        process.kill();
        let process = pebble.serve(&lab, &args);
        process.says(&["using the stored certificate"]);
        assert_eq!(lab.visited(&process, "a.example", &roots), serial, "{kind}");
        drop(process);
        fs::remove_file(lab.state("a.example.pem")).unwrap();
        let process = pebble.serve(&lab, &args);
        process.says(&["got a certificate and presenting it"]);
        assert_ne!(visit(lab.places.tls, "a.example", &roots).unwrap(), serial, "{kind}");
        let account = fs::read_to_string(lab.state("account.json")).unwrap();
        let account: Value = serde_json::from_str(&account).unwrap();
        assert!(account["url"].as_str().unwrap().contains("/my-account/"), "{account}");
    }
}

#[test]
fn pebble_binds_accounts() {
    if !is_installed() {
        return;
    }
    let lab = Lab::new();
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let config = json!({"externalAccountBindingRequired": true, "externalAccountMACKeys": {"kid-1": key}});
    let pebble = start(&lab, &config);
    let process = pebble.serve(&lab, &["--acme-domain", "a.example"]);
    process.says(&["failure 1", "give the key it has issued with --acme-eab KID:KEY"]);
    drop(process);
    let eab = format!("kid-1:{key}");
    let process = pebble.serve(&lab, &["--acme-domain", "a.example", "--acme-eab", &eab]);
    process.says(&["got a certificate and presenting it"]);
    visit(lab.places.tls, "a.example", &pebble.roots(&lab)).unwrap();
}
