//! Commands for a server that runs: `quoit status`, `reload`, `drain`, `enable`, `weight` and `upstreams`,
//! clients of its administrator's socket.

mod metrics;
pub(super) mod socket;

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::de::DeserializeOwned;

use self::socket::{CommandReport, EndpointCommand, Status, UpstreamReport};
use super::config_args::ConfigArgs;
use crate::config::Depth;
use crate::observe::log;

/// Longer than a reload takes at the most.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Where the server is.
#[derive(Args, Debug)]
pub(super) struct AdminArgs {
    /// The administrator's socket of the server [default: `admin` of the configuration file]
    #[arg(long, value_name = "PATH", env = "QUOIT_ADMIN")]
    admin: Option<PathBuf>,

    #[command(flatten)]
    config: ConfigArgs,

    /// Print JSON, as is done where the output is no terminal
    #[arg(long)]
    json: bool,
}

/// An endpoint of the server.
#[derive(Args, Debug)]
pub(super) struct EndpointArgs {
    /// The endpoint, as it is configured or as `quoit upstreams` shows it
    endpoint: String,

    /// In this upstream alone
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,

    #[command(flatten)]
    admin: AdminArgs,
}

/// An endpoint and its weight.
#[derive(Args, Debug)]
pub(super) struct WeightArgs {
    /// The endpoint, as it is configured or as `quoit upstreams` shows it
    endpoint: String,

    /// Its weight from now on, or `default` for the configured one
    #[arg(value_parser = weight)]
    weight: Weight,

    /// In this upstream alone
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,

    #[command(flatten)]
    admin: AdminArgs,
}

/// A weight, or the configured one; a type of its own, because clap reads an option as a flag that may be
/// absent.
#[derive(Clone, Copy, Debug)]
struct Weight(Option<u32>);

fn weight(text: &str) -> Result<Weight, &'static str> {
    match text {
        "default" => Ok(Weight(None)),
        text => {
            text.parse().map(|weight| Weight(Some(weight))).map_err(|_| "expected a whole number, or default")
        }
    }
}

pub(super) fn status(args: &AdminArgs) -> ExitCode {
    shown(args, "GET", "/status", "", |status: Status| {
        say!("quoit {}, process {}, up {} s", status.version, status.pid, status.uptime_seconds);
        say!("serving on {}", status.addresses.join(", "));
        say!("{} of {} workers answer", status.workers_answering, status.workers);
        say!("{} connections open, {} in all", status.connections_open, status.connections);
        say!(
            "{} requests, {} refused, {} too slow, {} over capacity, {} cut by reloads, {} panics",
            status.requests,
            status.refused,
            status.timed_out,
            status.over_capacity,
            status.cut,
            status.panics
        );
        say!("{} reloads, {} refused", status.reloads, status.reloads_refused);
        true
    })
}

pub(super) fn upstreams(args: &AdminArgs) -> ExitCode {
    shown(args, "GET", "/upstreams", "", |upstreams: Vec<UpstreamReport>| {
        for upstream in upstreams {
            let panics = if upstream.panics { ", health is ignored: too few are usable" } else { "" };
            say!("{} ({}{panics})", upstream.name, upstream.balance);
            for one in upstream.endpoints {
                let set = if one.is_weight_set { " (set)" } else { "" };
                let latency = one.latency_ms.map_or(String::new(), |latency| format!(", {latency:.1} ms"));
                say!(
                    "  {:<28} {:<9} weight {}{set}, {} in flight, {} connections, {} requests, {} \
                     failed{latency}",
                    one.endpoint,
                    one.state,
                    one.weight,
                    one.in_flight,
                    one.connections,
                    one.requests,
                    one.failures
                );
            }
        }
        true
    })
}

pub(super) fn reload(args: &AdminArgs) -> ExitCode {
    shown(args, "POST", "/reload", "", |report: CommandReport| {
        let what = if report.done { "reloaded" } else { "not reloaded" };
        report.lines.iter().for_each(|line| say!("{what}: {line}"));
        report.done
    })
}

pub(super) fn set_drained(args: &EndpointArgs, drained: bool) -> ExitCode {
    let path = if drained { "/drain" } else { "/enable" };
    command(&args.admin, path, &args.endpoint, args.upstream.as_deref(), None)
}

pub(super) fn set_weight(args: &WeightArgs) -> ExitCode {
    command(&args.admin, "/weight", &args.endpoint, args.upstream.as_deref(), args.weight.0)
}

fn command(
    args: &AdminArgs,
    path: &str,
    endpoint: &str,
    upstream: Option<&str>,
    weight: Option<u32>,
) -> ExitCode {
    let (endpoint, upstream) = (endpoint.to_owned(), upstream.map(str::to_owned));
    let body =
        serde_json::to_string(&EndpointCommand { endpoint, upstream, weight }).expect("texts and numbers");
    shown(args, "POST", path, &body, |report: CommandReport| {
        report.lines.iter().for_each(|line| say!("{line}"));
        report.done
    })
}

/// Asks the server, and prints its answer: for people, or as it is.
fn shown<T: DeserializeOwned>(
    args: &AdminArgs,
    method: &str,
    path: &str,
    body: &str,
    print: impl FnOnce(T) -> bool,
) -> ExitCode {
    let socket = match socket_of(args) {
        Ok(socket) => socket,
        Err(code) => return code,
    };
    let answer = ask(&socket, method, path, body).and_then(|text| {
        let parsed =
            serde_json::from_str::<T>(&text).map_err(|error| format!("it answers otherwise: {error}"))?;
        Ok((text, parsed))
    });
    match answer {
        Err(error) => {
            log::line(format_args!("cannot ask the server at {}: {error}", socket.display()));
            ExitCode::FAILURE
        }
        Ok((text, _)) if args.json || !std::io::stdout().is_terminal() => {
            say!("{text}");
            // Whether a command was done is in the answer.
            let is_refused = serde_json::from_str::<CommandReport>(&text).is_ok_and(|report| !report.done);
            if is_refused { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Ok((_, parsed)) => {
            if print(parsed) {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

fn socket_of(args: &AdminArgs) -> Result<PathBuf, ExitCode> {
    if let Some(path) = &args.admin {
        return Ok(path.clone());
    }
    let config = args.config.load(Depth::Structure)?;
    config.settings.admin.ok_or_else(|| {
        log::line(format_args!(
            "{} names no administrator's socket; add admin = \"/run/quoit/admin.sock\" and restart the \
             server, or \
             name one with --admin PATH",
            args.config.config.display()
        ));
        ExitCode::FAILURE
    })
}

/// One request, and the body of its answer.
fn ask(socket: &Path, method: &str, path: &str, body: &str) -> Result<String, String> {
    let mut stream = UnixStream::connect(socket).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such socket; is the server running?".to_owned(),
        std::io::ErrorKind::PermissionDenied => {
            "no permission; be the user that the server runs as".to_owned()
        }
        std::io::ErrorKind::ConnectionRefused => {
            "no server listens there any more; start it again".to_owned()
        }
        _ => error.to_string(),
    })?;
    let exchanged = (|| {
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept: application/json\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        std::io::Result::Ok(answer)
    })();
    let answer = exchanged.map_err(|error| error.to_string())?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("it did not answer")?;
    if head.split(' ').nth(1) != Some("200") {
        return Err(format!("it answers {}", head.lines().next().unwrap_or_default()));
    }
    Ok(body.to_owned())
}
