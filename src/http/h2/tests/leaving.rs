//! Graceful shutdown by GOAWAY (RFC 9113 §6.8): which streams are still served afterwards.

use super::*;

#[test]
fn a_server_leaves_in_two_steps() {
    let mut lab = Lab::new(H2Limits::DEFAULT);
    lab.take(&Wire::new().headers(1, EndStream::Yes, GET).bytes);
    lab.replies();
    lab.machine.announce_leave(&mut lab.out);
    lab.machine.announce_leave(&mut lab.out);
    assert_eq!(lab.replies(), ["GOAWAY 2147483647 NO_ERROR", "PING draining"]);
    // Sent before GOAWAY arrived: served.
    lab.take(&Wire::default().headers(3, EndStream::Yes, GET).bytes);
    assert_eq!(lab.events.len(), 2);
    lab.take(&Wire::default().frame(FrameKind::Ping, flag::ACK, 0, b"whatever").bytes);
    assert_eq!(lab.replies().len(), 0);
    lab.take(&Wire::default().frame(FrameKind::Ping, flag::ACK, 0, b"draining").bytes);
    assert_eq!(lab.replies(), ["GOAWAY 3 NO_ERROR"]);
    // After the last one: passed over, with what follows.
    let late = Wire::default().headers(5, EndStream::No, POST).data(5, EndStream::Yes, "abc");
    lab.take(&late.bytes);
    assert_eq!((lab.events.len(), lab.replies().len(), lab.failed), (2, 0, false));
    assert!(!lab.machine.is_over());
    lab.respond(1, Status::OK, "", EndStream::Yes);
    lab.respond(3, Status::OK, "", EndStream::Yes);
    assert!(lab.machine.is_over());
}

#[test]
fn a_client_that_leaves_gets_its_answers() {
    let mut lab = Lab::new(H2Limits::DEFAULT);
    let wire = Wire::new().headers(1, EndStream::Yes, GET);
    lab.take(&wire.frame(FrameKind::Goaway, 0, 0, [0; 8]).bytes);
    assert!(!lab.machine.is_over());
    lab.respond(1, Status::OK, "", EndStream::Yes);
    assert!(lab.machine.is_over());
}

#[test]
fn an_error_names_the_last_stream_and_itself() {
    let mut lab = Lab::new(H2Limits::DEFAULT);
    lab.take(&Wire::new().headers(7, EndStream::Yes, GET).window(0, 0).bytes);
    assert!(lab.out.ends_with(b"WINDOW_UPDATE has an increment of zero"));
    assert_eq!(lab.replies()[1], "GOAWAY 7 PROTOCOL_ERROR");
}
