//! The command line: one module per command. Library code of the `quoit` binary; the examples use
//! [`WorkerArgs`].

/// As `println!`, which panics when the reader has closed the pipe, as `head` does: the output is discarded.
macro_rules! say {
    ($($what:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($what)*);
    }};
}

/// As `print!`, like `say!`.
macro_rules! say_part {
    ($($what:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(std::io::stdout(), $($what)*);
    }};
}

mod acme_args;
mod admin;
mod args;
mod browser;
mod cert;
mod check;
mod config_args;
mod diff;
mod directory;
mod doctor;
mod explain;
mod files_args;
mod generate;
mod limits_args;
mod log_args;
mod mistakes;
mod proxy;
mod response_args;
mod run;
mod schema;
mod serve;
mod serving;
mod test;
mod tls_args;
mod values;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

pub use self::args::WorkerArgs;
use crate::observe::log;

/// A web server for Linux: HTTP/1.1 and HTTP/2, TLS with automatic certificates, and static files, with one
/// io_uring and one executor per core.
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
    /// Forward requests to other servers: a load balancer in one line.
    Proxy(Box<proxy::ProxyArgs>),
    /// Serve what a configuration file says. On SIGHUP the file is read again, checked as a whole, and served
    /// without interrupting anything; one with mistakes changes nothing.
    Run(run::RunArgs),
    /// Check a configuration file with everything that it names, and print what it would serve.
    Check(check::CheckArgs),
    /// Show how a configuration handles a request, and why other parts of it do not.
    Explain(explain::ExplainArgs),
    /// Run the tests of a configuration file, [[test]] with request and expect, without sockets.
    Test(test::TestArgs),
    /// Show what changes in effect from one configuration file to another, route by route.
    Diff(diff::DiffArgs),
    /// Print the JSON schema of configuration files, for editors.
    Schema,
    /// Show what a server that runs does, by its administrator's socket.
    Status(admin::AdminArgs),
    /// Show the upstreams of a server that runs, and the state of their endpoints.
    Upstreams(admin::AdminArgs),
    /// Let a server that runs read its configuration again, and print what changed or why nothing did.
    Reload(admin::AdminArgs),
    /// Give an endpoint no more requests; what is open goes on.
    Drain(admin::EndpointArgs),
    /// Give an endpoint requests again after a drain.
    Enable(admin::EndpointArgs),
    /// Set the weight of an endpoint.
    Weight(admin::WeightArgs),
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
    let code = run();
    log::flush(LAST_LINES_WITHIN);
    code
}

/// Time for the last lines to be written: a terminal or a pipe takes microseconds, and one that is stuck must
/// not keep the program.
const LAST_LINES_WITHIN: Duration = Duration::from_secs(1);

fn run() -> ExitCode {
    match parse(std::env::args_os()) {
        Ok(Cli { command: Command::Serve(args) }) => serve::run(*args),
        Ok(Cli { command: Command::Proxy(args) }) => proxy::run(*args),
        Ok(Cli { command: Command::Run(args) }) => run::run(&args),
        Ok(Cli { command: Command::Check(args) }) => check::run(&args),
        Ok(Cli { command: Command::Explain(args) }) => explain::run(&args),
        Ok(Cli { command: Command::Test(args) }) => test::run(&args),
        Ok(Cli { command: Command::Diff(args) }) => diff::run(&args),
        Ok(Cli { command: Command::Schema }) => schema::run(),
        Ok(Cli { command: Command::Status(args) }) => admin::status(&args),
        Ok(Cli { command: Command::Upstreams(args) }) => admin::upstreams(&args),
        Ok(Cli { command: Command::Reload(args) }) => admin::reload(&args),
        Ok(Cli { command: Command::Drain(args) }) => admin::set_drained(&args, true),
        Ok(Cli { command: Command::Enable(args) }) => admin::set_drained(&args, false),
        Ok(Cli { command: Command::Weight(args) }) => admin::set_weight(&args),
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
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    log::line(format_args!("{}", mistakes::one_line(error, &arguments)));
    USAGE.into()
}

/// Parses the command line, and finds the mistake that clap cannot see in the values.
fn parse(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Cli, clap::Error> {
    let matches = Cli::command().try_get_matches_from(arguments)?;
    if let Some(id) = matches.subcommand_matches("serve").and_then(values::broken_line) {
        let text =
            format!("a value of --{} has a line break; give the flag once for each", id.replace('_', "-"));
        return Err(Cli::command().error(ErrorKind::ValueValidation, text));
    }
    Cli::from_arg_matches(&matches)
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
            let words: Vec<OsString> = args.iter().map(OsString::from).collect();
            let line = [&["quoit".into()], &words[..]].concat();
            mistakes::one_line(&parse(line).unwrap_err(), &words)
        };
        assert_eq!(
            said(&["serve", "--lisen", "x"]),
            "unexpected argument '--lisen' found; tip: a similar argument exists: '--listen' (see --help)"
        );
        for (args, words) in [
            (&["serve", "--cpus", "3-1"][..], &["`3-1` is no list of CPUs"][..]),
            (&["serve", "--workers", "x"], &["'x'", "--workers", "a whole number"]),
            (&["serve", "--workers", "-1"], &["'-1'", "--workers", "a whole number"]),
            (&["serve", "--hsts=abc"], &["'abc'", "--hsts", "whole number of seconds"]),
            (&["serve", "--workers", "1", "--workers", "2"], &["--workers", "give it once"]),
            (&["serve", "--list", "--list"], &["--list", "give it once"]),
            (&["serve", "--listen", "-x"], &["'-x'", "--flag=VALUE"]),
            (&["completions"], &["<SHELL> is missing"]),
            (&["sevre"], &["`sevre`", "did you mean serve?"]),
            (&["qqq"], &["`qqq`", "there are serve, proxy,", "upstreams", "weight"]),
            (&["xyzzy"], &["`xyzzy`", "serve, proxy, run"]),
            (&["src"], &["quoit serve src"]),
            (&["serve", "--header", "X-A: b\nX-B: c"], &["--header has a line break"]),
            (&["serve", "--preload", "*=</a>\n*=</b>"], &["--preload has a line break"]),
            (&["serve", "--error-page", "404=a\r"], &["--error-page has a line break"]),
        ] {
            let text = said(args);
            assert!(!text.contains('\n') && !text.contains("'-- "), "{text}");
            for word in words {
                assert!(text.contains(word), "{args:?}: {word}: {text}");
            }
        }
    }

    #[test]
    fn values_of_no_text_are_shown() {
        use std::os::unix::ffi::OsStringExt as _;

        let bad = OsString::from_vec(b"X: \xff".to_vec());
        let line: Vec<OsString> = vec!["serve".into(), "--header".into(), bad];
        let error = parse([&["quoit".into()], &line[..]].concat()).unwrap_err();
        let text = mistakes::one_line(&error, &line);
        assert!(text.contains("--header is not UTF-8: X: \u{fffd}"), "{text}");
    }

    #[test]
    fn variables_may_have_lines() {
        let matches = Cli::command().mut_subcommand("serve", |serve| {
            // As if the variable was set; setting one would reach other tests.
            serve.mut_arg("header", |arg| arg.env(None::<&str>).default_value("X-A: b\nX-B: c"))
        });
        let matches = matches.try_get_matches_from(["quoit", "serve"]).unwrap();
        assert_eq!(values::broken_line(matches.subcommand_matches("serve").unwrap()), None);
    }
}
