//! Whole connections: requests with bodies, one after another.

use proptest::prelude::*;

use super::heads::summary;
use super::ways;
use crate::http::h1::{BodyDecoder, HeadProgress, RequestDecoder};

use crate::http::message::RequestHead;
use crate::http::message::{BodyLimits, HeadLimits, RequestError};

/// Reads requests until the bytes end, as a server would: one line per request, or the error that ends it.
fn converse(pieces: &[&[u8]]) -> Vec<String> {
    let mut decoder = RequestDecoder::new();
    let mut head = RequestHead::new();
    let mut body: Option<BodyDecoder> = None;
    let mut data = Vec::new();
    let mut lines = Vec::new();
    for piece in pieces {
        let mut rest = *piece;
        loop {
            let Some(reading) = &mut body else {
                if rest.is_empty() {
                    break;
                }
                match decoder.handle_bytes(rest, &HeadLimits::DEFAULT, &mut head) {
                    Ok(HeadProgress::Incomplete) => break,
                    Ok(HeadProgress::Complete { consumed }) => rest = &rest[consumed..],
                    Err(error) => {
                        lines.push(format!("{error:?}"));
                        return lines;
                    }
                }
                body = Some(BodyDecoder::new(head.framing(), &BodyLimits::DEFAULT).unwrap());
                continue;
            };
            if reading.is_done() {
                lines.push(format!("{} [{}]", summary(&head), data.escape_ascii()));
                data.clear();
                body = None;
                continue;
            }
            if rest.is_empty() {
                break;
            }
            match reading.handle_bytes(rest) {
                Ok(step) => {
                    data.extend_from_slice(&rest[step.data]);
                    rest = &rest[step.consumed..];
                }
                Err(error) => {
                    lines.push(format!("{error:?}"));
                    return lines;
                }
            }
        }
    }
    if !decoder.is_idle() || body.is_some() {
        lines.push("unfinished".to_string());
    }
    lines
}

const PIPELINE: &[u8] = b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n\
    POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\
    \r\nPOST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
    3\r\nabc\r\n2;x\r\nde\r\n0\r\nT: u\r\n\r\n\
    HEAD /4 HTTP/1.0\r\n\r\n\
    PUT /5 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";

const TOLD: [&str; 5] = [
    "GET /1 - a none keep 1 []",
    "POST /2 - a 5 keep 2 [hello]",
    "POST /3 - a chunked keep 2 [abcde]",
    "HEAD /4 - - none close 0 []",
    "PUT /5 - a 0 keep 2 []",
];

#[test]
fn pipelined_requests_come_out_one_by_one() {
    for pieces in ways(PIPELINE) {
        assert_eq!(converse(&pieces), TOLD);
    }
}

/// What a smuggler hides behind a body must be read as a request of its own or refused, never half of each.
#[test]
fn smuggled_requests_have_nowhere_to_hide() {
    let vectors: &[(&[u8], &[&str])] = &[
        // Behind the last chunk: a request like any other.
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
              0\r\n\r\nGET /x HTTP/1.1\r\nHost: b\r\n\r\n",
            &["POST / - a chunked keep 2 []", "GET /x - b none keep 1 []"],
        ),
        // A body on GET is read as a body.
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 23\r\n\r\n\
              GET /x HTTP/1.1\r\nX: y\r\nGET /z HTTP/1.1\r\nHost: b\r\n\r\n",
            &["GET / - a 23 keep 2 [GET /x HTTP/1.1\\r\\nX: y\\r\\n]", "GET /z - b none keep 1 []"],
        ),
        // A chunk whose extension hides a line.
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
              2;\nxx\r\n4c\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
            &["ChunkBareLf"],
        ),
        // A size line without a size, which lenient parsers read as the last chunk.
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
              \r\n\r\nGET /x HTTP/1.1\r\n\r\n",
            &["ChunkSizeMissing"],
        ),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\nContent-Length: 5\r\n\r\nhello", &["Field(BareLf)"]),
    ];
    for (wire, expected) in vectors {
        for pieces in ways(wire) {
            assert_eq!(&converse(&pieces), expected, "{}", wire.escape_ascii());
        }
    }
}

proptest! {
    #[test]
    fn pipelines_split_at_random_come_out_the_same(cuts in prop::collection::vec(0..PIPELINE.len(), 0..30)) {
        let mut cuts = cuts;
        cuts.extend([0, PIPELINE.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &PIPELINE[pair[0]..pair[1]]).collect();
        prop_assert_eq!(converse(&pieces), TOLD);
    }
}

#[test]
fn a_preface_of_http_2_is_given_back_whole() {
    let wire = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for step in 1..=wire.len() {
        let mut decoder = RequestDecoder::new();
        let mut head = RequestHead::new();
        let mut read = 0;
        for piece in wire.chunks(step) {
            match decoder.handle_bytes(piece, &HeadLimits::DEFAULT, &mut head) {
                Ok(progress) => assert_eq!(progress, HeadProgress::Incomplete),
                Err(error) => {
                    assert_eq!(error, RequestError::Http2Preface);
                    assert_eq!(decoder.take_partial(), wire[..read], "in steps of {step}");
                    break;
                }
            }
            read += piece.len();
        }
        assert!(read < wire.len(), "in steps of {step}");
    }
}
