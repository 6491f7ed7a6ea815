//! Converts a request's head to an `http::Request`. One copy of the head, which target and values share.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};
use http::{Method, Request, Uri, Version};

use super::fields;
use crate::http::message::{RequestHead, TargetForm, Version as HeadVersion};
use crate::http::method::Method as HeadMethod;

/// Copies of heads are cut from blocks of this size, which saves two allocations per request. A value that is
/// kept keeps its block allocated, so blocks are small.
const BLOCK_BYTES: usize = 4096;

thread_local! {
    static BLOCK: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// Why a head cannot be converted: valid here, but refused by `http`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refused {
    Method,
    Target,
}

/// Fills in everything but the body and the extensions.
pub(super) fn fill<B>(request: &mut Request<B>, head: &RequestHead) -> Result<(), Refused> {
    let bytes = copy(head.as_bytes());
    *request.method_mut() = method(head)?;
    *request.uri_mut() = uri(head, &bytes)?;
    *request.version_mut() = match head.version() {
        HeadVersion::Http10 => Version::HTTP_10,
        HeadVersion::Http11 => Version::HTTP_11,
        HeadVersion::Http2 => Version::HTTP_2,
    };
    *request.headers_mut() = fields::from_head(head, &bytes);
    Ok(())
}

fn copy(head: &[u8]) -> Bytes {
    BLOCK.with_borrow_mut(|block| {
        if block.capacity() < head.len() {
            // Reuses the whole block if no piece of it is referenced.
            block.reserve(BLOCK_BYTES.max(head.len()));
        }
        block.extend_from_slice(head);
        block.split().freeze()
    })
}

fn method(head: &RequestHead) -> Result<Method, Refused> {
    Ok(match head.method() {
        HeadMethod::Get => Method::GET,
        HeadMethod::Head => Method::HEAD,
        HeadMethod::Post => Method::POST,
        HeadMethod::Put => Method::PUT,
        HeadMethod::Delete => Method::DELETE,
        HeadMethod::Connect => Method::CONNECT,
        HeadMethod::Options => Method::OPTIONS,
        HeadMethod::Trace => Method::TRACE,
        HeadMethod::Patch => Method::PATCH,
        HeadMethod::Other => Method::from_bytes(head.method_str().as_bytes()).map_err(|_| Refused::Method)?,
    })
}

/// The target, its path in the normal form that everything else sees: path and query alone in origin-form,
/// whole in absolute-form.
fn uri(head: &RequestHead, bytes: &Bytes) -> Result<Uri, Refused> {
    let target = head.target();
    if !head.is_path_as_sent() {
        let query = head.query().map_or(String::new(), |query| format!("?{query}"));
        let origin = match head.form() {
            TargetForm::Absolute => {
                let scheme = head.scheme().unwrap_or("http");
                format!("{scheme}://{}", head.authority())
            }
            _ => String::new(),
        };
        let text = format!("{origin}{}{query}", head.path());
        return Uri::from_maybe_shared(Bytes::from(text)).map_err(|_| Refused::Target);
    }
    let start = target.as_ptr().addr() - head.as_bytes().as_ptr().addr();
    Uri::from_maybe_shared(bytes.slice(start..start + target.len())).map_err(|_| Refused::Target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h1::{HeadProgress, RequestDecoder};

    use crate::http::message::HeadLimits;

    fn parts(head: &RequestHead) -> Result<http::request::Parts, Refused> {
        let mut request = Request::new(());
        fill(&mut request, head)?;
        Ok(request.into_parts().0)
    }

    fn parsed(text: &str) -> RequestHead {
        let mut head = RequestHead::new();
        let progress = RequestDecoder::new().handle_bytes(text.as_bytes(), &HeadLimits::DEFAULT, &mut head);
        assert_eq!(progress, Ok(HeadProgress::Complete { consumed: text.len() }));
        head
    }

    #[test]
    fn a_head_keeps_everything() {
        let head = parsed(
            "PURGE /a%20b?c=d HTTP/1.1\r\nHost: h\r\nX-One: 1\r\nx-one: \x7f2\t\r\n\r\n"
                .replace('\x7f', "é")
                .as_str(),
        );
        let parts = parts(&head).unwrap();
        assert_eq!(parts.method.as_str(), "PURGE");
        assert_eq!(parts.uri.path(), "/a%20b");
        assert_eq!(parts.uri.query(), Some("c=d"));
        assert_eq!(parts.uri.authority(), None);
        assert_eq!(parts.version, Version::HTTP_11);
        assert_eq!(parts.headers["host"], "h");
        let all: Vec<_> = parts.headers.get_all("x-one").iter().map(|value| value.as_bytes()).collect();
        assert_eq!(all, [b"1", "é2".as_bytes()]);
    }

    #[test]
    fn every_form_of_target_is_kept() {
        let asterisk = parts(&parsed("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")).unwrap();
        assert_eq!(asterisk.uri.path(), "*");
        for (target, uri) in
            [("//a/./%62?c=%64", "/a/b?c=%64"), ("http://h:81//a", "http://h:81/a"), ("/a[1]", "/a%5B1%5D")]
        {
            let head = parsed(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert_eq!(parts(&head).unwrap().uri.to_string(), uri, "one form of a path");
        }
        let absolute = parts(&parsed("GET http://h:81/p HTTP/1.0\r\n\r\n")).unwrap();
        assert_eq!((absolute.uri.authority().unwrap().as_str(), absolute.uri.path()), ("h:81", "/p"));
        assert_eq!(absolute.version, Version::HTTP_10);
        let authority = parts(&parsed("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n")).unwrap();
        assert_eq!(authority.uri.authority().unwrap().as_str(), "h:443");
    }

    #[test]
    fn copies_are_independent_and_blocks_are_used_again() {
        let kept = copy(b"kept");
        let long = copy(&[b'x'; 3 * BLOCK_BYTES]);
        for round in 0..1000 {
            assert_eq!(copy(format!("head {round}").as_bytes()), format!("head {round}"));
        }
        assert_eq!((&kept[..], long.len()), (&b"kept"[..], 3 * BLOCK_BYTES));
        BLOCK.with_borrow(|block| assert!(block.capacity() <= 3 * BLOCK_BYTES));
    }
}
