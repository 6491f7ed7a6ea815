//! Flags for the access log.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::Server;
use crate::observe::access::{Destination, Format};

/// Destination and format of the access log.
#[derive(Args, Clone, Debug)]
pub(super) struct LogArgs {
    /// Write a line for each request to FILE, or to standard output with -; after a rename, or on SIGUSR1,
    /// FILE is opened anew
    #[arg(long, value_name = "FILE", env = "QUOIT_ACCESS_LOG")]
    access_log: Option<PathBuf>,

    /// How the lines look; auto is pretty for a terminal and json for everything else
    #[arg(long, value_name = "FORMAT", env = "QUOIT_ACCESS_LOG_FORMAT", default_value = "auto")]
    #[arg(value_enum, requires = "access_log")]
    access_log_format: LogFormat,
}

/// The formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// pretty for a terminal, json otherwise
    Auto,
    /// One JSON object per line
    Json,
    /// For people; coloured on a terminal, unless NO_COLOR is set
    Pretty,
    /// The Common Log Format
    Common,
    /// The Common Log Format with referer and user agent
    Combined,
}

impl LogArgs {
    /// Adds this log to the server.
    pub(super) fn apply(&self, server: Server) -> Server {
        let Some(path) = &self.access_log else { return server };
        let destination = match path.as_os_str().as_encoded_bytes() {
            b"-" => Destination::Stdout,
            _ => Destination::File(path.clone()),
        };
        let format = match self.access_log_format {
            LogFormat::Auto => None,
            LogFormat::Json => Some(Format::Json),
            LogFormat::Pretty => Some(Format::Pretty { coloured: std::env::var_os("NO_COLOR").is_none() }),
            LogFormat::Common => Some(Format::Common),
            LogFormat::Combined => Some(Format::Combined),
        };
        server.access_log(destination, format)
    }
}
