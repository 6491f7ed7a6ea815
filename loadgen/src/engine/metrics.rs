//! Figures of a run while it goes on, for Prometheus (text exposition format 0.0.4): a thread that answers
//! with what was last written down. It gets whole steps, and knows nothing of requests.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::histogram::{Durations, QUANTILES};
use crate::result::Interval;

/// How long a reader may take with its request, and with the answer: there is one at a time.
const READER_MAX: Duration = Duration::from_secs(1);

/// Bytes of a request that are read; no more is asked than its end.
const REQUEST_BYTES_MAX: usize = 8 * 1024;

/// Answers with the figures until it is dropped.
pub(super) struct Metrics {
    page: Arc<Mutex<String>>,
    figures: Figures,
    addr: SocketAddr,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Sums over all steps, and what the last one had.
#[derive(Default)]
struct Figures {
    planned: u64,
    sent: u64,
    done: u64,
    failed: u64,
    /// Of the step that is being put together from the cores' reports.
    response: Durations,
    told: usize,
}

impl Metrics {
    pub(super) fn start(addr: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(addr)?;
        let addr = listener.local_addr()?;
        let page = Arc::new(Mutex::new(Figures::default().page()));
        let is_over = Arc::new(AtomicBool::new(false));
        let (shown, ends) = (page.clone(), is_over.clone());
        let thread = thread::Builder::new().name("loadgen-metrics".to_owned()).spawn(move || {
            for stream in listener.incoming().flatten() {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                let text = shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
                // A reader that goes away is no loss.
                let _ = answer(stream, &text);
            }
        })?;
        Ok(Self { page, figures: Figures::default(), addr, is_over, thread: Some(thread) })
    }

    /// A core's step is over; `cores` of them make one.
    pub(super) fn handle_interval(&mut self, interval: &Interval, cores: usize) {
        let figures = &mut self.figures;
        figures.planned += interval.planned;
        figures.sent += interval.sent;
        figures.done += interval.done;
        figures.failed += interval.failed;
        figures.response.add(&interval.response);
        figures.told += 1;
        if figures.told == cores {
            *self.page.lock().unwrap_or_else(PoisonError::into_inner) = figures.page();
            (figures.response, figures.told) = (Durations::default(), 0);
        }
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // It waits for a reader: this is the last one.
        if TcpStream::connect_timeout(&self.addr, READER_MAX).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

impl Figures {
    fn page(&self) -> String {
        let mut page = String::new();
        for (name, help, value) in [
            ("planned", "Requests that were planned.", self.planned),
            ("sent", "Requests that left.", self.sent),
            ("done", "Answers as expected.", self.done),
            ("failed", "Requests that failed or timed out.", self.failed),
        ] {
            let name = format!("loadgen_{name}_total");
            let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}");
        }
        let name = "loadgen_response_seconds";
        let help = "Response times of what was planned in the last step, and ended in it.";
        let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (_, share) in QUANTILES {
            if let Some(ns) = self.response.quantile(share) {
                let _ = writeln!(page, "{name}{{quantile=\"{share}\"}} {}", ns as f64 / 1e9);
            }
        }
        if let Some(ns) = self.response.max() {
            let _ = writeln!(page, "{name}{{quantile=\"1\"}} {}", ns as f64 / 1e9);
        }
        page
    }
}

/// Answers one request, whatever it asks for, and closes.
fn answer(mut stream: TcpStream, page: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(READER_MAX))?;
    stream.set_write_timeout(Some(READER_MAX))?;
    let (mut request, mut piece) = (Vec::new(), [0; 1024]);
    while !request.windows(4).any(|four| four == b"\r\n\r\n") && request.len() < REQUEST_BYTES_MAX {
        match stream.read(&mut piece)? {
            0 => return Ok(()),
            length => request.extend_from_slice(&piece[..length]),
        }
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        page.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(page.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(addr: SocketAddr) -> String {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn whole_steps_are_shown() {
        let mut metrics = Metrics::start("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = metrics.addr;
        assert!(read(addr).contains("\nloadgen_done_total 0\n"));
        let mut interval = Interval { planned: 60, sent: 50, done: 40, failed: 1, ..Interval::default() };
        (0..20).for_each(|_| interval.response.record(2_000_000));
        metrics.handle_interval(&interval, 2);
        assert!(read(addr).contains("\nloadgen_done_total 0\n"), "the other core has not told");
        metrics.handle_interval(&interval, 2);
        let page = read(addr);
        let (head, body) = page.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains(&format!(": {}\r\n", body.len())));
        for line in [
            "# TYPE loadgen_planned_total counter",
            "loadgen_planned_total 120",
            "loadgen_sent_total 100",
            "loadgen_done_total 80",
            "loadgen_failed_total 2",
            "loadgen_response_seconds{quantile=\"0.5\"} 0.002",
        ] {
            assert!(body.lines().any(|found| found.starts_with(line)), "{line}: {body}");
        }
        assert!(!body.contains("0.99\""), "40 are too few");
        drop(metrics);
        assert!(TcpStream::connect(addr).is_err(), "it ends with the run");
    }
}
