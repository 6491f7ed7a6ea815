//! `quoit serve [DIR]`: turns the flags into a plan, and serves it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap::builder::FalseyValueParser;

use super::acme_args::AcmeArgs;
use super::args::WorkerArgs;
use super::browser;
use super::directory::Directory;
use super::files_args::FilesArgs;
use super::limits_args::LimitsArgs;
use super::log_args::LogArgs;
use super::response_args::ResponseArgs;
use super::tls_args::{Https, TlsArgs};
use crate::config::{Config, Settings};
use crate::observe::log;
use crate::plan::{HandlerOptions, Plan, Site};

#[derive(Args, Debug)]
pub(super) struct ServeArgs {
    /// Directory to serve [default: the working directory; where there is nothing to serve, a page with the
    /// next steps]
    #[arg(env = "QUOIT_DIR")]
    dir: Option<PathBuf>,

    #[command(flatten)]
    workers: WorkerArgs,

    /// Print nothing at start and stop
    #[arg(long, env = "QUOIT_QUIET", value_parser = FalseyValueParser::new())]
    quiet: bool,

    /// Open the default browser once the server is ready
    #[arg(long, env = "QUOIT_OPEN", value_parser = FalseyValueParser::new())]
    open: bool,

    /// Print the configuration file that does the same, for quoit run, and serve nothing
    #[arg(long, env = "QUOIT_PRINT_CONFIG", value_parser = FalseyValueParser::new())]
    print_config: bool,

    #[command(flatten, next_help_heading = "Files")]
    files: FilesArgs,

    #[command(flatten, next_help_heading = "Responses")]
    responses: ResponseArgs,

    #[command(flatten, next_help_heading = "TLS")]
    tls: TlsArgs,

    #[command(flatten, next_help_heading = "Certificates by ACME")]
    acme: AcmeArgs,

    #[command(flatten, next_help_heading = "Access log")]
    log: LogArgs,

    #[command(flatten, next_help_heading = "Limits")]
    limits: LimitsArgs,
}

impl ServeArgs {
    /// Every mistake that can be found before anything is read or bound.
    fn check(&self, directory: &Directory) -> Vec<String> {
        let workers = self.workers.check(self.tls.redirect_from());
        let files = self.files.check(directory.path());
        let responses = self.responses.check(directory.path().is_some());
        [workers, files, responses, self.log.check()].concat()
    }
}

impl ServeArgs {
    fn into_plan(self, directory: Directory, https: &Https) -> Plan {
        let handler = match directory.into_path() {
            None => HandlerOptions::Welcome,
            Some(dir) => self.files.handler(dir),
        };
        // The limit on time is inside of the fields and pages of errors, which its 503 gets too.
        let filters = https.filters().iter().cloned().chain(self.responses.filters());
        let filters = filters.chain(self.limits.filters()).collect();
        let default_site = Site { filters, ..Site::of(handler) };
        Plan { listeners: https.listeners(&self.workers.listen), default_site, ..Plan::default() }
    }
}

/// Prints every mistake, a line each.
fn refused(mistakes: &[String]) -> ExitCode {
    mistakes.iter().for_each(|mistake| log::line(format_args!("{mistake}")));
    ExitCode::FAILURE
}

pub(super) fn run(args: ServeArgs) -> ExitCode {
    let directory = Directory::choose(args.dir.clone());
    let mistakes = args.check(&directory);
    if !mistakes.is_empty() {
        return refused(&mistakes);
    }
    if args.print_config {
        return print_config(args, directory);
    }
    let acme = match args.acme.open(args.tls.redirects()) {
        Ok(acme) => acme,
        Err(mistake) => return refused(&[mistake]),
    };
    let https = match args.tls.load(&args.workers.listen, acme) {
        Ok(https) => https,
        Err(mistakes) => return refused(&mistakes),
    };
    let scheme = if https.tls().is_some() { "https" } else { "http" };
    let remarks = directory.remarks(&args.files);
    let server = https.apply(args.workers.workers());
    let server = args.log.apply(server.quiet(args.quiet)).limits(args.limits.limits());
    let (quiet, open) = (args.quiet, args.open);
    let server = server.on_start(move |addresses| {
        if !quiet {
            remarks.iter().for_each(|remark| log::line(format_args!("{remark}")));
        }
        if open {
            browser::open(scheme, addresses);
        }
    });
    match server.serve(args.into_plan(directory, &https)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Prints the file that does the same.
fn print_config(args: ServeArgs, directory: Directory) -> ExitCode {
    match as_config(args, directory) {
        Ok((_, _, text)) => {
            say_part!("{text}");
            ExitCode::SUCCESS
        }
        Err(mistakes) => refused(&mistakes),
    }
}

/// What would be served, and the file that says it. Reads no certificate and touches no state of ACME.
fn as_config(args: ServeArgs, directory: Directory) -> Result<(Plan, Settings, String), Vec<String>> {
    let acme = args.acme.options(args.tls.redirects()).map_err(|mistake| vec![mistake])?;
    let (https, options) = args.tls.outline(&args.workers.listen, acme.as_ref())?;
    let settings = Settings {
        workers: args.workers.workers,
        cpus: args.workers.cpu_list(),
        unix_mode: args.workers.unix_mode(),
        quiet: args.quiet,
        limits: args.limits.limits(),
        access_log: args.log.access_log(),
        admin: None,
    };
    let tls = https.tls().cloned().zip(options);
    let tls: Vec<_> = tls.map(|(tls, options)| ("main".to_owned(), tls, options, acme)).into_iter().collect();
    let plan = args.into_plan(directory, &https);
    let text = Config::write(&plan, &settings, &tls).map_err(|error| vec![error.to_string()])?;
    Ok((plan, settings, text))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::config::{Depth, Environment};

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        serve: ServeArgs,
    }

    /// The file of these flags, read again.
    #[track_caller]
    fn read_again(flags: &str) -> (Plan, Settings, Config) {
        let words = std::iter::once("quoit").chain(flags.split(' ').filter(|word| !word.is_empty()));
        // Blanks within words are written as ~.
        let words = words.map(|word| word.replace('~', " "));
        let args = Line::try_parse_from(words).unwrap_or_else(|error| panic!("{error}")).serve;
        let directory = Directory::choose(args.dir.clone());
        let (plan, settings, text) = as_config(args, directory).unwrap();
        let environment = Environment::of([("QUOIT_ACME_EAB", "kid:AAEC")]);
        let config = Config::from_text("/etc/quoit.toml", &text, &environment, Depth::Structure);
        let config = config.unwrap_or_else(|error| panic!("{flags}: {error}\n{text}"));
        assert_eq!(config.settings, settings, "{flags}\n{text}");
        (plan, settings, config)
    }

    #[test]
    fn a_file_is_the_same_as_the_flags() {
        for flags in [
            "/srv",
            "/srv --listen :8080 --listen unix:/run/a.sock --unix-mode 660 --workers 2 --cpus 0,2-3 --quiet",
            "/srv --list --spa --clean-urls --follow-links --index a.html,b.html --mount /docs=/srv/docs",
            "/srv --cache-control *.css=max-age=3600;*=no-store --download uploads/**,x?",
            "/srv --preload *.html=</style.css>;~rel=preload --preload *.html=</b>;~as=style",
            "/srv --header X-A:~b --header Cache-Control:~$5~${X} --header x-a:~c --security-headers",
            "/srv --error-page 404=/srv/404.html --error-page 500=/srv/500.html --auth /etc/users",
            "/srv --access-log /var/log/a --access-log-format combined",
            "/srv --access-log - --request-timeout 500ms --head-max 32K --rate-min 1K --stall-timeout 1m",
            "/srv --idle-timeout 2m --drain-timeout 0 --connections-max 100 --connection-age 1h --head-max \
             1K",
        ] {
            let (plan, _, config) = read_again(flags);
            assert_eq!(config.plan, plan, "{flags}");
        }
    }

    #[test]
    fn a_file_has_the_tls_of_the_flags() {
        for flags in [
            "/srv --tls-self-signed --hsts",
            "/srv --tls-self-signed=a.test,b.test --redirect-from :80 --listen :443 --tls-min 1.3",
            "/srv --tls-cert /etc/a.pem,/etc/b.pem --tls-key /etc/a.key,/etc/b.key --tls-prefer aes-256",
            "/srv --tls-cert /etc/a.pem --tls-client-ca /etc/ca.pem --tls-client-auth optional --tls-crl \
             /etc/crl",
            "/srv --acme-domain a.example,b.example --acme-domain c.example --acme-state /var/a",
            "/srv --acme-domain a.example --acme-state /var/a --redirect-from :80 --listen :443 --hsts",
            "/srv --acme-domain *.a.example --acme-state /var/a --acme-dns-hook /bin/dns~x --acme-eab k:AAEC",
            "/srv --acme-domain a.example --acme-state /var/a --acme-email a@b.example --acme-ca-root /etc/r",
        ] {
            // TLS is equal only if it is the same object; what is printed of it is the same for both, without
            // certificates.
            let (plan, _, config) = read_again(flags);
            assert_eq!(config.plan.to_string(), plan.to_string(), "{flags}");
            assert_eq!(
                config.to_text(),
                Config::from_text(
                    "/etc/quoit.toml",
                    &config.to_text().unwrap(),
                    &Environment::of([("QUOIT_ACME_EAB", "kid:AAEC")]),
                    Depth::Structure
                )
                .unwrap()
                .to_text()
            );
        }
    }
}
