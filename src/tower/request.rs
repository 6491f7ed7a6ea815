//! A request's head as `http::request::Parts`. One copy of the head, which target and values share.

use bytes::Bytes;
use http::{Method, Uri, Version, request};

use super::fields;
use crate::http::head::{RequestHead, Version as HeadVersion};
use crate::http::method::Method as HeadMethod;

/// Why a head cannot be given to the service: what `http` refuses and we do not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refused {
    Method,
    Target,
}

/// The parts of a request, without extensions.
pub(super) fn parts(head: &RequestHead) -> Result<request::Parts, Refused> {
    let bytes = Bytes::copy_from_slice(head.as_bytes());
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.method = method(head)?;
    parts.uri = uri(head, &bytes)?;
    parts.version = match head.version() {
        HeadVersion::Http10 => Version::HTTP_10,
        HeadVersion::Http11 => Version::HTTP_11,
    };
    parts.headers = fields::from_head(head, &bytes);
    Ok(parts)
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

/// The target as it was sent: path and query alone in origin-form, whole in absolute-form.
fn uri(head: &RequestHead, bytes: &Bytes) -> Result<Uri, Refused> {
    let target = head.target();
    let start = target.as_ptr().addr() - head.as_bytes().as_ptr().addr();
    Uri::from_maybe_shared(bytes.slice(start..start + target.len())).map_err(|_| Refused::Target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h1::{HeadLimits, HeadProgress, RequestDecoder};

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
        let absolute = parts(&parsed("GET http://h:81/p HTTP/1.0\r\n\r\n")).unwrap();
        assert_eq!((absolute.uri.authority().unwrap().as_str(), absolute.uri.path()), ("h:81", "/p"));
        assert_eq!(absolute.version, Version::HTTP_10);
        let authority = parts(&parsed("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n")).unwrap();
        assert_eq!(authority.uri.authority().unwrap().as_str(), "h:443");
    }
}
