//! Flags shared by several commands and the examples.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;

use super::values::{UnixMode, count, twice};
use crate::Server;
use crate::net::Address;
use crate::net::tls::TlsServer;
use crate::supervisor::{CoreError, parse_list};

/// Addresses and cores.
#[derive(Args, Clone, Debug)]
pub struct WorkerArgs {
    // The doc is the flag's help, where `[::]` is an address.
    #[allow(rustdoc::broken_intra_doc_links)]
    /// Address to listen on: ADDR:PORT, PORT for this machine alone, :PORT for every interface by IPv4 and
    /// [::]:PORT by IPv6, or unix:PATH; may be given several times, or with commas
    #[arg(long, value_name = "ADDR:PORT", env = "QUOIT_LISTEN", value_delimiter = ',')]
    #[arg(default_value = "127.0.0.1:8080")]
    pub listen: Vec<Address>,

    /// Number of workers [default: one per CPU this process may use, within the cgroup's quota]; fewer than
    /// CPUs are not pinned unless --cpus names some
    #[arg(long, value_name = "N", env = "QUOIT_WORKERS", allow_negative_numbers = true, value_parser = count)]
    pub workers: Option<usize>,

    /// CPUs to pin workers to, such as 0,2-3; if not given, workers are pinned when there is one for each
    /// CPU [default: all this process may use]
    #[arg(long, value_name = "LIST", env = "QUOIT_CPUS", value_parser = parse_cpus)]
    pub cpus: Option<CpuList>,

    /// Permissions of the files of Unix sockets, in octal, such as 660 [default: what the umask leaves]
    #[arg(long, value_name = "MODE", env = "QUOIT_UNIX_MODE", allow_negative_numbers = true)]
    unix_mode: Option<UnixMode>,
}

/// A list of CPUs; a separate type, so that clap parses it as one value.
#[derive(Clone, Debug)]
pub struct CpuList(Vec<usize>);

fn parse_cpus(list: &str) -> Result<CpuList, CoreError> {
    parse_list(list).map(CpuList)
}

impl WorkerArgs {
    /// A server with these settings, over plain HTTP.
    pub fn server(&self) -> Server {
        self.server_with(None)
    }

    /// A server with these settings, over TLS if configured.
    pub fn server_with(&self, tls: Option<&Arc<TlsServer>>) -> Server {
        self.listen.iter().fold(self.workers(), |server, address| match tls {
            Some(tls) => server.listen_tls(address.clone(), tls.clone()),
            None => server.listen(address.clone()),
        })
    }

    /// A server on these cores, with the listeners of its plan.
    pub(super) fn workers(&self) -> Server {
        let mut server = Server::new();
        if let Some(workers) = self.workers {
            server = server.workers(workers);
        }
        if let Some(CpuList(cpus)) = &self.cpus {
            server = server.cpus(cpus.clone());
        }
        if let Some(UnixMode(mode)) = self.unix_mode {
            server = server.unix_mode(mode);
        }
        server
    }

    /// The CPUs to pin workers to.
    pub(super) fn cpu_list(&self) -> Option<Vec<usize>> {
        self.cpus.as_ref().map(|CpuList(cpus)| cpus.clone())
    }

    /// The permissions of socket files.
    pub(super) fn unix_mode(&self) -> Option<u32> {
        self.unix_mode.map(|UnixMode(mode)| mode)
    }

    /// Finds addresses that were given twice, `more` included, and flags without effect.
    pub(super) fn check(&self, more: &[Address]) -> Vec<String> {
        let mut mistakes = Vec::new();
        // The kernel chooses another port for each 0.
        let fixed = |address: &&Address| !matches!(address, Address::Inet(addr) if addr.port() == 0);
        if let Some(address) = twice(self.listen.iter().chain(more).filter(fixed)) {
            let (address, flags) = (bare(address), if more.is_empty() { "" } else { " or --redirect-from" });
            mistakes.push(format!("--listen{flags} names {address} twice; give each address once"));
        }
        for (all, one) in covered(self.listen.iter().chain(more)) {
            mistakes.push(format!("{all} listens on {one} already; leave one of them out"));
        }
        if self.unix_mode.is_some() && !self.listen.iter().any(|address| matches!(address, Address::Unix(_)))
        {
            mistakes.push("--unix-mode needs a Unix socket: add --listen unix:PATH".to_owned());
        }
        mistakes
    }
}

/// Addresses of one interface whose port is listened on at every one of that family: the kernel refuses the
/// second, as if another program had it.
fn covered<'a>(addresses: impl Iterator<Item = &'a Address>) -> Vec<(SocketAddr, SocketAddr)> {
    let inet = addresses.filter_map(|address| match address {
        Address::Inet(addr) if addr.port() != 0 => Some(*addr),
        _ => None,
    });
    let inet: Vec<SocketAddr> = inet.collect();
    let covers = |all: &SocketAddr, one: &SocketAddr| {
        let is_same = all.port() == one.port() && all.is_ipv4() == one.is_ipv4();
        is_same && all.ip().is_unspecified() && !one.ip().is_unspecified()
    };
    inet.iter().flat_map(|all| inet.iter().filter(|one| covers(all, one)).map(|one| (*all, *one))).collect()
}

/// An address as it is written on the command line.
fn bare(address: &Address) -> String {
    match address {
        Address::Inet(addr) => addr.to_string(),
        unix @ Address::Unix(_) => unix.to_string(),
    }
}
