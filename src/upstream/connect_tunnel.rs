//! Tunnels through forward proxies, by CONNECT of HTTP/1.1: what happens before the endpoint behind one
//! gets its first byte.

use std::io;

use super::error::ExchangeFailure;
use crate::http::h1::{
    BodyLength, ConnectionOptions, OutgoingRequest, ResponseDecoder, ResponseProgress, write_request_head,
};
use crate::http::message::{ResponseHead, ResponseLimits, push_field};
use crate::net::Stream;
use crate::ring::{Payload, Socket};

/// How connections pass a forward proxy, whose address is the endpoint's (RFC 9110 §9.3.6).
#[derive(Debug)]
pub(crate) struct ConnectTunnel {
    /// Host and port that it connects to.
    pub(crate) target: String,
    /// The value of `Proxy-Authorization`.
    pub(crate) authorization: Option<String>,
}

impl ConnectTunnel {
    /// Has the proxy connect, within the socket's deadline.
    pub(super) async fn open(
        &self,
        socket: Socket,
        limits: &ResponseLimits,
    ) -> Result<Socket, ExchangeFailure> {
        let mut fields = Vec::new();
        if let Some(authorization) = &self.authorization {
            push_field(&mut fields, "Proxy-Authorization", authorization.as_bytes())
                .map_err(|error| ExchangeFailure::Request(error.to_string()))?;
        }
        let request = OutgoingRequest {
            method: "CONNECT",
            target: &self.target,
            authority: &self.target,
            fields: &fields,
            length: BodyLength::None,
            expects_continue: false,
            connection: ConnectionOptions::default(),
        };
        let mut output = Vec::new();
        let written = write_request_head(&mut output, &request)
            .map_err(|error| ExchangeFailure::Request(error.to_string()))?;
        let stream = Stream::from(socket);
        stream.start_send(Payload::Buffer(output));
        stream.flush().await.map_err(lost_or_late)?;
        let (mut decoder, mut head) = (ResponseDecoder::new(), ResponseHead::new());
        loop {
            let Some(input) = stream.recv().await.map_err(lost_or_late)? else {
                return Err(ExchangeFailure::Closed);
            };
            let mut at = 0;
            while at < input.len() {
                let progress = decoder.handle_bytes(&input[at..], limits, &written.facts, &mut head);
                match progress.map_err(ExchangeFailure::Head)? {
                    ResponseProgress::Incomplete => break,
                    ResponseProgress::Interim { consumed } => at += consumed,
                    ResponseProgress::Complete { .. } => {
                        return Err(ExchangeFailure::ForwardProxy(head.status()));
                    }
                    ResponseProgress::Tunnel { consumed } if at + consumed == input.len() => {
                        return Ok(stream.into_socket());
                    }
                    // A TLS server sends nothing before it has received a ClientHello.
                    ResponseProgress::Tunnel { .. } => {
                        let why = "the forward proxy sent something of its own behind its head";
                        return Err(ExchangeFailure::Protocol(why.to_owned()));
                    }
                }
            }
        }
    }
}

fn lost_or_late(error: io::Error) -> ExchangeFailure {
    if error.kind() == io::ErrorKind::TimedOut {
        return ExchangeFailure::ConnectTimeout;
    }
    ExchangeFailure::Lost(error)
}
