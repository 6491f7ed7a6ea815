//! Flow control of what is received: a stream that is read never waits for one that is not, and what is
//! unread is bounded.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A client that keeps to its windows, a server that reads some of its streams, and what is unread.
struct Uploads {
    lab: Lab,
    wire: Wire,
    limits: H2Limits,
    /// The client has acknowledged the server's settings.
    is_settled: bool,
    connection: i64,
    streams: BTreeMap<u32, Upload>,
}

#[derive(Default)]
struct Upload {
    key: Option<StreamKey>,
    window: i64,
    sent: u64,
    unread: u32,
    /// All credit that came.
    credit: u64,
    /// The client has not ended it, and neither side reset it.
    is_open: bool,
    /// The response is out: what still comes is not handed out.
    is_answered: bool,
}

impl Uploads {
    /// After the exchange of settings.
    fn new(limits: H2Limits) -> Uploads {
        let mut uploads = Uploads::unsettled(limits);
        uploads.settle();
        uploads
    }

    /// Before the client has acknowledged any settings.
    fn unsettled(limits: H2Limits) -> Uploads {
        let mut lab = Lab::new(limits);
        lab.machine.start(&mut lab.out);
        let (wire, streams) = (Wire::new(), BTreeMap::new());
        let mut uploads = Uploads { lab, wire, limits, is_settled: false, connection: 65_535, streams };
        uploads.pass(0);
        uploads
    }

    fn settle(&mut self) {
        if !std::mem::replace(&mut self.is_settled, true) {
            let change = i64::from(self.limits.initial_window()) - 65_535;
            self.streams.values_mut().for_each(|upload| upload.window += change);
            self.wire = std::mem::take(&mut self.wire).frame(FrameKind::Settings, flag::ACK, 0, b"");
            self.pass(0);
        }
    }

    fn open(&mut self, stream: u32) -> bool {
        self.wire = std::mem::take(&mut self.wire).headers(stream, EndStream::No, POST);
        let window = if self.is_settled { i64::from(self.limits.initial_window()) } else { 65_535 };
        self.streams.insert(stream, Upload { window, is_open: true, ..Upload::default() });
        self.pass(stream);
        let upload = self.streams.get_mut(&stream).unwrap();
        upload.key = self.lab.machine.stream(stream);
        assert_eq!(upload.key.is_some(), upload.is_open);
        upload.is_open
    }

    /// Sends at most so much of a body as both windows allow; how much that was.
    fn send(&mut self, stream: u32, bytes: usize) -> usize {
        self.send_frame(stream, bytes, EndStream::No, |_| {})
    }

    /// As `send`; `between` happens when half of the frame has arrived.
    fn send_frame(
        &mut self,
        stream: u32,
        bytes: usize,
        end: EndStream,
        between: impl FnOnce(&mut Uploads),
    ) -> usize {
        let upload = self.streams.get_mut(&stream).unwrap();
        let allowed = upload.window.min(self.connection).max(0) as usize;
        let length = bytes.min(allowed).min(16384);
        if upload.is_open && (length > 0 || end == EndStream::Yes) {
            upload.window -= length as i64;
            upload.sent += length as u64;
            upload.is_open = end == EndStream::No;
            self.connection -= length as i64;
            let frame = Wire::default().data(stream, end, vec![0; length]).bytes;
            let (first, second) = frame.split_at(9 + length / 2);
            self.wire.bytes.extend_from_slice(first);
            self.pass(stream);
            between(self);
            self.wire.bytes.extend_from_slice(second);
            self.pass(stream);
            length
        } else {
            0
        }
    }

    /// Sends all that the windows allow.
    fn fill(&mut self, stream: u32) -> u64 {
        while self.send(stream, usize::MAX) > 0 {}
        self.streams[&stream].sent
    }

    fn reset(&mut self, stream: u32) {
        if std::mem::take(&mut self.streams.get_mut(&stream).unwrap().is_open) {
            self.wire = std::mem::take(&mut self.wire).reset(stream);
            self.pass(stream);
        }
    }

    fn answer(&mut self, stream: u32) {
        let upload = self.streams.get_mut(&stream).unwrap();
        if let Some(key) = upload.key
            && self.lab.machine.is_open(key)
        {
            upload.is_answered = true;
            self.lab.respond(stream, Status::OK, "", EndStream::Yes);
            self.hear();
        }
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
                Some(Event::Malformed(StreamError::TooManyStreams)) => {}
                Some(Event::Head { .. } | Event::Reset { error: None, .. }) => {}
                Some(other) => panic!("{other:?}"),
            }
        }
        self.hear();
    }

    /// The server reads at most so many bytes of a body, whose stream may be over.
    fn read(&mut self, stream: u32, bytes: u32) {
        let upload = self.streams.get_mut(&stream).unwrap();
        let Some(key) = upload.key else { return };
        let bytes = bytes.min(upload.unread);
        upload.unread -= bytes;
        self.lab.machine.consume(key, bytes, &mut self.lab.out);
        self.hear();
    }

    fn hear(&mut self) {
        for line in self.lab.replies() {
            let mut words = line.split(' ');
            match (words.next(), words.next(), words.next()) {
                (Some("WINDOW_UPDATE"), Some("0"), Some(by)) => {
                    self.connection += by.parse::<i64>().unwrap();
                }
                (Some("WINDOW_UPDATE"), Some(stream), Some(by)) => {
                    let stream: u32 = stream.parse().unwrap();
                    let upload = self.streams.get_mut(&stream).unwrap();
                    upload.window += by.parse::<i64>().unwrap();
                    upload.credit += by.parse::<u64>().unwrap();
                }
                (Some("RST_STREAM"), Some(stream), Some("REFUSED_STREAM" | "NO_ERROR")) => {
                    let stream: u32 = stream.parse().unwrap();
                    self.streams.get_mut(&stream).unwrap().is_open = false;
                }
                (Some("SETTINGS" | "HEADERS"), ..) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn unread(&self) -> u64 {
        let unread = self.streams.values().map(|upload| u64::from(upload.unread)).sum();
        assert_eq!(self.lab.machine.unread_bytes(), unread);
        unread
    }

    /// What is unread, and what the client may send besides.
    fn unread_possible(&self) -> u64 {
        let open = self.streams.values().filter(|upload| upload.is_open);
        self.unread() + open.map(|upload| upload.window.max(0) as u64).sum::<u64>()
    }

    fn has_grown(&self, stream: u32) -> bool {
        let upload = &self.streams[&stream];
        upload.window + i64::from(upload.unread) > 65_535
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
            assert_eq!(uploads.fill(stream), 65_535, "its own window, and no more");
        }
        let last = unread as u32 * 2 + 1;
        uploads.open(last);
        while uploads.streams[&last].sent < 4 << 20 {
            assert!(uploads.send(last, usize::MAX) > 0, "{unread} unread, stalled");
            uploads.read(last, u32::MAX);
        }
        assert!(uploads.has_grown(last));
        assert_eq!(uploads.unread(), unread as u64 * 65_535);
        assert!(uploads.unread_possible() <= u64::from(H2Limits::DEFAULT.unread_bytes_max));
    }
}

/// 8 MiB are 100 windows of 65,535 bytes and 9 times 196,609.
#[test]
fn windows_grow_while_there_is_room() {
    let mut uploads = Uploads::new(H2Limits::DEFAULT);
    let streams: Vec<u32> = (1..).step_by(2).take(100).collect();
    for &stream in &streams {
        uploads.open(stream);
        // Less than half of the window, and then more.
        uploads.send(stream, 16_384);
        uploads.read(stream, 16_384);
        assert_eq!(uploads.streams[&stream].credit, 0);
        uploads.send(stream, 16_384);
        uploads.read(stream, 16_384);
        uploads.fill(stream);
    }
    let grown: Vec<u32> = streams.iter().copied().filter(|stream| uploads.has_grown(*stream)).collect();
    assert_eq!(grown, streams[..9]);
    let (first, last) = (&uploads.streams[&1], &uploads.streams[&199]);
    assert_eq!((first.credit, first.unread), (196_609 + 32_768, 262_144));
    assert_eq!((last.credit, last.unread), (32_768, 65_535));
    assert_eq!(uploads.unread_possible(), 9 * 262_144 + 91 * 65_535);
    // One that has ended keeps its share until it is over.
    uploads.send_frame(1, 0, EndStream::Yes, |_| {});
    uploads.read(199, u32::MAX);
    assert!(!uploads.has_grown(199));
    uploads.read(1, u32::MAX);
    uploads.answer(1);
    uploads.fill(199);
    uploads.read(199, u32::MAX);
    assert!(uploads.has_grown(199));
}

/// A body that its window holds has no use for a larger one.
#[test]
fn windows_grow_for_what_is_to_come_alone() {
    for (length, credit) in [(65_535, 32_768), (98_303, 32_768), (98_304, 32_768 + 196_609)] {
        let mut lab = Lab::new(H2Limits::DEFAULT);
        let head = format!("{POST}content-length: {length}\r\n");
        let wire = Wire::new().frame(FrameKind::Settings, flag::ACK, 0, b"").headers(1, EndStream::No, &head);
        let piece = vec![0; 16_384];
        lab.take(&wire.data(1, EndStream::No, &piece).data(1, EndStream::No, &piece).bytes);
        assert_eq!(
            lab.replies(),
            ["SETTINGS ack".to_owned(), format!("WINDOW_UPDATE 1 {credit}")],
            "{length}"
        );
    }
}

#[test]
fn what_is_unread_has_a_bound_of_its_own() {
    let limits = H2Limits { unread_bytes_max: 1 << 20, ..H2Limits::DEFAULT };
    let mut uploads = Uploads::new(limits);
    for stream in (1..).step_by(2).take(100) {
        assert!(uploads.open(stream));
        uploads.fill(stream);
    }
    assert!((1 << 20) - 100 < uploads.unread() && uploads.unread() <= 1 << 20, "{}", uploads.unread());
    // A client that does not know the settings yet may fill larger windows, but of fewer streams.
    let mut uploads = Uploads::unsettled(limits);
    for stream in (1..).step_by(2).take(100) {
        assert_eq!(uploads.open(stream), stream < 33, "{stream}");
        uploads.fill(stream);
    }
    assert_eq!(uploads.unread(), 16 * 65_535);
}

/// Streams that are over count until their data is read.
#[test]
fn what_is_unread_of_closed_streams_leaves_less_room() {
    let limits = H2Limits { streams_max: 2, unread_bytes_max: 2 * 65_535, ..H2Limits::DEFAULT };
    let mut uploads = Uploads::new(limits);
    for stream in [1, 3] {
        assert!(uploads.open(stream));
        uploads.fill(stream);
        uploads.send_frame(stream, 0, EndStream::Yes, |_| {});
        uploads.answer(stream);
    }
    assert_eq!((uploads.lab.machine.open_streams(), uploads.unread()), (0, 2 * 65_535));
    assert!(!uploads.open(5));
    uploads.read(1, u32::MAX);
    assert!(uploads.open(7) && !uploads.open(9));
    // Requests without content need no room.
    uploads.lab.take(
        &Wire { encoder: std::mem::take(&mut uploads.wire.encoder), bytes: Vec::new() }
            .headers(11, EndStream::Yes, GET)
            .bytes,
    );
    assert!(uploads.lab.machine.stream(11).is_some());
}

/// A tunnel has no length, and its window grows as a body's does.
#[test]
fn windows_of_tunnels_grow() {
    let lines = ":method: CONNECT\r\n:authority: a.example:443\r\n";
    let piece = vec![0; 16_384];
    let mut lab = Lab::new(H2Limits::DEFAULT);
    lab.take(
        &Wire::new().frame(FrameKind::Settings, flag::ACK, 0, b"").headers(1, EndStream::No, lines).bytes,
    );
    lab.respond(1, Status::OK, "", EndStream::No);
    lab.machine.open_tunnel(lab.machine.stream(1).unwrap());
    lab.take(&Wire::default().data(1, EndStream::No, &piece).data(1, EndStream::No, &piece).bytes);
    let replies = ["SETTINGS ack", "HEADERS 1 :status=200", "WINDOW_UPDATE 1 229377"];
    assert_eq!(lab.replies(), replies);
}

#[test]
fn discarded_data_is_no_longer_unread() {
    let mut uploads = Uploads::new(H2Limits::DEFAULT);
    uploads.open(1);
    uploads.send(1, 1000);
    let key = uploads.streams[&1].key.unwrap();
    uploads.lab.machine.discard(key, 1000, &mut uploads.lab.out);
    assert_eq!((uploads.lab.machine.unread_bytes(), uploads.lab.out.len()), (0, 0));
}

/// Credit that was withheld while the window was larger is not forgotten when the client takes the smaller
/// one: nothing else would have it announced.
#[test]
fn credit_comes_when_windows_shrink() {
    let mut uploads = Uploads::unsettled(H2Limits { stream_window: 1000, ..H2Limits::DEFAULT });
    uploads.open(1);
    uploads.send(1, 16_384);
    uploads.send(1, 16_383);
    uploads.read(1, u32::MAX);
    assert_eq!(uploads.streams[&1].credit, 0);
    uploads.settle();
    assert_eq!((uploads.streams[&1].credit, uploads.streams[&1].window), (32_767, 1000));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever is opened, sent, read and reset before: a stream whose data was all read can go on at once,
    /// and neither is more unread than is allowed, nor may so much be sent.
    #[test]
    fn a_stream_that_is_read_can_always_go_on(
        streams_max in 1u32..12,
        stream_window in 1u32..300_000,
        unread_bytes_max in 0u32..1_000_000,
        connection_window in 0u32..300_000,
        settles_at in 0usize..60,
        acts in prop::collection::vec((0u32..12, any::<(u8, u8)>(), 0usize..40_000, 0u32..60_000), 1..300),
    ) {
        let budgets = Budgets { resets: 10_000, idle_data: 10_000, ..Budgets::DEFAULT };
        let limits = H2Limits {
            streams_max, stream_window, unread_bytes_max, connection_window, budgets, ..H2Limits::DEFAULT
        };
        let bound = u64::from(unread_bytes_max.max(65_535));
        let mut uploads = Uploads::unsettled(limits);
        let mut next = 1;
        for (step, (act, (one, other), bytes, read)) in acts.into_iter().enumerate() {
            if step == settles_at {
                uploads.settle();
            }
            if act == 0 || next == 1 {
                uploads.open(next);
                next += 2;
            }
            // One of the last few.
            let pick = |byte: u8| next - 2 - u32::from(byte) % 8 * 2 % (next - 1);
            let (stream, other) = (pick(one), pick(other));
            match act {
                0..6 => drop(uploads.send(stream, bytes)),
                6 => {
                    let between = |uploads: &mut Uploads| uploads.read(other, read);
                    uploads.send_frame(stream, bytes, EndStream::No, between);
                }
                7..10 => uploads.read(stream, read),
                10 if one.is_multiple_of(2) => uploads.reset(stream),
                10 => drop(uploads.send_frame(stream, bytes, EndStream::Yes, |_| {})),
                _ => uploads.answer(stream),
            }
            prop_assert!(uploads.unread_possible() <= bound, "{} > {bound}", uploads.unread_possible());
            prop_assert!(uploads.connection > 0);
            for upload in uploads.streams.values() {
                if upload.is_open && !upload.is_answered && upload.unread == 0 {
                    prop_assert!(upload.window > 0);
                }
            }
        }
    }
}
