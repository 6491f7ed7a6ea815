//! `quoit cert`: a local CA and its certificates, for development, and display of certificates. Clients do
//! not trust them until they are configured to.

mod handshake;
mod make;
mod show;
mod store;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::values::positive;
use crate::net::tls::is_name;
use crate::observe::log;

#[derive(Args, Debug)]
pub(super) struct CertArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a certificate authority: DIR/ca.pem for clients to trust, DIR/ca.key to keep secret
    Ca(CaArgs),
    /// Issue a certificate for a server: NAME.pem and NAME.key
    Leaf(LeafArgs),
    /// Make a self-signed certificate for a server: NAME.pem and NAME.key
    SelfSigned(SelfSignedArgs),
    /// Issue a certificate for a client (mutual TLS): NAME.pem and NAME.key
    Client(ClientArgs),
    /// Show the certificates in a PEM file, or those that a server presents
    Show(ShowArgs),
}

#[derive(Args, Debug)]
struct CaArgs {
    /// Directory to write to; created if it does not exist
    dir: PathBuf,

    /// Name of the authority [default: quoit local authority, and a number]
    #[arg(long)]
    name: Option<String>,

    /// Days until it expires
    #[arg(long, value_name = "N", default_value_t = 3650, allow_negative_numbers = true, value_parser = days)]
    days: u32,

    /// Replace files that exist
    #[arg(long)]
    force: bool,
}

/// Output directory and validity.
#[derive(Args, Debug)]
struct OutputArgs {
    /// Directory to write to
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,

    /// Days until it expires
    #[arg(long, value_name = "N", default_value_t = 365, allow_negative_numbers = true, value_parser = days)]
    days: u32,

    /// Replace files that exist
    #[arg(long)]
    force: bool,
}

#[derive(Args, Debug)]
struct LeafArgs {
    /// Host names, *.example.test, or IP addresses
    #[arg(required = true, value_name = "NAME", value_parser = name)]
    names: Vec<String>,

    /// Directory of the authority that issues it, as made by `quoit cert ca`
    #[arg(long, value_name = "DIR")]
    ca: PathBuf,

    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
struct SelfSignedArgs {
    /// Host names, *.example.test, or IP addresses
    #[arg(required = true, value_name = "NAME", value_parser = name)]
    names: Vec<String>,

    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
struct ClientArgs {
    /// Name of the client, such as alice or alice@example.test
    #[arg(value_parser = client_name)]
    name: String,

    /// Directory of the authority that issues it, as made by `quoit cert ca`
    #[arg(long, value_name = "DIR")]
    ca: PathBuf,

    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
struct ShowArgs {
    /// A PEM file, or HOST:PORT of a TLS server
    #[arg(value_name = "FILE|HOST:PORT")]
    place: String,

    /// Name to send to the server (SNI) instead of HOST
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// A century, which is sufficient and within the range of a certificate's dates.
const DAYS_MAX: u32 = 36500;

fn days(text: &str) -> Result<u32, String> {
    let days = positive(text).ok().and_then(|days| u32::try_from(days).ok());
    days.filter(|&days| days <= DAYS_MAX)
        .ok_or_else(|| format!("expected a whole number of days, 1 to {DAYS_MAX}"))
}

fn name(text: &str) -> Result<String, &'static str> {
    let expected = "expected a host name, *.example.test, or an IP address";
    if is_name(text) { Ok(text.to_ascii_lowercase()) } else { Err(expected) }
}

/// It becomes part of a file name.
fn client_name(text: &str) -> Result<String, &'static str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "@._-+ ".contains(c);
    let expected = "expected letters, digits and @ . _ - +, not beginning with a dot, up to 64";
    if (1..=64).contains(&text.len()) && text.chars().all(fits) && !text.starts_with('.') {
        Ok(text.to_owned())
    } else {
        Err(expected)
    }
}

/// Runs the command and prints its result on standard output.
pub(super) fn run(args: &CertArgs) -> ExitCode {
    let outcome = match &args.command {
        Command::Ca(args) => make::authority(args),
        Command::Leaf(args) => make::leaf(args),
        Command::SelfSigned(args) => make::self_signed(args),
        Command::Client(args) => make::client(args),
        Command::Show(args) => show::show(&args.place, args.name.as_deref()).map_err(Into::into),
    };
    match outcome {
        Ok(text) => super::generate::print(text.as_bytes()),
        Err(error) => {
            log::error(&*error);
            ExitCode::FAILURE
        }
    }
}
