//! Flags that describe a load, and the plan they make; checked here, so that the engine has nothing to doubt.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, FromArgMatches};
use quoit::net::Address;

use super::tls_args::TlsArgs;
use super::usage;
use crate::exit::Failure;
use crate::plan::data::Data;
use crate::plan::expect::Expect;
use crate::plan::request::{Common, Draft, Mix, RequestSpec, lasting, parse_field, parse_mix};
use crate::plan::schedule::Stage;
use crate::plan::secrets;
use crate::plan::target::{self, TargetError, Url};
use crate::plan::tls::Protocol;
use crate::plan::{Pace, Plan, units};
use crate::report::outputs::{self, Outputs};
use crate::result::Arrival;
use crate::stats::slo::Slo;

/// Default number of connections, as in wrk.
const CONNECTIONS: usize = 10;

/// Default length of a run, as in wrk.
const DURATION: Duration = Duration::from_secs(10);

/// Connections at the most: more than a machine has ports for one target.
const CONNECTIONS_MAX: u64 = 1_000_000;

/// Requests in flight per connection at the most.
const PIPELINE_MAX: u64 = 1024;

#[derive(Args, Clone, Debug)]
pub(crate) struct BenchArgs {
    /// Targets, such as http://127.0.0.1:8080/path; several share host and port
    #[arg(value_name = "URL", required = true)]
    urls: Vec<String>,
    /// Connections [default: 10]
    #[arg(short, long, value_name = "N", value_parser = units::count)]
    connections: Option<u64>,
    /// Cores that make the load, one thread each [default: half of those allowed, the last ones]
    #[arg(short, long, value_name = "N")]
    threads: Option<usize>,
    /// Length of the measured phase, such as 30s [default: 10s, unless -n is given]
    #[arg(short, long, value_name = "TIME", value_parser = units::duration)]
    duration: Option<Duration>,
    /// Requests of the measured phase, at the most
    #[arg(short = 'n', long, value_name = "N", value_parser = units::count)]
    requests: Option<u64>,
    /// Requests per second, by a schedule: an open loop
    #[arg(short = 'R', long, value_name = "RATE", value_parser = units::rate_millionths)]
    rate: Option<u64>,
    /// Rates one after another, each with its length, such as 1k:10s,5k:30s: an open loop in stages
    #[arg(long, value_name = "RATE:TIME,…", conflicts_with_all = ["rate", "duration", "requests"])]
    #[arg(value_parser = stages)]
    stages: Option<Stages>,
    /// How scheduled requests are spaced
    #[arg(long, value_name = "HOW", default_value = "fixed", value_parser = arrival)]
    arrival: Arrival,
    /// Method [default: GET, or POST with a body]
    #[arg(short = 'X', long, value_name = "METHOD")]
    method: Option<String>,
    /// A field for every request, such as 'Accept: text/html'
    #[arg(short = 'H', long = "header", value_name = "FIELD", value_parser = parse_field)]
    headers: Vec<(String, String)>,
    /// The body, or @FILE
    #[arg(short, long, value_name = "BODY|@FILE")]
    body: Option<String>,
    /// A mix of requests, one per line: {"weight":3,"method":"POST","path":"/x","headers":{},"body":""}
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Fills {{seq}}, {{rand 1 100}}, {{uuid}} and {{data NAME}} in paths and bodies
    #[arg(long)]
    template: bool,
    /// Rows for {{data NAME}}, the next one for each request: CSV with a line of names, or JSON lines
    #[arg(long, value_name = "FILE", requires = "template")]
    data: Option<PathBuf>,
    /// Requests in flight per connection
    #[arg(long, value_name = "N", default_value = "1", value_parser = units::count)]
    pipeline: u64,
    /// A new connection for every request
    #[arg(long, conflicts_with_all = ["pipeline", "churn"])]
    new_conn: bool,
    /// Connections closed and opened again per second
    #[arg(long, value_name = "RATE", value_parser = units::rate_millionths)]
    churn: Option<u64>,
    /// Connects to this Unix socket instead of the URL's host
    #[arg(long, value_name = "PATH", conflicts_with = "connect_to")]
    unix: Option<PathBuf>,
    /// Connects there instead of the URL's host
    #[arg(long, value_name = "HOST:PORT")]
    connect_to: Option<String>,
    #[command(flatten)]
    tls: TlsArgs,
    /// Load before the measured phase
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    warmup: Option<Duration>,
    /// Raises the rate from nothing within this time, at the start of the warm-up
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    ramp: Option<Duration>,
    /// From sending a request to the end of its response; noticed up to 32 ms later
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = units::duration)]
    timeout: Duration,
    /// For a connection to stand
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = units::duration)]
    connect_timeout: Duration,
    /// After the measured phase, for what is in flight or waits: the run ends then, and what has not ended is
    /// told as unfinished
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = units::duration)]
    grace: Duration,
    /// Lateness of loadgen itself that is reported but makes no run invalid, such as 60us where a virtual
    /// machine's timer tick takes as much [default: none beyond a tenth of a reported figure]
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    lag_allowed: Option<Duration>,
    /// Statuses that are as expected, such as 200,404 or 2xx [default: 200 to 399]
    #[arg(long, value_name = "STATUS", value_parser = Expect::parse)]
    expect: Option<Expect>,
    /// The cores that make the load, such as 1,3-4
    #[arg(long, value_name = "LIST", value_parser = cpu_list)]
    cpus: Option<CpuList>,
    /// The server's process: its CPU, system calls and memory are reported
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// Demands, such as 'p99<5ms,err<0.1%', or of one endpoint, 'GET /users: p99<5ms'; may be repeated; exit
    /// 1 when one is not met
    #[arg(long, value_name = "DEMANDS", value_parser = Slo::from_str)]
    slo: Vec<Slo>,
    /// Write reports: json, hlog, hgrm, csv, md and html, as KIND=FILE,…; `-` is standard output
    #[arg(short, long, value_name = "KIND=FILE", value_parser = outputs::parse)]
    pub(super) output: Option<Outputs>,
    /// Shows figures of every second to Prometheus at this address while it runs, such as 127.0.0.1:9090
    #[arg(long, value_name = "IP:PORT")]
    prometheus: Option<SocketAddr>,
    /// Seed of everything random
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// Stages; a type of their own, because clap takes a `Vec` for several flags.
#[derive(Clone, Debug)]
struct Stages(Vec<Stage>);

fn stages(text: &str) -> Result<Stages, String> {
    let stage = |(rate_millionths, length)| Stage { rate_millionths, length };
    units::stages(text).map(|stages| Stages(stages.into_iter().map(stage).collect()))
}

/// A list of CPUs; a type of its own, because clap takes a `Vec` for several flags.
#[derive(Clone, Debug)]
struct CpuList(Vec<usize>);

fn arrival(text: &str) -> Result<Arrival, String> {
    match text {
        "fixed" => Ok(Arrival::Fixed),
        "poisson" => Ok(Arrival::Poisson),
        _ => Err(format!("`{text}` is no spacing; write fixed or poisson")),
    }
}

fn cpu_list(text: &str) -> Result<CpuList, String> {
    let refuse = || format!("`{text}` is no list of CPUs; write 1 or 0,2-3");
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.parse::<usize>().ok().filter(|&cpu| cpu < 4096).ok_or_else(refuse);
        let (first, last) = (number(first)?, number(last)?);
        cpus.extend(first..=last);
        if first > last {
            return Err(refuse());
        }
    }
    cpus.sort_unstable();
    cpus.dedup();
    Ok(CpuList(cpus))
}

impl BenchArgs {
    /// These words as flags.
    ///
    /// # Errors
    /// What clap makes of them.
    pub(crate) fn of(words: &[&str]) -> Result<Self, Failure> {
        let command = Self::augment_args(clap::Command::new("bench").no_binary_name(true));
        let matches = command.try_get_matches_from(words);
        let read = matches.and_then(|matches| Self::from_arg_matches(&matches));
        read.map_err(|error| Failure::Usage(usage::one_line(&error).unwrap_or_else(|| error.to_string())))
    }

    /// The plan of these flags.
    ///
    /// # Errors
    /// One line with cause and remedy.
    pub(crate) fn plan(&self) -> Result<Plan, Failure> {
        let urls = self.urls.iter().map(|url| Url::parse(url)).collect::<Result<Vec<_>, _>>();
        let urls = urls.map_err(Failure::Usage)?;
        self.check(&urls)?;
        let data = self.data.as_deref().map(read_data).transpose()?;
        let warmup = self.warmup.or(self.ramp).unwrap_or_default();
        let stages = self.stages.as_ref().map(|stages| stages.0.clone()).unwrap_or_default();
        let staged = (!stages.is_empty()).then(|| stages.iter().map(|stage| stage.length).sum());
        let pace = match self.rate.or(stages.first().map(|stage| stage.rate_millionths)) {
            None => Pace::Closed,
            Some(rate_millionths) => Pace::Open { rate_millionths, arrival: self.arrival },
        };
        let cpus = self.choose_cpus()?;
        let connections = self.connections.map_or(CONNECTIONS.max(cpus.len()), |n| n as usize);
        Ok(Plan {
            urls: self.urls.clone(),
            addresses: self.addresses(&urls[0])?,
            pace,
            stages,
            connections,
            cpus: cpus[..cpus.len().min(connections)].to_vec(),
            duration: staged.or(self.duration).or(self.requests.is_none().then_some(DURATION)),
            requests: self.requests,
            warmup,
            ramp: self.ramp.unwrap_or_default(),
            timeout: self.timeout,
            connect_timeout: self.connect_timeout,
            grace: self.grace,
            lag_allowed: self.lag_allowed.unwrap_or_default(),
            protocol: self.tls.protocol(&urls[0])?,
            tls: self.tls.tls(&urls[0])?,
            pipeline: self.tls.streams().unwrap_or(self.pipeline as usize),
            new_connections: self.new_conn,
            churn_millionths: self.churn.unwrap_or(0),
            mix: self.mix(&urls, data.as_ref())?,
            data,
            expect: self.expect.clone().unwrap_or_default(),
            seed: self.seed,
            server_pid: self.server_pid,
            command: secrets::hidden(std::env::args_os().map(|word| word.to_string_lossy().into_owned())),
            progress: std::io::stderr().is_terminal(),
            metrics: self.prometheus,
        })
    }

    /// The demands.
    ///
    /// # Errors
    /// Where one is of an endpoint that is not asked for.
    pub(super) fn slo(&self, plan: &Plan) -> Result<Option<Slo>, Failure> {
        let all = self.slo.iter().fold(Slo::default(), Slo::and);
        let names: Vec<&str> = plan.mix.specs().iter().map(|spec| spec.name.as_str()).collect();
        if let Some(unknown) = all.endpoints().find(|name| !names.contains(name)) {
            let line = format!("--slo: there is no endpoint `{unknown}`; there are {}", names.join(", "));
            return Err(Failure::Usage(line));
        }
        Ok((!self.slo.is_empty()).then_some(all))
    }

    fn check(&self, urls: &[Url]) -> Result<(), Failure> {
        let first = &urls[0];
        let refuse = |line: &str| Err(Failure::Usage(line.to_owned()));
        let same = |url: &Url| (&url.host, url.port, url.is_tls) == (&first.host, first.port, first.is_tls);
        if !urls.iter().all(same) {
            return refuse(
                "several URLs with different hosts or ports: a run loads one server; run once for each",
            );
        }
        if self.pipeline > 1 && self.tls.protocol(first)? == Protocol::H2 {
            return refuse("--pipeline is for HTTP/1.1; requests in flight of HTTP/2 are --streams");
        }
        let too_many = |n: Option<u64>, most| n.is_some_and(|n| n == 0 || n > most);
        if too_many(self.connections, CONNECTIONS_MAX) {
            return refuse("-c: from 1 to 1,000,000 connections");
        }
        if too_many(Some(self.pipeline), PIPELINE_MAX) {
            return refuse("--pipeline: from 1 to 1024 requests");
        }
        if self.requests == Some(0) || self.duration.is_some_and(|duration| duration.is_zero()) {
            return refuse("-n and -d: something must be measured; give more than 0");
        }
        if self.timeout.is_zero() || self.connect_timeout.is_zero() {
            return refuse("--timeout and --connect-timeout: give more than 0");
        }
        if let (Some(ramp), Some(warmup)) = (self.ramp, self.warmup)
            && ramp > warmup
        {
            return refuse("--ramp is longer than --warmup, in which it happens; lengthen the warm-up");
        }
        let is_closed = self.rate.is_none() && self.stages.is_none();
        if is_closed && self.arrival == Arrival::Poisson {
            return refuse("--arrival: a closed loop has no schedule; give a rate with -R");
        }
        if is_closed && self.ramp.is_some() {
            return refuse("--ramp: a closed loop has no rate to rise; give one with -R");
        }
        if self.input.is_some() && urls.iter().any(|url| url.path != "/") {
            return refuse("-i has the paths; give the URL without one");
        }
        Ok(())
    }

    fn addresses(&self, url: &Url) -> Result<Vec<Address>, Failure> {
        if let Some(path) = &self.unix {
            let text = format!("unix:{}", path.display());
            return text
                .parse()
                .map(|address| vec![address])
                .map_err(|_| Failure::Usage("--unix: a path of 1 to 107 bytes is needed".to_owned()));
        }
        let found = match &self.connect_to {
            Some(pair) => target::resolve_pair(pair),
            None => target::resolve(&url.host, url.port),
        };
        found.map_err(|error| match error {
            TargetError::Malformed(line) => Failure::Usage(format!("--connect-to: {line}")),
            TargetError::Unresolved(line) => Failure::Target(line),
        })
    }

    fn mix(&self, urls: &[Url], data: Option<&Arc<Data>>) -> Result<Mix, Failure> {
        let common = Common {
            protocol: self.tls.protocol(&urls[0])?,
            scheme: if urls[0].is_tls { "https" } else { "http" },
            authority: urls[0].authority.clone(),
            fields: self.headers.clone(),
            body: self.body.as_deref().map(read_body).transpose()?,
            method: self.method.clone(),
            template: self.template,
            data: data.cloned(),
            close: self.new_conn,
        };
        let drafts = match &self.input {
            None => urls.iter().map(|url| Draft::of(&url.path)).collect(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| unreadable("-i", path.display(), &error))?;
                parse_mix(&text).map_err(|line| Failure::Usage(format!("-i {}: {line}", path.display())))?
            }
        };
        let specs =
            drafts.iter().map(|draft| RequestSpec::new(draft, &common)).collect::<Result<Vec<_>, _>>();
        specs.and_then(Mix::new).map_err(Failure::Usage)
    }

    fn choose_cpus(&self) -> Result<Vec<usize>, Failure> {
        let allowed: Vec<usize> =
            core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect();
        if allowed.is_empty() {
            return Err(Failure::Usage("the kernel does not tell which CPUs there are".to_owned()));
        }
        if let Some(CpuList(cpus)) = &self.cpus {
            if let Some(cpu) = cpus.iter().find(|cpu| !allowed.contains(cpu)) {
                let line = format!("--cpus: CPU {cpu} is not among those this process may use: {allowed:?}");
                return Err(Failure::Usage(line));
            }
            if self.threads.is_some_and(|threads| threads != cpus.len()) {
                return Err(Failure::Usage("-t and --cpus contradict each other; leave -t out".to_owned()));
            }
            return Ok(cpus.clone());
        }
        let threads = self.threads.unwrap_or((allowed.len() / 2).max(1));
        if threads == 0 || threads > allowed.len() {
            let line = format!("-t {threads}: this process may use 1 to {} cores", allowed.len());
            return Err(Failure::Usage(line));
        }
        Ok(allowed[allowed.len() - threads..].to_vec())
    }
}

fn read_body(text: &str) -> Result<Bytes, Failure> {
    let body = match text.strip_prefix('@') {
        None => text.as_bytes().to_vec(),
        Some(path) => std::fs::read(path).map_err(|error| unreadable("-b", path, &error))?,
    };
    Ok(lasting(body))
}

fn read_data(path: &Path) -> Result<Arc<Data>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| unreadable("--data", path.display(), &error))?;
    let data = Data::parse(&text);
    data.map(Arc::new).map_err(|line| Failure::Usage(format!("--data {}: {line}", path.display())))
}

fn unreadable(flag: &str, path: impl std::fmt::Display, error: &std::io::Error) -> Failure {
    Failure::Usage(format!("{flag}: {path} cannot be read: {error}; check the path and its permissions"))
}
