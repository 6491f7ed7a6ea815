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

    /// How the lines look [default: auto, which is pretty for a terminal and json for everything else]
    #[arg(long, value_name = "FORMAT", env = "QUOIT_ACCESS_LOG_FORMAT", value_enum)]
    access_log_format: Option<LogFormat>,
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
    /// Finds a format without a log.
    pub(super) fn check(&self) -> Vec<String> {
        match (self.access_log_format, &self.access_log) {
            (Some(_), None) => {
                vec!["--access-log-format needs --access-log FILE, or --access-log - for the terminal".into()]
            }
            _ => Vec::new(),
        }
    }

    /// Adds this log to the server.
    pub(super) fn apply(&self, server: Server) -> Server {
        match self.access_log() {
            Some((destination, format)) => server.access_log(destination, format),
            None => server,
        }
    }

    /// The log.
    pub(super) fn access_log(&self) -> Option<(Destination, Option<Format>)> {
        let path = self.access_log.as_ref()?;
        let destination = match path.as_os_str().as_encoded_bytes() {
            b"-" => Destination::Stdout,
            _ => Destination::File(path.clone()),
        };
        let format = match self.access_log_format {
            None | Some(LogFormat::Auto) => None,
            Some(LogFormat::Json) => Some(Format::Json),
            Some(LogFormat::Pretty) => {
                Some(Format::Pretty { coloured: std::env::var_os("NO_COLOR").is_none() })
            }
            Some(LogFormat::Common) => Some(Format::Common),
            Some(LogFormat::Combined) => Some(Format::Combined),
        };
        Some((destination, format))
    }
}
