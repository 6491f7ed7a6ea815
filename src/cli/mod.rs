//! The command line: one module per command. Library code of the `quoit` binary; the examples use
//! [`WorkerArgs`].

mod acme_args;
mod args;
mod browser;
mod cert;
mod doctor;
mod files_args;
mod generate;
mod log_args;
mod response_args;
mod serve;
mod tls_args;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand};

pub use self::args::WorkerArgs;
use crate::observe::log;

/// A web server for Linux: one io_uring and one executor per core.
#[derive(Debug, Parser)]
#[command(name = "quoit", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a directory over HTTP/1.1 and HTTP/2.
    Serve(Box<serve::ServeArgs>),
    /// Make and look at certificates for TLS.
    Cert(cert::CertArgs),
    /// Show the kernel features and limits of this machine, and the effect of missing ones.
    Doctor,
    /// Print completions for a shell.
    Completions(generate::CompletionsArgs),
    /// Print a page for man(1), such as: quoit man serve | man -l -
    Man(generate::ManArgs),
}

/// Runs the command line of this process, and returns the exit status.
pub fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(Cli { command: Command::Serve(args) }) => serve::run(*args),
        Ok(Cli { command: Command::Cert(args) }) => cert::run(&args),
        Ok(Cli { command: Command::Doctor }) => doctor::run(),
        Ok(Cli { command: Command::Completions(args) }) => generate::completions(&args, Cli::command()),
        Ok(Cli { command: Command::Man(args) }) => generate::man(&args, Cli::command()),
        Err(error) => mistyped(&error),
    }
}

/// Exit status of a usage error, as shells use it.
const USAGE: u8 = 2;

fn mistyped(error: &clap::Error) -> ExitCode {
    let asked_for_help = !error.use_stderr();
    if asked_for_help || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // A write error is ignored: the reader is gone.
        let _ = error.print();
        return if asked_for_help { ExitCode::SUCCESS } else { USAGE.into() };
    }
    log::line(format_args!("{}", one_line(&error.to_string())));
    USAGE.into()
}

/// A message of clap with several paragraphs, as one line like every other error.
fn one_line(text: &str) -> String {
    let said = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let parts: Vec<&str> = said.filter(|line| !line.is_empty() && !line.starts_with("For more")).collect();
    let line = parts.join("; ");
    format!("{} (see --help)", line.strip_prefix("error: ").unwrap_or(&line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_of_serve_is_a_variable_too() {
        let command = Cli::command();
        let serve = command.find_subcommand("serve").unwrap();
        for arg in serve.get_arguments().filter(|arg| !["help", "version"].contains(&arg.get_id().as_str())) {
            let expected = format!("QUOIT_{}", arg.get_id().as_str().to_uppercase());
            assert_eq!(arg.get_env().and_then(|name| name.to_str()), Some(&*expected), "{arg}");
        }
    }

    #[test]
    fn mistakes_are_told_in_one_line() {
        let said = |args: &[&str]| {
            one_line(&Cli::try_parse_from([&["quoit"], args].concat()).unwrap_err().to_string())
        };
        assert_eq!(
            said(&["serve", "--lisen", "x"]),
            "unexpected argument '--lisen' found; tip: a similar argument exists: '--listen' (see --help)"
        );
        let text = said(&["serve", "--cpus", "3-1"]);
        assert!(text.contains("`3-1` is no list of CPUs") && !text.contains('\n'), "{text}");
    }
}
