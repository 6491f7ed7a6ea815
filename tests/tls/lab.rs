//! An authority, a site, servers for it, and the clients to ask them with. Judges nothing.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DistinguishedName,
    DnType, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, SignatureAlgorithm,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

use crate::server::Server;

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Nothing here takes longer, on a loaded machine either.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes of `big`: many records, and more than sockets hold.
pub(crate) const BIG: usize = 3_000_000;

/// A directory with a site in `site`, and an authority.
pub(crate) struct Lab {
    dir: TempDir,
    root: CertifiedIssuer<'static, KeyPair>,
}

/// A connection of rustls' own, over a blocking socket.
pub(crate) type Connection = StreamOwned<ClientConnection, TcpStream>;

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = params(&[]);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.use_authority_key_identifier_extension = true;
    params.not_before = (SystemTime::now() - DAY).into();
    params.not_after = (SystemTime::now() + 60 * DAY).into();
    params
}

impl Lab {
    /// With a certificate for `localhost` and 127.0.0.1 in `a.pem` and `a.key`.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let lab = Self { dir, root: authority("Test Authority") };
        fs::create_dir(lab.path("site")).unwrap();
        fs::write(lab.path("site/index.html"), "<title>here</title>").unwrap();
        let bytes: Vec<u8> = (0..BIG as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        fs::write(lab.path("site/big"), bytes).unwrap();
        lab.write("ca.pem", &lab.root.pem());
        lab.issue("a", &["localhost", "127.0.0.1"]);
        lab
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The same as text, for arguments.
    pub(crate) fn at(&self, name: &str) -> String {
        self.path(name).to_str().expect("test paths are text").to_owned()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let temporary = self.path(&format!("{name}.new"));
        fs::write(&temporary, text).unwrap();
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(&temporary, self.path(name)).unwrap();
    }

    /// Issues into NAME.pem and NAME.key.
    pub(crate) fn issue(&self, name: &str, names: &[&str]) {
        self.issue_with(name, names, &rcgen::PKCS_ECDSA_P256_SHA256, name);
    }

    /// The same with another kind of key, and a subject.
    pub(crate) fn issue_with(
        &self,
        name: &str,
        names: &[&str],
        algorithm: &'static SignatureAlgorithm,
        subject: &str,
    ) {
        let mut params = params(names);
        params.distinguished_name.push(DnType::CommonName, subject);
        self.store(name, &params, algorithm, &self.root);
    }

    /// A client's certificate with this serial number, in NAME.pem and NAME.key.
    pub(crate) fn issue_client(&self, name: &str, serial: u64) {
        let mut params = params(&["client.test"]);
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from(serial));
        self.store(name, &params, &rcgen::PKCS_ECDSA_P256_SHA256, &self.root);
    }

    /// A client's certificate issued by another CA.
    pub(crate) fn issue_stranger(&self, name: &str) {
        let another = authority("Another");
        self.store(name, &params(&["client.test"]), &rcgen::PKCS_ECDSA_P256_SHA256, &another);
    }

    fn store(
        &self,
        name: &str,
        params: &CertificateParams,
        algorithm: &'static SignatureAlgorithm,
        issuer: &CertifiedIssuer<'_, KeyPair>,
    ) {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let certificate = params.signed_by(&key, issuer).unwrap();
        self.write(&format!("{name}.pem"), &certificate.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    /// Writes a list that revokes these serial numbers.
    pub(crate) fn revoke(&self, name: &str, serials: &[u64]) {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: (SystemTime::now() - DAY).into(),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: (SystemTime::now() - DAY).into(),
            next_update: (SystemTime::now() + 7 * DAY).into(),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        self.write(name, &params.signed_by(&self.root).unwrap().pem().unwrap());
    }

    /// Serves the site with `a.pem` and more arguments.
    pub(crate) fn serve(&self, args: &[&str]) -> Server {
        let (chain, key) = (self.at("a.pem"), self.at("a.key"));
        self.serve_with(&[&["--tls-cert", &chain, "--tls-key", &key], args].concat())
    }

    /// Serves the site with these arguments, on two workers by default.
    pub(crate) fn serve_with(&self, args: &[&str]) -> Server {
        let site = self.at("site");
        Server::start(&[&[&site, "--listen", "127.0.0.1:0", "--workers", "2"], args].concat())
    }

    /// curl with arguments of its own; what it wrote and how it ended.
    pub(crate) fn curl(&self, args: &[&str]) -> Output {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "20", "--cacert", &self.at("ca.pem")]);
        command.args(args).output().expect("curl is installed")
    }

    /// `openssl s_client` to `server`, without a request: its whole output.
    pub(crate) fn s_client(&self, server: &Server, args: &[&str]) -> String {
        self.s_client_says(server, "", args)
    }

    /// The same with a request, up to the end of the response.
    pub(crate) fn s_client_get(&self, server: &Server, args: &[&str]) -> String {
        let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        self.s_client_says(server, request, &[args, &["-ign_eof"]].concat())
    }

    fn s_client_says(&self, server: &Server, request: &str, args: &[&str]) -> String {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &server.addr().to_string(), "-CAfile", &self.at("ca.pem")]);
        let piped = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().expect("openssl is installed");
        // It may have given up already.
        let _ = child.stdin.take().expect("piped").write_all(request.as_bytes());
        let output = child.wait_with_output().expect("our child");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    /// A client that trusts the authority; sessions belong to the one that began them.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone()).unwrap();
        ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
            .into()
    }
}

/// The output of a curl that ended well.
#[track_caller]
pub(crate) fn fine(output: Output) -> Vec<u8> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The status that curl ended with; 0 is success.
pub(crate) fn status(output: &Output) -> i32 {
    output.status.code().expect("curl ends by itself")
}

pub(crate) fn url(server: &Server, path: &str) -> String {
    format!("https://localhost:{}{path}", server.addr().port())
}

/// Connects for `localhost`; the handshake happens with the first byte.
pub(crate) fn connect(config: &Arc<ClientConfig>, addr: SocketAddr) -> Connection {
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(config.clone(), name).unwrap();
    let socket = TcpStream::connect(addr).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    StreamOwned::new(connection, socket)
}

/// GET, and the response with its Content-Length.
pub(crate) fn get(stream: &mut Connection, path: &str) -> std::io::Result<(u16, Vec<u8>)> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut read = Vec::new();
    let mut piece = vec![0; 16 * 1024];
    let mut more = |read: &mut Vec<u8>| -> std::io::Result<()> {
        let count = stream.read(&mut piece)?;
        read.extend_from_slice(&piece[..count]);
        if count == 0 { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    };
    let end = loop {
        match read.windows(4).position(|four| four == b"\r\n\r\n") {
            Some(end) => break end + 4,
            None => more(&mut read)?,
        }
    };
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    let status = head[9..12].parse().expect("a status");
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a length");
    let length: usize = length.parse().expect("a number");
    while read.len() < end + length {
        more(&mut read)?;
    }
    Ok((status, read.split_off(end)))
}

/// The certificate that a server presents now.
pub(crate) fn presented(config: &Arc<ClientConfig>, addr: SocketAddr) -> CertificateDer<'static> {
    let mut stream = connect(config, addr);
    get(&mut stream, "/").expect("an answer");
    stream.conn.peer_certificates().expect("a handshake")[0].clone()
}
