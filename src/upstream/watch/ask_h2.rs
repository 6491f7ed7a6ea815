//! One request over HTTP/2 by prior knowledge, for checks: a GET, or a call of the gRPC health service.

use super::answer::{Answer, BODY_BYTES_MAX, CheckFailure};
use crate::http::h2::client::{Connection, Event, SendRequest};
use crate::http::h2::{EndStream, H2Limits};
use crate::http::message::{BodyLimits, HeadLimits, ResponseHead};
use crate::net::Stream;
use crate::ring::Payload;

/// What gRPC needs beside the path (its PROTOCOL-HTTP2.md).
const GRPC_LINES: &[u8] = b"content-type: application/grpc\r\nte: trailers\r\nuser-agent: quoit-health\r\n";
const GET_LINES: &[u8] = b"accept: */*\r\nuser-agent: quoit-health\r\n";
const GRPC_PATH: &str = "/grpc.health.v1.Health/Check";

/// Bytes in front of a gRPC message: whether it is compressed, and its length.
const GRPC_PREFIX: usize = 5;

pub(super) async fn get(stream: &Stream, host: &str, path: &str) -> Result<Answer, CheckFailure> {
    exchange(stream, host, path, None).await
}

/// Whether the health service says that `service` is serving.
pub(super) async fn grpc(stream: &Stream, host: &str, service: &str) -> Result<(), CheckFailure> {
    let answer = exchange(stream, host, GRPC_PATH, Some(&health_request(service))).await?;
    if answer.status != 200 {
        return Err(CheckFailure::Status(answer.status));
    }
    match answer.grpc_status.as_deref() {
        Some("0") if is_serving(&answer.body) => Ok(()),
        Some("0") => Err(CheckFailure::NotServing),
        Some(status) => Err(CheckFailure::GrpcStatus(status.to_owned())),
        None => Err(CheckFailure::Malformed("it has no grpc-status")),
    }
}

async fn exchange(
    stream: &Stream,
    host: &str,
    path: &str,
    message: Option<&[u8]>,
) -> Result<Answer, CheckFailure> {
    let mut machine = Connection::new(&H2Limits::DEFAULT, &HeadLimits::DEFAULT, &BodyLimits::DEFAULT);
    let ring = stream.ring();
    let began = ring.now();
    let now = || ring.now().saturating_duration_since(began);
    let mut out = Vec::new();
    machine.start(&mut out);
    let request = SendRequest {
        method: if message.is_some() { "POST" } else { "GET" },
        scheme: if stream.is_plain() { "http" } else { "https" },
        authority: host,
        path,
        protocol: None,
        lines: if message.is_some() { GRPC_LINES } else { GET_LINES },
        never_indexed: b"",
        length: None,
    };
    let ends = if message.is_some() { EndStream::No } else { EndStream::Yes };
    let key = machine
        .send_request(&request, ends, now(), &mut out)
        .ok_or(CheckFailure::Malformed("it allows no stream"))?;
    if let Some(message) = message {
        // A service's name fits the window that every stream begins with.
        machine.begin_data_frame(key, message.len(), EndStream::Yes, now(), &mut out);
        out.extend_from_slice(message);
    }
    let (mut head, mut answer) = (ResponseHead::new(), Answer::default());
    loop {
        if !out.is_empty() {
            stream.start_send(Payload::Buffer(std::mem::take(&mut out)));
            stream.flush().await?;
        }
        let Some(input) = stream.recv().await? else {
            return Err(CheckFailure::Malformed("it ended before its response did"));
        };
        let mut rest = &input[..];
        loop {
            let step = machine.handle_bytes(rest, &mut out, &mut head, now());
            let step = step.map_err(|_| CheckFailure::Malformed("it breaks the protocol of HTTP/2"))?;
            let Some(event) = step.event else { break };
            match event {
                Event::Head { interim: true, .. } => {}
                Event::Head { ends, .. } => {
                    answer.status = head.status().code();
                    answer.grpc_status = head.field("grpc-status").map(text);
                    if ends {
                        return Ok(answer);
                    }
                }
                Event::Data { stream, data, ends } => {
                    machine.consume(stream, data.len() as u32, &mut out);
                    answer.body.extend_from_slice(&rest[data]);
                    if ends || answer.body.len() >= BODY_BYTES_MAX {
                        return Ok(answer);
                    }
                }
                Event::Trailers { trailers, .. } => {
                    let trailers = trailers.map_err(|_| CheckFailure::Malformed("its trailers"))?;
                    answer.grpc_status = trailers.get("grpc-status").map(text);
                    return Ok(answer);
                }
                Event::Reset { .. } | Event::Goaway { .. } => {
                    return Err(CheckFailure::Malformed("it gave the request up"));
                }
            }
            rest = &rest[step.consumed..];
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `HealthCheckRequest { string service = 1; }` as a gRPC message.
fn health_request(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        push_varint(&mut message, service.len() as u64);
        message.extend_from_slice(service.as_bytes());
    }
    let mut framed = vec![0];
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(&message);
    framed
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Whether a gRPC message is `HealthCheckResponse { ServingStatus status = 1; }` with SERVING, which is 1.
/// Other fields may come before it and after it.
fn is_serving(framed: &[u8]) -> bool {
    let Some((prefix, message)) = framed.split_at_checked(GRPC_PREFIX) else { return false };
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
    let Some(mut rest) = message.get(..length).filter(|_| prefix[0] == 0) else { return false };
    let mut status = 0;
    while !rest.is_empty() {
        let Some(tag) = take_varint(&mut rest) else { return false };
        let length = match tag & 7 {
            0 => {
                let Some(value) = take_varint(&mut rest) else { return false };
                // The last one counts.
                status = if tag >> 3 == 1 { value } else { status };
                0
            }
            1 => 8,
            2 => take_varint(&mut rest).unwrap_or(u64::MAX),
            5 => 4,
            _ => return false,
        };
        let Some(after) = usize::try_from(length).ok().and_then(|length| rest.get(length..)) else {
            return false;
        };
        rest = after;
    }
    status == 1
}

fn take_varint(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = input.split_first()?;
        *input = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(message: &[u8]) -> Vec<u8> {
        let length = (message.len() as u32).to_be_bytes();
        [&[0][..], &length, message].concat()
    }

    #[test]
    fn requests_are_as_protobuf_has_them() {
        assert_eq!(health_request(""), [0, 0, 0, 0, 0]);
        assert_eq!(health_request("ab"), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert_eq!(health_request(&"x".repeat(200))[4..8], [203, 0x0a, 0xc8, 1]);
    }

    #[test]
    fn serving_is_one_and_nothing_else() {
        assert!(is_serving(&framed(&[0x08, 1])));
        assert!(is_serving(&framed(&[0x12, 1, 9, 0x08, 1, 0x18, 7])), "unknown fields are skipped");
        for message in [&[][..], &[0x08, 2], &[0x08], &[0x08, 1, 0x08, 2], &[0x12, 9, 1], &[0x0b], &[0x10, 1]]
        {
            assert!(!is_serving(&framed(message)), "{message:?}");
        }
        assert!(!is_serving(&[]) && !is_serving(&[0, 0, 0, 0, 9, 0x08, 1]));
        assert!(!is_serving(&[1, 0, 0, 0, 2, 0x08, 1]), "compressed, which was not offered");
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = (is_serving(&bytes), is_serving(&framed(&bytes)));
        }
    }
}
