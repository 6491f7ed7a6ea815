//! Creates CAs and certificates: ECDSA P-256 keys, which every client of the last ten years supports.

use std::error::Error;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use aws_lc_rs::rand;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};

use super::store::PemPair;
use super::{CaArgs, ClientArgs, LeafArgs, OutputArgs, SelfSignedArgs};
use crate::net::tls::is_name;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Backdated, to tolerate clock skew of clients.
const BACKDATED: Duration = Duration::from_secs(60 * 60);

/// The line to print, or the error.
type MakeResult = Result<String, Box<dyn Error>>;

/// The certificate could not be generated or signed.
#[derive(Debug, thiserror::Error)]
#[error("the certificate cannot be made: {0}")]
struct SignError(#[source] rcgen::Error);

/// `quoit cert ca`.
pub(super) fn authority(args: &CaArgs) -> MakeResult {
    let key = generate()?;
    let mut number = [0; 4];
    rand::fill(&mut number).map_err(|_| "the system has no random numbers".to_owned())?;
    let name = args.name.clone().unwrap_or_else(|| {
        // Two CAs with the same name would be confused by clients that trust one of them.
        format!("quoit local authority {:08x}", u32::from_be_bytes(number))
    });
    let mut params = params(&name, args.days)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).map_err(SignError)?;
    fs::create_dir_all(&args.dir)
        .map_err(|error| format!("{} cannot be made: {error}", args.dir.display()))?;
    let pair = PemPair::new(&args.dir, "ca");
    pair.write(&certificate.pem(), &key.serialize_pem(), args.force)?;
    let (dir, certificate, key) = (args.dir.display(), pair.certificate.display(), pair.key.display());
    Ok(format!(
        "{certificate}: the authority `{name}`; give it to those who are to trust it, such as curl --cacert \
         {certificate}\n{key}: its private key; whoever has it can pose as any server to those\nnext: quoit \
         cert leaf localhost 127.0.0.1 --ca {dir}\n"
    ))
}

/// `quoit cert leaf`.
pub(super) fn leaf(args: &LeafArgs) -> MakeResult {
    let issuer = issuer(&args.ca)?;
    let (params, key) = (server_params(&args.names, args.output.days)?, generate()?);
    let certificate = params.signed_by(&key, &issuer).map_err(SignError)?;
    store_server(&args.names, &args.output, &certificate, &key)
}

/// `quoit cert self-signed`.
pub(super) fn self_signed(args: &SelfSignedArgs) -> MakeResult {
    let (mut params, key) = (server_params(&args.names, args.output.days)?, generate()?);
    params.use_authority_key_identifier_extension = false;
    let certificate = params.self_signed(&key).map_err(SignError)?;
    store_server(&args.names, &args.output, &certificate, &key)
}

/// `quoit cert client`.
pub(super) fn client(args: &ClientArgs) -> MakeResult {
    let issuer = issuer(&args.ca)?;
    let key = generate()?;
    let mut params = leaf_params(&args.name, args.output.days)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    if args.name.contains('@') {
        params.subject_alt_names = vec![SanType::Rfc822Name(text(&args.name)?)];
    } else if is_name(&args.name) {
        params.subject_alt_names = names(std::slice::from_ref(&args.name))?;
    }
    let certificate = params.signed_by(&key, &issuer).map_err(SignError)?;
    let pair = PemPair::new(&args.output.out, &args.name);
    pair.write(&certificate.pem(), &key.serialize_pem(), args.output.force)?;
    let (certificate, key) = (pair.certificate.display(), pair.key.display());
    Ok(format!(
        "{certificate}: a certificate for the client `{}`\n{key}: its private key\nnext: curl --cert \
         {certificate} --key {key} …, where the server was started with --tls-client-ca {}\n",
        args.name,
        args.ca.join("ca.pem").display()
    ))
}

fn store_server(
    names: &[String],
    output: &OutputArgs,
    certificate: &Certificate,
    key: &KeyPair,
) -> MakeResult {
    let pair = PemPair::new(&output.out, &names[0].replace('*', "wildcard"));
    pair.write(&certificate.pem(), &key.serialize_pem(), output.force)?;
    let (certificate, key) = (pair.certificate.display(), pair.key.display());
    Ok(format!(
        "{certificate}: a certificate for {}\n{key}: its private key\nnext: quoit serve --tls-cert \
         {certificate} --tls-key {key} DIR, with a DIR that does not hold the key\n",
        names.join(", ")
    ))
}

/// The CA in a directory.
fn issuer(dir: &Path) -> Result<Issuer<'static, KeyPair>, String> {
    let pair = PemPair::new(dir, "ca");
    let read = |path: &Path| {
        fs::read_to_string(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => format!(
                "{}: there is no such file; make an authority with `quoit cert ca {}`",
                path.display(),
                dir.display()
            ),
            _ => format!("{}: it cannot be read: {error}", path.display()),
        })
    };
    let (pem, key) = (read(&pair.certificate)?, read(&pair.key)?);
    let key = KeyPair::from_pem(&key).map_err(|error| {
        format!("{}: it is no private key in PEM that can sign ({error})", pair.key.display())
    })?;
    Issuer::from_ca_cert_pem(&pem, key).map_err(|error| {
        format!("{}: it is no certificate of an authority in PEM ({error})", pair.certificate.display())
    })
}

fn generate() -> Result<KeyPair, SignError> {
    KeyPair::generate().map_err(SignError)
}

fn server_params(server_names: &[String], days: u32) -> Result<CertificateParams, SignError> {
    // The common name is informational, and has at most 64 characters (RFC 5280, ub-common-name).
    let common_name = server_names.iter().find(|name| name.len() <= 64).map_or("server", String::as_str);
    let mut params = leaf_params(common_name, days)?;
    params.subject_alt_names = names(server_names)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn leaf_params(common_name: &str, days: u32) -> Result<CertificateParams, SignError> {
    let mut params = params(common_name, days)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn params(common_name: &str, days: u32) -> Result<CertificateParams, SignError> {
    let mut params = CertificateParams::new([]).map_err(SignError)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let now = SystemTime::now();
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + DAY * days).into();
    Ok(params)
}

fn names(names: &[String]) -> Result<Vec<SanType>, SignError> {
    let name = |name: &String| match name.parse::<IpAddr>() {
        Ok(addr) => Ok(SanType::IpAddress(addr)),
        Err(_) => text(name).map(SanType::DnsName),
    };
    names.iter().map(name).collect()
}

fn text(name: &str) -> Result<rcgen::string::Ia5String, SignError> {
    name.try_into().map_err(SignError)
}
