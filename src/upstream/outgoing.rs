//! The body of a request on its way to an endpoint. Small bodies are held, so that a request that failed can
//! be sent again from the start.

use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use crate::http::message::Trailers;
use crate::service::{BodyFrame, Frame, RequestBody};

type Rule = dyn Fn(&[u8]) -> bool;

/// Which trailers are sent, by their names. A thin pointer: every request has one.
#[derive(Clone)]
pub(crate) struct TrailerRule(Rc<Box<Rule>>);

impl TrailerRule {
    pub(crate) fn new(is_sent: impl Fn(&[u8]) -> bool + 'static) -> Self {
        Self(Rc::new(Box::new(is_sent)))
    }

    fn apply(&self, trailers: Trailers) -> Trailers {
        if trailers.iter().all(|(name, _)| (self.0)(name.as_bytes())) {
            return trailers;
        }
        let sent = trailers.iter().filter(|(name, _)| (self.0)(name.as_bytes()));
        sent.fold(Trailers::new(), |mut kept, (name, value)| {
            // They were valid before.
            let _ = kept.push(name, value);
            kept
        })
    }
}

impl fmt::Debug for TrailerRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TrailerRule")
    }
}

/// A body that is pulled from the client, and can be pulled again as long as it is held.
pub(crate) struct Outgoing {
    body: RequestBody,
    /// What was pulled so far; `None` once it is too much, or where it is not to be held.
    held: Option<Vec<Bytes>>,
    room: usize,
    /// How much of `held` was returned since the last start.
    at: usize,
    has_begun: bool,
    has_ended: bool,
    /// `None`: all are sent.
    trailers: Option<TrailerRule>,
}

impl Outgoing {
    /// `room`: bytes that may be held.
    pub(crate) fn new(body: RequestBody, room: usize) -> Self {
        let is_held = room > 0 && body.length().is_none_or(|length| length <= room as u64);
        let held = is_held.then(Vec::new);
        Self { body, held, room, at: 0, has_begun: false, has_ended: false, trailers: None }
    }

    /// Sends only the trailers that the rule allows.
    pub(crate) fn with_trailers(mut self, rule: &TrailerRule) -> Self {
        self.trailers = Some(rule.clone());
        self
    }

    /// Its length, where it is known.
    pub(crate) fn length(&self) -> Option<u64> {
        self.body.length()
    }

    /// Begins again from the start; false where that is not possible.
    pub(crate) fn rewind(&mut self) -> bool {
        self.at = 0;
        !self.has_begun || self.held.is_some()
    }

    /// The next frame.
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        if let Some(piece) = self.held.as_ref().and_then(|held| held.get(self.at)) {
            self.at += 1;
            return Poll::Ready(Some(Ok(Frame::Data(piece.clone()))));
        }
        if self.has_ended {
            return Poll::Ready(None);
        }
        let frame = ready!(self.body.poll_next_frame(cx));
        self.has_begun = true;
        match &frame {
            Some(Ok(Frame::Data(piece))) => self.hold(piece),
            None => self.has_ended = true,
            // Trailers are not held, and there is nothing after an error.
            Some(Ok(Frame::Trailers(_)) | Err(_)) => self.held = None,
        }
        Poll::Ready(match (frame, &self.trailers) {
            (Some(Ok(Frame::Trailers(trailers))), Some(rule)) => {
                Some(Ok(Frame::Trailers(rule.apply(trailers))))
            }
            (frame, _) => frame,
        })
    }

    fn hold(&mut self, piece: &Bytes) {
        let Some(held) = &mut self.held else { return };
        match self.room.checked_sub(piece.len()) {
            Some(left) => {
                self.room = left;
                held.push(piece.clone());
                self.at += 1;
            }
            None => self.held = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn next(outgoing: &mut Outgoing) -> Option<Bytes> {
        match outgoing.poll_frame(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(Ok(Frame::Data(data)))) => Some(data),
            Poll::Ready(None) => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn small_bodies_are_sent_again() {
        let mut small = Outgoing::new(RequestBody::from_bytes("abc".into()), 3);
        for _ in 0..3 {
            assert_eq!((next(&mut small), next(&mut small)), (Some("abc".into()), None));
            assert!(small.rewind());
        }
        for room in [0, 2] {
            let mut large = Outgoing::new(RequestBody::from_bytes("abc".into()), room);
            assert!(large.rewind(), "nothing was pulled");
            assert_eq!(next(&mut large), Some("abc".into()));
            assert!(!large.rewind());
        }
        assert!(Outgoing::new(RequestBody::empty(), 0).rewind());
    }
}
