//! Counters as Prometheus reads them (text exposition format 0.0.4). The number of series is that of the
//! configured endpoints: nothing that a client sends becomes a label.

use std::fmt::{Display, Write as _};
use std::time::{Instant, UNIX_EPOCH};

use crate::supervisor::ServerHandle;
use crate::upstream::{EndpointStatus, UpstreamStatus};

pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics of a server.
pub(super) fn text(handle: &ServerHandle) -> String {
    let (live, reloads) = (handle.totals(), handle.reloads());
    let totals = live.totals;
    let mut text = Metrics::default();
    text.counter("quoit_connections_total", "Connections accepted.", totals.accepted);
    text.gauge("quoit_connections_open", "Connections open on the workers that replied.", live.open);
    text.counter("quoit_requests_total", "Requests.", totals.requests);
    text.counter(
        "quoit_requests_refused_total",
        "Requests refused as malformed or too large.",
        totals.refused,
    );
    text.counter(
        "quoit_timeouts_total",
        "Connections ended because the client was too slow.",
        totals.timed_out,
    );
    text.counter("quoit_over_capacity_total", "Connections refused over capacity.", totals.over_capacity);
    text.counter("quoit_accept_failures_total", "Failed accepts.", totals.accept_failures);
    text.counter("quoit_handshakes_failed_total", "Failed TLS handshakes.", totals.handshakes_failed);
    text.counter(
        "quoit_cut_total",
        "Exchanges cut after a reload removed or changed their route.",
        totals.cut,
    );
    text.counter("quoit_panics_total", "Panics of handlers.", totals.panics);
    text.gauge("quoit_workers", "Workers.", live.workers);
    text.gauge("quoit_workers_answering", "Workers that replied in time.", live.answered);
    text.gauge("quoit_uptime_seconds", "Time since the start.", handle.age().as_secs());
    text.head("quoit_reloads_total", "counter", "Reloads by outcome.");
    text.line("quoit_reloads_total", &[("outcome", "served")], reloads.served);
    text.line("quoit_reloads_total", &[("outcome", "refused")], reloads.refused);
    if let Some(time) = reloads.last_served {
        let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        text.gauge("quoit_last_reload_timestamp_seconds", "When a reload was last served.", seconds);
    }
    text.endpoints(&handle.upstreams().status(Instant::now()));
    text.0
}

#[derive(Default)]
struct Metrics(String);

impl Metrics {
    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "counter", help);
        self.line(name, &[], value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "gauge", help);
        self.line(name, &[], value);
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (index, (label, value)) in labels.iter().enumerate() {
            let begin = if index == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{begin}{label}=\"{}\"", escaped(value));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }

    fn endpoints(&mut self, all: &[UpstreamStatus]) {
        type Value = fn(&EndpointStatus) -> f64;
        let families: [(&str, &str, &str, Value); 10] = [
            ("usable", "gauge", "Whether the endpoint may get requests.", |one| f64::from(one.is_usable())),
            ("ejected", "gauge", "Whether it is left out because of how it answered.", |one| {
                f64::from(one.ejected_for.is_some())
            }),
            ("drained", "gauge", "Whether it was drained by command.", |one| f64::from(one.drained)),
            ("weight", "gauge", "Its weight in force.", |one| f64::from(one.weight)),
            ("in_flight", "gauge", "Requests in flight.", |one| f64::from(one.in_flight)),
            ("connections", "gauge", "Open connections.", |one| f64::from(one.connections)),
            ("queued", "gauge", "Requests that wait for a connection.", |one| f64::from(one.queued)),
            ("requests_total", "counter", "Requests with an outcome.", |one| one.requests as f64),
            ("failures_total", "counter", "Those that failed.", |one| one.failures as f64),
            ("latency_seconds", "gauge", "Moving average of the time to the first byte.", |one| {
                one.latency.map_or(f64::NAN, |latency| latency.as_secs_f64())
            }),
        ];
        for (name, kind, help, value) in families {
            let name = format!("quoit_upstream_{name}");
            self.head(&name, kind, help);
            for upstream in all {
                for endpoint in &upstream.endpoints {
                    let labels = [("upstream", &*upstream.name), ("endpoint", &*endpoint.endpoint)];
                    let value = value(endpoint);
                    // What was not measured yet has no line.
                    if !value.is_nan() {
                        self.line(&name, &labels, value);
                    }
                }
            }
        }
    }
}

/// The value of a label: backslash, quote and line feed are escaped.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_their_labels() {
        let mut text = Metrics::default();
        text.counter("a_total", "All.", 5);
        text.line("b", &[("x", "1"), ("y", "q\"\\\n")], 0.5);
        assert_eq!(
            text.0,
            "# HELP a_total All.\n# TYPE a_total counter\na_total 5\nb{x=\"1\",y=\"q\\\"\\\\\\n\"} 0.5\n"
        );
    }
}
