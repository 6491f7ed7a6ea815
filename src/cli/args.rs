//! Flags shared by several commands and the examples.

use std::sync::Arc;

use clap::Args;

use crate::Server;
use crate::net::Address;
use crate::net::tls::TlsServer;
use crate::supervisor::{CoreError, parse_list};

/// Addresses and cores.
#[derive(Args, Clone, Debug)]
pub struct WorkerArgs {
    /// Address to listen on: ADDR:PORT or unix:PATH; may be given several times
    #[arg(long, value_name = "ADDR:PORT", env = "QUOIT_LISTEN", value_delimiter = ',')]
    #[arg(default_value = "127.0.0.1:8080")]
    pub listen: Vec<Address>,

    /// Number of workers [default: one per CPU this process may use, within the cgroup's quota]
    #[arg(long, value_name = "N", env = "QUOIT_WORKERS")]
    pub workers: Option<usize>,

    /// CPUs to pin workers to, such as 0,2-3 [default: all this process may use]
    #[arg(long, value_name = "LIST", env = "QUOIT_CPUS", value_parser = parse_cpus)]
    pub cpus: Option<CpuList>,
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
        server
    }
}
