//! A request as a handler sees it.

use std::cell::RefCell;
use std::fmt;

use super::body::RequestBody;
use crate::http::head::RequestHead;
use crate::http::method::Method;

/// Heads kept for reuse per core. More than requests in progress on one core would only hold memory.
const SPARE_HEADS_MAX: usize = 64;

thread_local! {
    #[allow(clippy::vec_box, reason = "the box is what is lent: a head moves often and is 96 bytes")]
    static SPARE_HEADS: RefCell<Vec<Box<RequestHead>>> = const { RefCell::new(Vec::new()) };
}

/// A head on loan from the core's pool; it goes back when dropped, its memory kept.
pub(crate) struct PooledHead(Option<Box<RequestHead>>);

impl PooledHead {
    pub(crate) fn take() -> Self {
        Self(Some(SPARE_HEADS.with_borrow_mut(Vec::pop).unwrap_or_default()))
    }
}

impl std::ops::Deref for PooledHead {
    type Target = RequestHead;

    fn deref(&self) -> &RequestHead {
        self.0.as_ref().expect("held until drop")
    }
}

impl std::ops::DerefMut for PooledHead {
    fn deref_mut(&mut self) -> &mut RequestHead {
        self.0.as_mut().expect("held until drop")
    }
}

impl Drop for PooledHead {
    fn drop(&mut self) {
        let Some(head) = self.0.take() else { return };
        // A thread that ends has no pool any more.
        let _ = SPARE_HEADS.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_HEADS_MAX {
                spare.push(head);
            }
        });
    }
}

/// One request: its head, and its body to be pulled.
pub struct Request {
    head: PooledHead,
    body: RequestBody,
}

impl Request {
    pub(crate) fn new(head: PooledHead, body: RequestBody) -> Self {
        Self { head, body }
    }

    /// Method, target, fields.
    pub fn head(&self) -> &RequestHead {
        &self.head
    }

    /// The method; short for `head().method()`.
    pub fn method(&self) -> Method {
        self.head.method()
    }

    /// The body, to be pulled.
    pub fn body(&mut self) -> &mut RequestBody {
        &mut self.body
    }

    /// The body alone, to be moved into a response.
    pub fn into_body(self) -> RequestBody {
        self.body
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({} {})", self.head.method_str(), self.head.target())
    }
}
