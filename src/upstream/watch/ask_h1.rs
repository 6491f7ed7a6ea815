//! One GET over HTTP/1.1, for checks.

use super::answer::{Answer, BODY_BYTES_MAX, CheckFailure};
use crate::http::h1::{
    BodyDecoder, BodyLength, ConnectionOptions, OutgoingRequest, ResponseDecoder, ResponseProgress,
    write_request_head,
};
use crate::http::message::{BodyLimits, ResponseHead, ResponseLimits};
use crate::net::Stream;
use crate::ring::Payload;

/// A GET over HTTP/1.1, up to `text` in its body if that is looked for.
pub(super) async fn get(
    stream: &Stream,
    host: &str,
    path: &str,
    text: Option<&str>,
) -> Result<Answer, CheckFailure> {
    let request = OutgoingRequest {
        method: "GET",
        target: path,
        authority: host,
        fields: b"User-Agent: quoit-health\r\nAccept: */*\r\n",
        length: BodyLength::None,
        expects_continue: false,
        connection: ConnectionOptions { close: true, ..ConnectionOptions::default() },
    };
    let mut out = Vec::new();
    let written = write_request_head(&mut out, &request)
        .map_err(|_| CheckFailure::Malformed("its path or host cannot be sent"))?;
    // The end of a handshake may still be on its way.
    stream.flush().await?;
    stream.start_send(Payload::Buffer(out));
    stream.flush().await?;
    let (mut decoder, mut head) = (ResponseDecoder::new(), ResponseHead::new());
    let mut body: Option<BodyDecoder> = None;
    let mut answer = Answer::default();
    loop {
        let input = stream.recv().await?;
        let has_ended = input.is_none();
        let mut rest = input.as_deref().unwrap_or_default();
        while body.is_none() && !rest.is_empty() {
            let progress = decoder.handle_bytes(rest, &ResponseLimits::DEFAULT, &written.facts, &mut head);
            match progress.map_err(|_| CheckFailure::Malformed("its head"))? {
                ResponseProgress::Incomplete => rest = &[],
                ResponseProgress::Interim { consumed } => rest = &rest[consumed..],
                ResponseProgress::Tunnel { .. } => return Err(CheckFailure::Malformed("an upgrade")),
                ResponseProgress::Complete { consumed, body: framing } => {
                    rest = &rest[consumed..];
                    let limits = BodyLimits { body_bytes_max: None, ..BodyLimits::DEFAULT };
                    let decoder = BodyDecoder::new(framing, &limits);
                    body = Some(decoder.map_err(|_| CheckFailure::Malformed("its length"))?);
                }
            }
        }
        let Some(decoder) = &mut body else {
            if has_ended {
                return Err(CheckFailure::Malformed("it ended before its head did"));
            }
            continue;
        };
        answer.status = head.status().code();
        let Some(text) = text else { return Ok(answer) };
        while !rest.is_empty() && !decoder.is_done() {
            let step = decoder.handle_bytes(rest).map_err(|_| CheckFailure::Malformed("its body"))?;
            if step.consumed == 0 {
                break;
            }
            answer.body.extend_from_slice(&rest[step.data]);
            rest = &rest[step.consumed..];
        }
        let is_over = has_ended || decoder.is_done() || answer.body.len() >= BODY_BYTES_MAX;
        if is_over || memchr::memmem::find(&answer.body, text.as_bytes()).is_some() {
            return Ok(answer);
        }
    }
}
