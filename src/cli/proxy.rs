//! `quoit proxy UPSTREAM…`: a load balancer in one line. Turns the flags into a plan, and serves it.

use std::process::ExitCode;
use std::sync::Arc;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};

use super::acme_args::AcmeArgs;
use super::args::WorkerArgs;
use super::limits_args::LimitsArgs;
use super::log_args::LogArgs;
use super::serving::{self, Serving};
use super::tls_args::{Https, TlsArgs};
use super::values::{Time, some_time, twice};
use crate::handler::{ForwardedForm, HostPolicy, Network, ProxyOptions};
use crate::plan::{HandlerOptions, Plan, Site};
use crate::upstream::{
    Balance, CheckKind, CheckOptions, EndpointAddress, EndpointOptions, HashKey, UpstreamOptions,
};

#[derive(Args, Debug)]
pub(super) struct ProxyArgs {
    /// Servers to forward requests to, in turns: HOST:PORT or unix:PATH, with '=WEIGHT' for another share
    #[arg(required = true, value_name = "UPSTREAM", env = "QUOIT_UPSTREAM", value_delimiter = ',')]
    upstream: Vec<WeightedEndpoint>,

    #[command(flatten)]
    workers: WorkerArgs,

    /// Print nothing at start and stop
    #[arg(long, env = "QUOIT_QUIET", value_parser = FalseyValueParser::new())]
    quiet: bool,

    /// Print the configuration file that does the same, for quoit run, and serve nothing
    #[arg(long, env = "QUOIT_PRINT_CONFIG", value_parser = FalseyValueParser::new())]
    print_config: bool,

    #[command(flatten, next_help_heading = "Forwarding")]
    forwarding: ForwardingArgs,

    #[command(flatten, next_help_heading = "TLS")]
    tls: TlsArgs,

    #[command(flatten, next_help_heading = "Certificates by ACME")]
    acme: AcmeArgs,

    #[command(flatten, next_help_heading = "Access log")]
    log: LogArgs,

    #[command(flatten, next_help_heading = "Limits")]
    limits: LimitsArgs,
}

/// How requests are forwarded.
#[derive(Args, Clone, Debug)]
struct ForwardingArgs {
    /// Ask each server for this path every two seconds, and use only those that answer 2xx
    #[arg(long, value_name = "PATH", env = "QUOIT_HEALTH")]
    health: Option<String>,

    /// How a server is chosen
    #[arg(long, value_name = "NAME", env = "QUOIT_BALANCE", value_enum, default_value = "power-of-two")]
    balance: BalanceArg,

    /// The Host that servers are told: keep (the client's), endpoint (their address), or a name
    #[arg(long, value_name = "HOST", env = "QUOIT_UPSTREAM_HOST", default_value = "keep")]
    upstream_host: String,

    /// Time for a server to begin its answer once it has the request
    #[arg(long, value_name = "TIME", env = "QUOIT_ANSWER_TIMEOUT", default_value = "60s")]
    #[arg(value_parser = some_time)]
    answer_timeout: Time,

    /// Time for a connection to a server
    #[arg(long, value_name = "TIME", env = "QUOIT_CONNECT_TIMEOUT", default_value = "3s")]
    #[arg(value_parser = some_time)]
    connect_timeout: Time,

    /// Most connections to each server [default: any number]; requests beyond wait for a second
    #[arg(long, value_name = "N", env = "QUOIT_UPSTREAM_CONNECTIONS")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    upstream_connections: Option<u32>,

    /// Believe the X-Forwarded fields of these networks: other proxies, such as 10.0.0.0/8 or unix
    #[arg(long, value_name = "NETWORK", env = "QUOIT_TRUST", value_delimiter = ',')]
    trust: Vec<Network>,

    /// Send the field Forwarded (RFC 7239) instead of X-Forwarded-For, -Proto and -Host
    #[arg(long, env = "QUOIT_FORWARDED", value_parser = FalseyValueParser::new())]
    forwarded: bool,
}

/// An endpoint with its share.
#[derive(Clone, Debug)]
struct WeightedEndpoint(EndpointOptions);

impl std::str::FromStr for WeightedEndpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix("http://").unwrap_or(text);
        let (address, weight) = match text.rsplit_once('=') {
            Some((address, weight)) => {
                let weight = weight.parse().ok().filter(|weight| *weight > 0);
                (address, weight.ok_or("expected a weight of at least 1 after =")?)
            }
            None => (text, 1),
        };
        let address: EndpointAddress = address.parse().map_err(|error| format!("{error}"))?;
        Ok(Self(EndpointOptions { weight, ..EndpointOptions::new(address) }))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum BalanceArg {
    /// The better of two, by requests in flight and latency
    PowerOfTwo,
    /// In turn
    RoundRobin,
    /// The fewest requests in flight
    LeastRequests,
    /// The same server for the same client address
    ClientAddress,
    /// The same server for the same path
    Path,
}

impl From<BalanceArg> for Balance {
    fn from(balance: BalanceArg) -> Self {
        match balance {
            BalanceArg::PowerOfTwo => Self::PowerOfTwo,
            BalanceArg::RoundRobin => Self::RoundRobin,
            BalanceArg::LeastRequests => Self::LeastRequests,
            BalanceArg::ClientAddress => Self::Hash(HashKey::ClientAddress),
            BalanceArg::Path => Self::Hash(HashKey::Path),
        }
    }
}

impl ForwardingArgs {
    fn options(self, endpoints: Vec<WeightedEndpoint>) -> ProxyOptions {
        let endpoints = endpoints.into_iter().map(|WeightedEndpoint(endpoint)| endpoint).collect();
        let mut upstream = UpstreamOptions::of("upstream", endpoints);
        upstream.balance = self.balance.into();
        upstream.timeouts.first_byte = self.answer_timeout.0;
        upstream.timeouts.connect = self.connect_timeout.0;
        upstream.pool.connections_max = self.upstream_connections;
        upstream.checks =
            self.health.map(|path| CheckOptions { kind: CheckKind::http(path), ..CheckOptions::default() });
        let mut proxy = ProxyOptions::to(Arc::new(upstream));
        proxy.host = match &*self.upstream_host {
            "keep" => HostPolicy::Keep,
            "endpoint" => HostPolicy::Endpoint,
            _ => HostPolicy::Fixed(self.upstream_host),
        };
        proxy.forwarded.trusted = self.trust;
        if self.forwarded {
            proxy.forwarded.form = ForwardedForm::Forwarded;
        }
        proxy
    }
}

/// What the flags say, in parts.
struct Command {
    endpoints: Vec<WeightedEndpoint>,
    forwarding: ForwardingArgs,
    serving: Serving,
}

impl From<ProxyArgs> for Command {
    fn from(args: ProxyArgs) -> Self {
        let ProxyArgs { upstream, workers, quiet, forwarding, tls, acme, log, limits, .. } = args;
        Self { endpoints: upstream, forwarding, serving: Serving { workers, quiet, tls, acme, log, limits } }
    }
}

impl Command {
    /// Every mistake that can be found before anything is bound.
    fn check(&self) -> Vec<String> {
        let mut mistakes = self.serving.check();
        if let Some(address) = twice(self.endpoints.iter().map(|endpoint| &endpoint.0.address)) {
            mistakes.push(format!(
                "{address} is given twice; give it once, with {address}=2 for twice the share"
            ));
        }
        if let Some(path) = self.forwarding.health.as_deref().filter(|path| !path.starts_with('/')) {
            mistakes.push(format!("--health needs a path, such as /{path}"));
        }
        mistakes
    }

    fn plan(&self, serving: &Serving, https: &Https) -> Plan {
        let listeners = https.listeners(&serving.workers.listen);
        let handler = HandlerOptions::proxy(self.forwarding.clone().options(self.endpoints.clone()));
        let filters = https.filters().iter().cloned().chain(serving.limits.filters()).collect();
        let default_site = Site { filters, ..Site::of(handler) };
        Plan { listeners, default_site, ..Plan::default() }
    }
}

pub(super) fn run(args: ProxyArgs) -> ExitCode {
    let print_config = args.print_config;
    let command = Command::from(args);
    let mistakes = command.check();
    if !mistakes.is_empty() {
        return serving::refused(&mistakes);
    }
    let plan = |serving: &Serving, https: &Https| command.plan(serving, https);
    if print_config {
        return command.serving.print_config(plan);
    }
    command.serving.serve(plan, |server, _| server)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        proxy: ProxyArgs,
    }

    #[test]
    fn a_file_is_the_same_as_the_flags() {
        use crate::config::{Config, Depth, Environment};

        for flags in [
            "127.0.0.1:9001",
            "127.0.0.1:9001 unix:/run/a.sock=3 a.test:80 --listen :8080 --workers 1 --cpus 0 --quiet",
            "127.0.0.1:9001 --health /up --balance client-address --upstream-host endpoint --forwarded",
            "127.0.0.1:9001 --upstream-host a.test --trust 10.0.0.0/8,unix --upstream-connections 100",
            "127.0.0.1:9001 --answer-timeout 5s --connect-timeout 500ms --request-timeout 1m --balance path",
        ] {
            let words = std::iter::once("quoit").chain(flags.split(' '));
            let args = <Line as clap::Parser>::try_parse_from(words).unwrap_or_else(|e| panic!("{e}")).proxy;
            let command = Command::from(args);
            let plan = |serving: &Serving, https: &Https| command.plan(serving, https);
            let (plan, _, text) = command.serving.as_config(plan).unwrap();
            let config = Config::from_text("/etc/quoit.toml", &text, &Environment::of([]), Depth::Structure);
            let config = config.unwrap_or_else(|error| panic!("{flags}: {error}\n{text}"));
            assert_eq!(config.plan, plan, "{flags}\n{text}");
        }
    }

    #[test]
    fn upstreams_have_addresses_and_weights() {
        let parsed = |text: &str| text.parse::<WeightedEndpoint>().map(|endpoint| endpoint.0.to_string());
        assert_eq!(parsed("127.0.0.1:9001"), Ok("127.0.0.1:9001".into()));
        assert_eq!(parsed("http://a.test:80=3"), Ok("a.test:80 weight 3".into()));
        assert_eq!(parsed("unix:/run/a.sock=2"), Ok("unix:/run/a.sock weight 2".into()));
        for (text, words) in
            [("a", "HOST:PORT"), ("a:80=0", "weight"), ("a:80=x", "weight"), ("", "HOST:PORT")]
        {
            assert!(parsed(text).unwrap_err().contains(words), "{text}");
        }
    }
}
