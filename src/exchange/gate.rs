//! What may still be said in answer to one request: the one state that every version keeps to.
//!
//! ```text
//!            100, 102 to 199
//!               ┌──┐
//! NotBegun ──► Informed ──► Begun ──► Over
//!     └───────────────────────▲
//! ```

use crate::http::message::{RequestHead, Version};
use crate::http::status::Status;
use crate::service::InformError;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Stage {
    NotBegun,
    Informed,
    Begun,
    Over,
}

/// How far the answer to a request has come, and what it waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Gate {
    stage: Stage,
    /// The client holds its content back until it reads 100 Continue (RFC 9110 §10.1.1).
    expects_continue: bool,
    /// HTTP/1.0 has no interim responses (RFC 9110 §15.2).
    takes_interim: bool,
}

impl Gate {
    /// Where there is no exchange.
    pub(crate) const SHUT: Gate = Gate { stage: Stage::Over, expects_continue: false, takes_interim: false };

    /// For a request whose head could not be read.
    pub(crate) const OPEN: Gate =
        Gate { stage: Stage::NotBegun, expects_continue: false, takes_interim: false };

    /// For a request whose head was read.
    #[inline]
    pub(crate) fn new(head: &RequestHead) -> Gate {
        Gate {
            stage: Stage::NotBegun,
            expects_continue: head.expects_continue(),
            takes_interim: head.version() != Version::Http10,
        }
    }

    /// The content is wanted: whether 100 Continue is to be sent now. At most once, and never after the
    /// response began.
    pub(crate) fn ask_for_content(&mut self) -> bool {
        if self.stage > Stage::Informed {
            return false;
        }
        let asks = std::mem::take(&mut self.expects_continue);
        if asks {
            self.stage = Stage::Informed;
        }
        asks
    }

    /// Content has come: the client does not wait, or not any more.
    pub(crate) fn content_came(&mut self) {
        self.expects_continue = false;
    }

    /// Whether the client may hold its content back for ever, because the response came before it was asked.
    #[inline]
    pub(crate) fn withholds_content(&self) -> bool {
        self.expects_continue
    }

    /// An interim response is to be sent.
    ///
    /// # Errors
    /// Why it must not be.
    pub(crate) fn inform(&mut self, status: Status) -> Result<(), InformError> {
        if !matches!(status.code(), 102..=199) {
            return Err(InformError::Status(status.code()));
        }
        if self.stage > Stage::Informed {
            return Err(InformError::TooLate);
        }
        if !self.takes_interim {
            return Err(InformError::Http10);
        }
        self.stage = Stage::Informed;
        Ok(())
    }

    /// The response begins.
    #[inline]
    pub(crate) fn begin(&mut self) {
        debug_assert!(self.stage < Stage::Begun, "one response for each request");
        self.stage = Stage::Begun;
    }

    /// The exchange is over.
    #[inline]
    pub(crate) fn end(&mut self) {
        self.stage = Stage::Over;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(expects_continue: bool, takes_interim: bool) -> Gate {
        Gate { stage: Stage::NotBegun, expects_continue, takes_interim }
    }

    #[test]
    fn content_is_asked_for_once_and_before_the_response() {
        let mut waiting = gate(true, true);
        assert!(waiting.withholds_content() && waiting.ask_for_content() && !waiting.ask_for_content());
        assert!(!waiting.withholds_content());
        let mut late = gate(true, true);
        late.begin();
        assert!(!late.ask_for_content() && late.withholds_content());
        let mut eager = gate(true, true);
        eager.content_came();
        assert!(!eager.ask_for_content());
    }

    #[test]
    fn interim_responses_come_before_the_response_and_are_interim() {
        let mut open = gate(false, true);
        assert_eq!(open.inform(Status::EARLY_HINTS), Ok(()));
        assert_eq!(open.inform(Status::EARLY_HINTS), Ok(()));
        for code in [100, 101, 200, 404] {
            assert_eq!(open.inform(Status::new(code).unwrap()), Err(InformError::Status(code)));
        }
        open.begin();
        assert_eq!(open.inform(Status::EARLY_HINTS), Err(InformError::TooLate));
        open.end();
        assert_eq!(open.inform(Status::EARLY_HINTS), Err(InformError::TooLate));
        assert_eq!(gate(false, false).inform(Status::EARLY_HINTS), Err(InformError::Http10));
        assert_eq!(Gate::SHUT.clone().inform(Status::EARLY_HINTS), Err(InformError::TooLate));
    }
}
