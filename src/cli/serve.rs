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
use super::serving::{self, Serving};
use super::tls_args::{Https, TlsArgs};
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

/// What the flags say, in parts.
struct Command {
    directory: Directory,
    files: FilesArgs,
    responses: ResponseArgs,
    serving: Serving,
}

impl From<ServeArgs> for Command {
    fn from(args: ServeArgs) -> Self {
        let ServeArgs { dir, workers, quiet, files, responses, tls, acme, log, limits, .. } = args;
        let serving = Serving { workers, quiet, tls, acme, log, limits };
        Self { directory: Directory::choose(dir), files, responses, serving }
    }
}

impl Command {
    /// Every mistake that can be found before anything is read or bound.
    fn check(&self) -> Vec<String> {
        let files = self.files.check(self.directory.path());
        let responses = self.responses.check(self.directory.path().is_some());
        [self.serving.check(), files, responses].concat()
    }

    fn plan(&self, serving: &Serving, https: &Https) -> Plan {
        let handler = match self.directory.path() {
            None => HandlerOptions::Welcome,
            Some(dir) => self.files.clone().handler(dir.to_owned()),
        };
        // The limit on time is inside of the fields and pages of errors, which its 503 gets too.
        let filters = https.filters().iter().cloned().chain(self.responses.clone().filters());
        let filters = filters.chain(serving.limits.filters()).collect();
        let default_site = Site { filters, ..Site::of(handler) };
        Plan { listeners: https.listeners(&serving.workers.listen), default_site, ..Plan::default() }
    }
}

pub(super) fn run(args: ServeArgs) -> ExitCode {
    let (print_config, open) = (args.print_config, args.open);
    let command = Command::from(args);
    let mistakes = command.check();
    if !mistakes.is_empty() {
        return serving::refused(&mistakes);
    }
    let plan = |serving: &Serving, https: &Https| command.plan(serving, https);
    if print_config {
        return command.serving.print_config(plan);
    }
    let remarks = command.directory.remarks(&command.files);
    let quiet = command.serving.quiet;
    command.serving.serve(plan, |server, https| {
        let scheme = if https.tls().is_some() { "https" } else { "http" };
        server.on_start(move |addresses| {
            if !quiet {
                remarks.iter().for_each(|remark| log::line(format_args!("{remark}")));
            }
            if open {
                browser::open(scheme, addresses);
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::config::{Config, Depth, Environment, Settings};

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
        let command = Command::from(args);
        let plan = |serving: &Serving, https: &Https| command.plan(serving, https);
        let (plan, settings, text) = command.serving.as_config(plan).unwrap();
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
