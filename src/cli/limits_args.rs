//! Flags for the limits on clients; their defaults and reasons are those of [`Limits`].

use clap::Args;

use super::values::{Size, Time, positive, some_time};
use crate::Limits;
use crate::filter::TimeoutOptions;
use crate::plan::FilterOptions;

/// The limits that operators change. [`Limits`] has all of them.
#[derive(Args, Clone, Debug)]
pub(super) struct LimitsArgs {
    /// Answer 503 when a response has not begun this long after its request [default: no limit]
    #[arg(long, value_name = "TIME", allow_negative_numbers = true, env = "QUOIT_REQUEST_TIMEOUT")]
    #[arg(value_parser = some_time)]
    request_timeout: Option<Time>,

    /// Time for a whole request head, from its first byte
    #[arg(long, value_name = "TIME", allow_negative_numbers = true, env = "QUOIT_HEAD_TIMEOUT")]
    #[arg(value_parser = some_time)]
    #[arg(default_value_t = Time(Limits::default().head_timeout))]
    head_timeout: Time,

    /// Time that a connection may be idle between requests
    #[arg(long, value_name = "TIME", allow_negative_numbers = true, env = "QUOIT_IDLE_TIMEOUT")]
    #[arg(value_parser = some_time)]
    #[arg(default_value_t = Time(Limits::default().idle_timeout))]
    idle_timeout: Time,

    /// Time for a TLS handshake
    #[arg(long, value_name = "TIME", allow_negative_numbers = true, env = "QUOIT_HANDSHAKE_TIMEOUT")]
    #[arg(value_parser = some_time)]
    #[arg(default_value_t = Time(Limits::default().handshake_timeout))]
    handshake_timeout: Time,

    /// Time for open requests to complete when the server stops
    #[arg(long, value_name = "TIME", allow_negative_numbers = true, env = "QUOIT_DRAIN_TIMEOUT")]
    #[arg(default_value_t = Time(Limits::default().drain_timeout))]
    drain_timeout: Time,

    /// How often the rate of a transfer is checked
    #[arg(long, value_name = "TIME", allow_negative_numbers = true, env = "QUOIT_STALL_TIMEOUT")]
    #[arg(value_parser = some_time)]
    #[arg(default_value_t = Time(Limits::default().stall_timeout))]
    stall_timeout: Time,

    /// Bytes a second that a transfer must make; slower ones are ended at the next check
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, env = "QUOIT_RATE_MIN")]
    #[arg(default_value_t = Size(Limits::default().rate_min))]
    rate_min: Size,

    /// Size of a request head with its cookies, at most 60K; larger ones are answered 431
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, env = "QUOIT_HEAD_MAX")]
    #[arg(value_parser = head_size)]
    #[arg(default_value_t = Size(Limits::default().head.head_bytes_max.into()))]
    head_max: Size,

    /// End connections this long after they began, up to a tenth earlier, once what is in progress on them is
    /// complete [default: no limit]
    #[arg(long, value_name = "TIME", allow_negative_numbers = true, env = "QUOIT_CONNECTION_AGE")]
    #[arg(value_parser = some_time)]
    connection_age: Option<Time>,

    /// Connections per worker; further ones are answered 503 [default: three quarters of the descriptors]
    #[arg(long, value_name = "N", env = "QUOIT_CONNECTIONS_MAX", allow_negative_numbers = true)]
    #[arg(value_parser = positive)]
    connections_max: Option<usize>,
}

/// The largest request head: positions in a head have 16 bits.
const HEAD_BYTES_MAX: u64 = 60 * 1024;

/// The smallest one: a request line and a few fields.
const HEAD_BYTES_MIN: u64 = 512;

fn head_size(text: &str) -> Result<Size, String> {
    match text.parse()? {
        Size(bytes) if (HEAD_BYTES_MIN..=HEAD_BYTES_MAX).contains(&bytes) => Ok(Size(bytes)),
        _ => Err(format!("expected {} to {}", Size(HEAD_BYTES_MIN), Size(HEAD_BYTES_MAX))),
    }
}

impl LimitsArgs {
    /// The limits of the server.
    pub(super) fn limits(&self) -> Limits {
        let mut limits = Limits {
            head_timeout: self.head_timeout.0,
            idle_timeout: self.idle_timeout.0,
            handshake_timeout: self.handshake_timeout.0,
            drain_timeout: self.drain_timeout.0,
            stall_timeout: self.stall_timeout.0,
            rate_min: self.rate_min.0,
            connections_max: self.connections_max,
            connection_age_max: self.connection_age.map(|Time(age)| age),
            ..Limits::default()
        };
        limits.h2.window_timeout = limits.stall_timeout;
        // In range: checked by its parser.
        if let Ok(bytes) = u16::try_from(self.head_max.0) {
            limits.set_head_bytes_max(bytes);
        }
        limits
    }

    /// The filter for the time of a request.
    pub(super) fn filters(&self) -> Option<FilterOptions> {
        self.request_timeout.map(|Time(after)| FilterOptions::Timeout(TimeoutOptions { after }))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        limits: LimitsArgs,
    }

    fn parse(line: &str) -> Result<LimitsArgs, String> {
        let words = std::iter::once("quoit").chain(line.split_whitespace());
        Line::try_parse_from(words).map(|line| line.limits).map_err(|error| error.to_string())
    }

    #[test]
    fn without_flags_the_limits_are_the_servers() {
        let (ours, theirs) = (parse("").unwrap().limits(), Limits::default());
        assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
        assert!(parse("").unwrap().filters().is_none());
    }

    #[test]
    fn flags_are_limits() {
        let args = parse(
            "--head-timeout 5s --idle-timeout 2m --handshake-timeout 3s --drain-timeout 0 --stall-timeout 1m \
             --rate-min 1K --head-max 32K --connections-max 100 --request-timeout 500ms --connection-age 1h",
        );
        let args = args.unwrap();
        let limits = args.limits();
        let seconds = Duration::from_secs;
        assert_eq!((limits.head_timeout, limits.idle_timeout), (seconds(5), seconds(120)));
        assert_eq!((limits.handshake_timeout, limits.drain_timeout), (seconds(3), seconds(0)));
        assert_eq!((limits.stall_timeout, limits.h2.window_timeout), (seconds(60), seconds(60)));
        assert_eq!((limits.rate_min, limits.connections_max), (1024, Some(100)));
        assert_eq!(limits.connection_age_max, Some(seconds(3600)));
        assert_eq!((limits.head.head_bytes_max, limits.h2.list_bytes_max), (32768, 32768));
        assert_eq!(limits.head.request_line_bytes_max, 16384);
        let after = Duration::from_millis(500);
        assert_eq!(args.filters(), Some(FilterOptions::Timeout(TimeoutOptions { after })));
        assert_eq!(parse("--head-max 1K").unwrap().limits().head.request_line_bytes_max, 1024);
    }

    #[test]
    fn what_cannot_be_a_limit_says_what_can() {
        for (line, words) in [
            ("--idle-timeout 0", "above 0"),
            ("--idle-timeout soon", "30s"),
            ("--head-timeout -1", "30s"),
            ("--head-max 100", "512 to 60K"),
            ("--head-max 1M", "512 to 60K"),
            ("--connections-max 0", "at least 1"),
            ("--connections-max -1", "at least 1"),
        ] {
            let said = parse(line).unwrap_err();
            assert!(said.contains(words), "{line}: {said}");
        }
    }
}
