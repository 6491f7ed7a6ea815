//! Flow control of what is received: a stream that is read never waits for one that is not, and what is
//! unread is bounded.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A client that keeps to its windows, a server that reads some of its streams, and what is unread.
struct Uploads {
    lab: Lab,
    wire: Wire,
    initial: i64,
    connection: i64,
    streams: BTreeMap<u32, Upload>,
}

#[derive(Default)]
struct Upload {
    window: i64,
    sent: u64,
    unread: u32,
}

impl Uploads {
    fn new(limits: H2Limits) -> Uploads {
        let mut lab = Lab::new(limits);
        lab.machine.start(&mut lab.out);
        let wire = Wire::new().frame(Kind::Settings, flag::ACK, 0, b"");
        let initial = i64::from(limits.stream_window());
        let mut uploads = Uploads { lab, wire, initial, connection: 65_535, streams: BTreeMap::new() };
        uploads.pass(0);
        uploads
    }

    fn open(&mut self, stream: u32) {
        self.wire = std::mem::take(&mut self.wire).headers(stream, End::No, POST);
        self.streams.insert(stream, Upload { window: self.initial, ..Upload::default() });
    }

    /// Sends at most so much of a body as both windows allow; how much that was.
    fn send(&mut self, stream: u32, bytes: usize) -> usize {
        let upload = self.streams.get_mut(&stream).unwrap();
        let allowed = upload.window.min(self.connection).max(0) as usize;
        let length = bytes.min(allowed).min(16384);
        if length > 0 {
            upload.window -= length as i64;
            upload.sent += length as u64;
            self.connection -= length as i64;
            self.wire = std::mem::take(&mut self.wire).data(stream, End::No, vec![0; length]);
            self.pass(stream);
        }
        length
    }

    /// Moves bytes both ways.
    fn pass(&mut self, sender: u32) {
        let wire = std::mem::take(&mut self.wire.bytes);
        let mut head = RequestHead::new();
        let mut rest = &wire[..];
        loop {
            let lab = &mut self.lab;
            let step = lab.machine.handle_bytes(rest, &mut lab.out, &mut head, lab.now).unwrap();
            rest = &rest[step.consumed..];
            match step.event {
                None => break,
                Some(Event::Data { stream, data, .. }) => {
                    assert_eq!(stream.id(), sender);
                    self.streams.get_mut(&sender).unwrap().unread += data.len() as u32;
                }
                Some(Event::Head { .. }) => {}
                Some(other) => panic!("{other:?}"),
            }
        }
        self.hear();
    }

    /// The server reads at most so many bytes of a body.
    fn read(&mut self, stream: u32, bytes: u32) {
        let Some(key) = self.lab.machine.stream(stream) else { return };
        let upload = self.streams.get_mut(&stream).unwrap();
        let bytes = bytes.min(upload.unread);
        upload.unread -= bytes;
        self.lab.machine.consume(key, bytes, &mut self.lab.out);
        self.hear();
    }

    fn hear(&mut self) {
        for line in self.lab.said() {
            let mut words = line.split(' ');
            match (words.next(), words.next(), words.next()) {
                (Some("WINDOW_UPDATE"), Some("0"), Some(by)) => {
                    self.connection += by.parse::<i64>().unwrap();
                }
                (Some("WINDOW_UPDATE"), Some(stream), Some(by)) => {
                    let stream: u32 = stream.parse().unwrap();
                    self.streams.get_mut(&stream).unwrap().window += by.parse::<i64>().unwrap();
                }
                (Some("SETTINGS"), ..) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn unread(&self) -> u64 {
        let unread = self.streams.values().map(|upload| u64::from(upload.unread)).sum();
        assert_eq!(self.lab.machine.unread_bytes(), unread);
        unread
    }
}

/// Three unread uploads once held 768 KiB of the connection's 1 MiB: less than half of it could ever be
/// consumed by a fourth, and no credit was announced below that half.
#[test]
fn unread_uploads_do_not_stop_one_that_is_read() {
    for unread in [3, 50, 99] {
        let mut uploads = Uploads::new(H2Limits::DEFAULT);
        for stream in (1..).step_by(2).take(unread) {
            uploads.open(stream);
            while uploads.send(stream, usize::MAX) > 0 {}
            assert_eq!(uploads.streams[&stream].sent, 256 * 1024, "its own window, and no more");
        }
        let last = unread as u32 * 2 + 1;
        uploads.open(last);
        while uploads.streams[&last].sent < 4 << 20 {
            assert!(uploads.send(last, usize::MAX) > 0, "{unread} unread, stalled");
            uploads.read(last, u32::MAX);
        }
        assert_eq!(uploads.unread(), unread as u64 * 256 * 1024);
        assert!(uploads.unread() <= u64::from(H2Limits::DEFAULT.unread_bytes_max));
    }
}

#[test]
fn what_is_unread_has_a_bound_of_its_own() {
    let limits = H2Limits { unread_bytes_max: 1 << 20, ..H2Limits::DEFAULT };
    let mut uploads = Uploads::new(limits);
    for stream in (1..).step_by(2).take(100) {
        uploads.open(stream);
        while uploads.send(stream, usize::MAX) > 0 {}
    }
    assert!((1 << 20) - 100 < uploads.unread() && uploads.unread() <= 1 << 20, "{}", uploads.unread());
}

#[test]
fn discarded_data_is_no_longer_unread() {
    let mut uploads = Uploads::new(H2Limits::DEFAULT);
    uploads.open(1);
    uploads.send(1, 1000);
    uploads.lab.machine.discard(1000, &mut uploads.lab.out);
    assert_eq!((uploads.lab.machine.unread_bytes(), uploads.lab.out.len()), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is sent and read before: a stream whose data was all read can go on at once.
    #[test]
    fn a_stream_that_is_read_can_always_go_on(
        stream_window in 1u32..200_000,
        connection_window in 0u32..300_000,
        acts in prop::collection::vec((0u32..8, 0usize..40_000, 0u32..60_000), 1..300),
    ) {
        let limits = H2Limits { stream_window, connection_window, ..H2Limits::DEFAULT };
        let mut uploads = Uploads::new(limits);
        for (number, bytes, read) in acts {
            let stream = number * 2 + 1;
            // Numbers only grow: opening one leaves out those below.
            if !uploads.streams.contains_key(&stream) {
                if uploads.streams.keys().next_back().is_some_and(|&highest| highest > stream) {
                    continue;
                }
                uploads.open(stream);
            }
            uploads.send(stream, bytes);
            uploads.read(stream, read);
            let bound = u64::from(stream_window) * uploads.streams.len() as u64;
            prop_assert!(uploads.unread() <= bound.min(u64::from(limits.unread_bytes_max)));
            prop_assert!(uploads.connection > 0);
            if uploads.streams[&stream].unread == 0 {
                prop_assert!(uploads.streams[&stream].window > 0);
            }
        }
    }
}
