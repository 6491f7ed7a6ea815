//! Counters as Prometheus reads them (text exposition format 0.0.4). Labels are names of the configuration
//! and numbers of workers: nothing that a client sends becomes one.

use std::fmt::{Display, Write as _};
use std::time::{Instant, UNIX_EPOCH};

use crate::observe::Totals;
use crate::observe::meters::{BOUNDS, CLASSES, HistogramCounts, RouteCounts, UpstreamCounts, bound_seconds};
use crate::supervisor::{Measured, ServerHandle};
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
    text.cores(&handle.cores());
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
    let measured = handle.measured();
    text.routes(&measured);
    text.upstreams(&measured);
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

    /// The part of each worker in the sums above.
    fn cores(&mut self, cores: &[(Totals, Option<usize>)]) {
        type Value = fn(&(Totals, Option<usize>)) -> Option<u64>;
        let families: [(&str, &str, &str, Value); 3] = [
            ("connections_total", "counter", "Connections accepted by a worker.", |(totals, _)| {
                Some(totals.accepted)
            }),
            (
                "connections_open",
                "gauge",
                "Connections open on a worker, if it replied in time.",
                |(_, open)| open.map(|open| open as u64),
            ),
            ("requests_total", "counter", "Requests of a worker.", |(totals, _)| Some(totals.requests)),
        ];
        for (name, kind, help, value) in families {
            let name = format!("quoit_core_{name}");
            self.head(&name, kind, help);
            for (core, counts) in cores.iter().enumerate() {
                value(counts)
                    .into_iter()
                    .for_each(|value| self.line(&name, &[("core", &core.to_string())], value));
            }
        }
    }

    /// A histogram of each that has counted something.
    fn histograms<'m>(
        &mut self,
        name: &str,
        help: &str,
        all: impl Iterator<Item = (Vec<(&'m str, &'m str)>, &'m HistogramCounts)>,
    ) {
        self.head(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        for (labels, counts) in all.filter(|(_, counts)| counts.count() > 0) {
            let mut below = 0;
            for (index, count) in counts.buckets.iter().enumerate() {
                below += count;
                let bound = if index < BOUNDS { bound_seconds(index).to_string() } else { "+Inf".to_owned() };
                let all: Vec<_> = labels.iter().copied().chain([("le", &*bound)]).collect();
                self.line(&bucket, &all, below);
            }
            self.line(&format!("{name}_sum"), &labels, counts.sum.as_secs_f64());
            self.line(&format!("{name}_count"), &labels, below);
        }
    }

    fn routes(&mut self, measured: &Measured) {
        let name = "quoit_route_responses_total";
        self.head(name, "counter", "Requests by route and class of status; none: the client left before.");
        for (label, counts) in &measured.routes {
            for (class, count) in CLASSES.iter().zip(counts.answered) {
                // The usual ones are there from the start, so that a first error is a change.
                if count > 0 || matches!(*class, "2xx" | "4xx" | "5xx") {
                    self.line(
                        name,
                        &[("site", &*label.site), ("route", &*label.route), ("class", class)],
                        count,
                    );
                }
            }
        }
        let name = "quoit_route_endless_total";
        self.head(
            name,
            "counter",
            "Tunnels and streams of events, which are in no figure of whole responses.",
        );
        for (label, counts) in measured.routes.iter().filter(|(_, counts)| counts.endless > 0) {
            self.line(name, &[("site", &*label.site), ("route", &*label.route)], counts.endless);
        }
        type Of = fn(&RouteCounts) -> &HistogramCounts;
        let families: [(&str, &str, Of); 2] = [
            ("first_byte", "From the head of a request to that of its response.", |counts| &counts.to_head),
            ("duration", "From the head of a request to the end of its response.", |counts| &counts.whole),
        ];
        for (name, help, of) in families {
            let each = measured
                .routes
                .iter()
                .map(|(label, counts)| (vec![("site", &*label.site), ("route", &*label.route)], of(counts)));
            self.histograms(&format!("quoit_route_{name}_seconds"), help, each);
        }
    }

    fn upstreams(&mut self, measured: &Measured) {
        type Count = fn(&UpstreamCounts) -> u64;
        let counters: [(&str, &str, Count); 2] = [
            ("retries", "Requests that were sent once more.", |counts| counts.retries),
            ("ejections", "Endpoints left out because of how they answered.", |counts| counts.ejections),
        ];
        for (name, help, of) in counters {
            let name = format!("quoit_upstream_{name}_total");
            self.head(&name, "counter", help);
            for (upstream, counts) in &measured.upstreams {
                self.line(&name, &[("upstream", upstream)], of(counts));
            }
        }
        type Of = fn(&UpstreamCounts) -> &HistogramCounts;
        let families: [(&str, &str, Of); 3] = [
            ("queue", "Waiting for a connection, of requests that had to.", |counts| &counts.queue),
            ("connect", "Connecting, TLS included.", |counts| &counts.connect),
            ("first_byte", "From the end of a request to the head of its response.", |counts| {
                &counts.to_head
            }),
        ];
        for (name, help, of) in families {
            let each = measured.upstreams.iter();
            let each = each.map(|(upstream, counts)| (vec![("upstream", &**upstream)], of(counts)));
            self.histograms(&format!("quoit_upstream_{name}_seconds"), help, each);
        }
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
