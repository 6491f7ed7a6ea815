//! Bodies both ways: credit, windows, and streams that end one side at a time.

use super::*;

#[test]
fn bodies_arrive_and_credit_goes_back() {
    let piece = vec![b'x'; 16384];
    let mut wire = Wire::new().headers(1, EndStream::No, POST);
    for _ in 0..31 {
        wire = wire.data(1, EndStream::No, &piece);
    }
    wire = wire.data(1, EndStream::Yes, &piece);
    let (events, replies) = dialogue(&wire);
    assert_eq!((events.len(), events[1].len()), (2, "1 data .".len() + 32 * 16384));
    let credit: Vec<_> = replies.iter().filter_map(|line| line.strip_prefix("WINDOW_UPDATE 1 ")).collect();
    // At half of 65,535 the window grows to 256 KiB, then by halves; none after the end.
    assert_eq!(credit, ["229377", "131072", "131072", "131072"], "{replies:?}");
    assert_eq!(replies.last().unwrap(), "WINDOW_UPDATE 0 524288");
}

#[test]
fn an_unread_body_fills_its_window_and_no_more() {
    let limits = H2Limits { stream_window: 50_000, connection_window: 70_000, ..H2Limits::DEFAULT };
    let unread = |streams: &[(u32, usize)]| {
        let mut lab = Lab::new(limits);
        let mut wire = Wire::new().frame(FrameKind::Settings, flag::ACK, 0, b"");
        for &(stream, bytes) in streams {
            wire = wire.headers(stream, EndStream::No, POST);
            for piece in vec![0; bytes].chunks(16384) {
                wire = wire.data(stream, EndStream::No, piece);
            }
        }
        let mut head = RequestHead::new();
        let mut rest = &wire.bytes[..];
        loop {
            match lab.machine.handle_bytes(rest, &mut lab.out, &mut head, lab.now) {
                Ok(step) if step.event.is_none() => break,
                Ok(step) => rest = &rest[step.consumed..],
                Err(error) => {
                    lab.machine.fail(error, &mut lab.out);
                    break;
                }
            }
        }
        lab.replies()
    };
    let (ack, credit) = ("SETTINGS ack", "WINDOW_UPDATE 0 49152");
    assert_eq!(unread(&[(1, 50_000)]), [ack, credit]);
    assert_eq!(unread(&[(1, 50_001)]), [ack, credit, "RST_STREAM 1 FLOW_CONTROL_ERROR"]);
    assert_eq!(unread(&[(1, 50_000), (3, 30_000)]), [ack, credit], "the connection's is given back");
    let later = "WINDOW_UPDATE 0 50000";
    assert_eq!(unread(&[(1, 50_000), (3, 50_000)]), [ack, credit, later]);
    let beyond = unread(&[(1, 50_000), (3, 50_001)]);
    assert_eq!(beyond, [ack, credit, later, "RST_STREAM 3 FLOW_CONTROL_ERROR"]);
}

#[test]
fn padding_is_counted_and_given_back() {
    let mut wire = Wire::new().headers(1, EndStream::No, POST);
    for _ in 0..900 {
        wire = wire.frame(FrameKind::Data, flag::PADDED, 1, [&[250, b'x'][..], &[0; 250]].concat());
    }
    let mut lab = Lab::new(H2Limits::DEFAULT);
    lab.take(&wire.bytes);
    let replies = lab.replies();
    assert!(!lab.failed && replies.len() == 3, "{replies:?}");
    assert!(replies[1].starts_with("WINDOW_UPDATE 1 229") && replies[2].starts_with("WINDOW_UPDATE 1 131"));
}

#[test]
fn responses_keep_to_both_windows() {
    let mut lab = Lab::new(H2Limits::DEFAULT);
    lab.take(&Wire::new().headers(1, EndStream::Yes, GET).headers(3, EndStream::Yes, GET).bytes);
    lab.respond(1, Status::OK, "Content-Type: a/b\r\nConnection: close\r\n", EndStream::No);
    let body = vec![0; 100_000];
    assert_eq!(lab.send(1, &body, EndStream::Yes), 65535);
    let replies = lab.replies();
    assert_eq!(replies[..3], ["SETTINGS ack", "HEADERS 1 :status=200 content-type=a/b", "DATA 1 16384"]);
    assert_eq!(replies.last().unwrap(), "DATA 1 16383");
    assert!(lab.machine.is_shut());
    lab.take(&Wire::default().window(0, 20_000).bytes);
    assert_eq!(lab.send(1, &body, EndStream::No), 0, "the stream's own window is shut");
    assert_eq!(
        (lab.send(3, &body[..10_000], EndStream::Yes), lab.replies()),
        (10_000, vec!["DATA 3 10000 .".into()])
    );
    lab.take(&Wire::default().window(1, 50_000).bytes);
    assert_eq!((lab.send(1, &body, EndStream::No), lab.replies()), (10_000, vec!["DATA 1 10000".into()]));
    lab.take(&Wire::default().window(0, 1 << 20).settings(&[(4, 0)]).bytes);
    assert_eq!(lab.send(1, &body, EndStream::No), 0, "below zero");
    lab.take(&Wire::default().window(1, 25_536).bytes);
    assert_eq!(lab.send(1, &body, EndStream::Yes), 1);
    lab.take(&Wire::default().settings(&[(4, 65535)]).bytes);
    assert_eq!(lab.send(1, &body[..65535], EndStream::Yes), 65535);
    assert_eq!(lab.machine.open_streams(), 0);
}

#[test]
fn a_body_may_end_with_nothing_and_with_trailers() {
    let mut lab = Lab::new(H2Limits::DEFAULT);
    lab.take(&Wire::new().headers(1, EndStream::Yes, GET).headers(3, EndStream::Yes, GET).bytes);
    lab.respond(1, Status::OK, "", EndStream::No);
    lab.send(1, b"", EndStream::Yes);
    let key = lab.machine.stream(3).unwrap();
    lab.respond(3, Status::EARLY_HINTS, "Link: a\r\n", EndStream::No);
    lab.respond(3, Status::OK, "", EndStream::No);
    lab.send(3, b"abc", EndStream::No);
    lab.machine.send_trailers(key, b"Sum: 6\r\n", lab.now, &mut lab.out);
    lab.respond_to_closed(key);
    let expected = [
        "SETTINGS ack",
        "HEADERS 1 :status=200",
        "DATA 1 0 .",
        "HEADERS 3 :status=103 link=a",
        "HEADERS 3 :status=200",
        "DATA 3 3",
        "HEADERS 3 sum=6 .",
    ];
    assert_eq!(lab.replies(), expected);
    assert_eq!(lab.machine.open_streams(), 0);
}

impl Lab {
    /// Nothing can be sent on a closed stream.
    fn respond_to_closed(&mut self, key: StreamKey) {
        let head = SendHead { status: Status::OK, date: b"", lines: b"", length: None };
        self.machine.send_head(key, &head, EndStream::Yes, self.now, &mut self.out);
        self.machine.send_trailers(key, b"A: b\r\n", self.now, &mut self.out);
        assert!(!self.machine.begin_data_frame(key, 0, EndStream::No, self.now, &mut self.out));
        assert_eq!(self.machine.sendable(key), 0);
        self.machine.reset(key, ErrorCode::CANCEL, &mut self.out);
    }
}

#[test]
fn heads_longer_than_a_frame_are_continued() {
    let mut lab = Lab::new(H2Limits::DEFAULT);
    lab.take(&Wire::new().headers(1, EndStream::Yes, GET).bytes);
    let lines: String = (0..9).map(|n| format!("X-{n}: {}\r\n", "v".repeat(4000))).collect();
    lab.respond(1, Status::OK, &lines, EndStream::Yes);
    let replies = lab.replies();
    assert_eq!(replies[1..3], ["HEADERS 1 0x1 16384", "CONTINUATION 1 0x0 16384"]);
    assert!(replies[3].starts_with("CONTINUATION 1 0x4 ") && replies.len() == 4, "{replies:?}");
}

/// RFC 9113 §8.1: an early response is not overtaken by a reset. Clients that read only once they have sent
/// everything can do so, within a bound.
#[test]
fn after_the_response_a_request_is_discarded_within_a_bound() {
    let limits = H2Limits { stream_window: 65535, discard_bytes_max: 200_000, ..H2Limits::DEFAULT };
    let answered = |lines: &str| {
        let mut lab = Lab::new(limits);
        lab.take(&Wire::new().headers(1, EndStream::No, &format!("{POST}{lines}")).bytes);
        lab.respond(1, Status::OK, "", EndStream::Yes);
        lab
    };
    let mut lab = answered("");
    lab.take(&Wire::default().data(1, EndStream::No, "abc").data(1, EndStream::Yes, "def").bytes);
    assert_eq!(lab.replies(), ["SETTINGS ack", "HEADERS 1 :status=200 ."]);
    assert_eq!((lab.events.len(), lab.machine.open_streams()), (1, 0));

    // Up to the bound, then without credit, then no more; whether or not a length was announced.
    for lines in ["", "content-length: 1000000\r\n"] {
        let mut lab = answered(lines);
        let (mut window, mut sent) = (65_535, 0);
        let reset = loop {
            let piece = vec![0; 16_384.min(window)];
            window -= piece.len();
            sent += piece.len();
            lab.take(&Wire::default().data(1, EndStream::No, piece).bytes);
            let credit = lab.replies();
            for by in credit.iter().filter_map(|line| line.strip_prefix("WINDOW_UPDATE 1 ")) {
                window += by.parse::<usize>().unwrap();
            }
            if let Some(reset) = credit.into_iter().find(|line| line.starts_with("RST_STREAM")) {
                break reset;
            }
        };
        assert_eq!(reset, "RST_STREAM 1 NO_ERROR");
        assert!((200_000..=265_535).contains(&sent), "{sent}");
        assert_eq!((lab.events.len(), lab.machine.open_streams()), (1, 0));
    }

    // An upload that the bound covers ends by itself.
    let mut lab = answered("content-length: 200000\r\n");
    for _ in 0..15 {
        lab.take(&Wire::default().data(1, EndStream::No, vec![0; 12_500]).bytes);
    }
    lab.take(&Wire::default().data(1, EndStream::Yes, vec![0; 12_500]).bytes);
    let replies = lab.replies();
    assert!(!replies.iter().any(|line| line.starts_with("RST_STREAM")), "{replies:?}");
    assert_eq!((lab.machine.open_streams(), lab.failed), (0, false));
}

/// Data that was discarded before the response counts as well, and is credited when it is discarded.
#[test]
fn what_a_handler_does_not_read_is_discarded_with_credit() {
    let limits = H2Limits { stream_window: 65535, discard_bytes_max: 40_000, ..H2Limits::DEFAULT };
    let mut lab = Lab::new(limits);
    let mut head = RequestHead::new();
    let wire = Wire::new().headers(1, EndStream::No, POST).data(1, EndStream::No, vec![0; 16_384]);
    let wire = wire.data(1, EndStream::No, vec![0; 16_384]).data(1, EndStream::No, vec![0; 16_384]).bytes;
    let mut rest = &wire[..];
    while let Ok(step) = lab.machine.handle_bytes(rest, &mut lab.out, &mut head, lab.now)
        && step.event.is_some()
    {
        rest = &rest[step.consumed..];
    }
    lab.respond(1, Status::OK, "", EndStream::Yes);
    let key = lab.machine.stream(1).unwrap();
    assert_eq!(lab.machine.unread_bytes(), 3 * 16_384);
    lab.machine.discard(key, 3 * 16_384, &mut lab.out);
    let replies = lab.replies();
    assert_eq!(replies, ["SETTINGS ack", "HEADERS 1 :status=200 .", "WINDOW_UPDATE 1 40000"]);
    assert_eq!(lab.machine.unread_bytes(), 0);
    lab.take(&Wire::default().data(1, EndStream::No, vec![0; 16_384]).bytes);
    assert_eq!(lab.replies().len(), 0, "it may still end within its window");
}

/// The rest of a request may take any time as long as it comes at all.
#[test]
fn what_is_discarded_has_a_minimum_rate() {
    let mut lab = Lab::new(H2Limits::DEFAULT);
    lab.take(&Wire::new().headers(1, EndStream::No, POST).bytes);
    lab.respond(1, Status::OK, "", EndStream::Yes);
    lab.replies();
    let (start, second) = (lab.now, Duration::from_secs(1));
    let look = |lab: &mut Lab, now| lab.machine.reset_lingering(now, second, 1000, &mut lab.out);
    for seconds in 1..100 {
        lab.take(&Wire::default().data(1, EndStream::No, vec![0; 1000]).bytes);
        look(&mut lab, start + seconds * second);
        look(&mut lab, start + seconds * second + second / 2);
        assert!(!lab.replies().iter().any(|line| line.starts_with("RST")), "{seconds}");
    }
    lab.take(&Wire::default().data(1, EndStream::No, vec![0; 999]).bytes);
    look(&mut lab, start + 100 * second);
    assert_eq!(lab.replies(), ["RST_STREAM 1 NO_ERROR"]);
}
