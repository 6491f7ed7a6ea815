//! Parts of a response beside its body: a status, fields by name, typed fields, cookies. A handler returns
//! them in a tuple before the body's value, or adds them with [`Response::with`].
//!
//! The types of fields are own ones and few: those of the crate `headers` need `http` and six more crates,
//! which a server without the feature `tower` does not have, and its `CacheControl` knows no extensions.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

use super::fault::ResponseError;
use super::into_response::IntoResponse;
use super::response::Response;
use crate::http::cookie::SetCookie;
use crate::http::date::write_imf_fixdate;
use crate::http::message::FieldError;
use crate::http::status::Status;

/// What a response may have besides its body. Implement it for what many responses of an application have.
///
/// ```
/// use std::time::Duration;
///
/// use quoit::http::status::Status;
/// use quoit::service::{CacheControl, IntoResponse, Json, Location};
///
/// async fn create() -> impl IntoResponse {
///     let fresh = CacheControl::private(Duration::from_secs(60));
///     (Status::CREATED, Location("/things/7"), fresh, [("X-Thing", "7")], Json(7))
/// }
/// # quoit::harness::on_core(async |_| {
/// #     let routes = quoit::service::Router::new().get("/", create).build().unwrap();
/// #     let reply = quoit::harness::Call::get("/").send(&routes).await;
/// #     assert_eq!((reply.status(), reply.header("location")), (201, Some("/things/7")));
/// #     assert_eq!((reply.header("cache-control"), reply.text()), (Some("private, max-age=60"), "7"));
/// # });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no part of a response",
    note = "in a tuple, what stands before the last value is a `ResponsePart`: a `Status`, an array of \
            pairs of names and values, a `SetCookie`, a typed field such as `CacheControl`"
)]
pub trait ResponsePart {
    /// The response with this part.
    fn apply(self, response: Response) -> Response;
}

impl Response {
    /// With a status, a field, a cookie or another [`ResponsePart`].
    pub fn with(self, part: impl ResponsePart) -> Self {
        part.apply(self)
    }
}

impl ResponsePart for Status {
    fn apply(self, response: Response) -> Response {
        response.with_status(self)
    }
}

/// These fields, in place of those of the same name that the response has.
impl<N: AsRef<str>, V: AsRef<[u8]>, const COUNT: usize> ResponsePart for [(N, V); COUNT] {
    fn apply(self, response: Response) -> Response {
        let set = |response: Response, (name, value): (N, V)| response.with_field(name.as_ref(), value);
        self.into_iter().fold(response, set)
    }
}

impl ResponsePart for SetCookie<'_> {
    fn apply(self, response: Response) -> Response {
        response.with_cookie(&self)
    }
}

/// The part, if there is one.
impl<P: ResponsePart> ResponsePart for Option<P> {
    fn apply(self, response: Response) -> Response {
        match self {
            Some(part) => part.apply(response),
            None => response,
        }
    }
}

/// `Content-Type`, in place of that of the body's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentType<V>(pub V);

impl<V: AsRef<[u8]>> ResponsePart for ContentType<V> {
    fn apply(self, response: Response) -> Response {
        response.with_field("Content-Type", self.0)
    }
}

/// `Location`: a URL or a path, percent-encoded. For redirects there is [`Redirect`](super::Redirect).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location<V>(pub V);

impl<V: AsRef<[u8]>> ResponsePart for Location<V> {
    fn apply(self, response: Response) -> Response {
        response.with_field("Location", self.0)
    }
}

/// `Vary`, besides what the response varies by already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vary<V>(pub V);

impl<V: AsRef<[u8]>> ResponsePart for Vary<V> {
    fn apply(self, response: Response) -> Response {
        response.with_added_field("Vary", self.0)
    }
}

/// `Retry-After` in whole seconds, rounded up: a client that waits for them does not come too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter(pub Duration);

impl ResponsePart for RetryAfter {
    fn apply(self, response: Response) -> Response {
        let seconds = self.0.as_secs().saturating_add(u64::from(self.0.subsec_nanos() > 0));
        response.with_field("Retry-After", seconds.to_string())
    }
}

/// `Last-Modified`, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastModified(pub SystemTime);

impl ResponsePart for LastModified {
    fn apply(self, response: Response) -> Response {
        let seconds = match self.0.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            // Rounded down, as the other ones are.
            Err(before) => {
                let before = before.duration();
                let whole = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
                (-whole).saturating_sub(i64::from(before.subsec_nanos() > 0))
            }
        };
        response.with_field("Last-Modified", write_imf_fixdate(seconds))
    }
}

/// `ETag`: a tag without its quotes. For bytes that are the same, [`strong`](Self::strong); for content that
/// means the same, [`weak`](Self::weak) (RFC 9110 §8.8.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ETag<V> {
    tag: V,
    is_weak: bool,
}

impl<V: AsRef<[u8]>> ETag<V> {
    /// The bytes are the same where the tag is.
    pub fn strong(tag: V) -> Self {
        Self { tag, is_weak: false }
    }

    /// The content means the same where the tag is the same.
    pub fn weak(tag: V) -> Self {
        Self { tag, is_weak: true }
    }
}

/// 500 where the tag has a quote, white space or a control character.
impl<V: AsRef<[u8]>> ResponsePart for ETag<V> {
    fn apply(self, response: Response) -> Response {
        let tag = self.tag.as_ref();
        if let Some(byte) = tag.iter().find(|byte| matches!(byte, 0..=b' ' | b'"' | 127)) {
            return response.with_fault(ResponseError::field("ETag", FieldError::ValueCharacter(*byte)));
        }
        let prefix: &[u8] = if self.is_weak { b"W/\"" } else { b"\"" };
        response.with_field("ETag", [prefix, tag, b"\""].concat())
    }
}

/// `Content-Disposition: attachment`: to be saved under this name and not shown (RFC 6266). Any text is
/// allowed: it is encoded, and clients use only what follows its last slash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attachment<N>(pub N);

impl<N: AsRef<str>> ResponsePart for Attachment<N> {
    fn apply(self, response: Response) -> Response {
        let name = percent_encode(self.0.as_ref().as_bytes(), NON_ALPHANUMERIC);
        response.with_field("Content-Disposition", format!("attachment; filename*=UTF-8''{name}"))
    }
}

/// `Cache-Control` of a response (RFC 9111 §5.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheControl(Cow<'static, str>);

impl CacheControl {
    /// Nothing of it is stored: for what is secret.
    pub fn no_store() -> Self {
        Self(Cow::Borrowed("no-store"))
    }

    /// Stored, and asked for again before each use, by its `ETag` or `Last-Modified`.
    pub fn no_cache() -> Self {
        Self(Cow::Borrowed("no-cache"))
    }

    /// Fresh for this long, for any cache.
    pub fn public(fresh_for: Duration) -> Self {
        Self(Cow::Owned(format!("public, max-age={}", fresh_for.as_secs())))
    }

    /// Fresh for this long, for the client's own cache alone.
    pub fn private(fresh_for: Duration) -> Self {
        Self(Cow::Owned(format!("private, max-age={}", fresh_for.as_secs())))
    }

    /// Shared caches keep it for this long instead.
    pub fn shared_for(self, fresh_for: Duration) -> Self {
        self.directive(format_args!("s-maxage={}", fresh_for.as_secs()))
    }

    /// It is never used stale, even without a connection.
    pub fn must_revalidate(self) -> Self {
        self.directive(format_args!("must-revalidate"))
    }

    /// It never changes while it is fresh, so that a reload asks for nothing (RFC 8246).
    pub fn immutable(self) -> Self {
        self.directive(format_args!("immutable"))
    }

    /// Used stale for this long while it is asked for again (RFC 5861).
    pub fn stale_while_revalidate(self, stale_for: Duration) -> Self {
        self.directive(format_args!("stale-while-revalidate={}", stale_for.as_secs()))
    }

    /// Used stale for this long where the server fails (RFC 5861).
    pub fn stale_if_error(self, stale_for: Duration) -> Self {
        self.directive(format_args!("stale-if-error={}", stale_for.as_secs()))
    }

    fn directive(self, directive: std::fmt::Arguments<'_>) -> Self {
        Self(Cow::Owned(format!("{}, {directive}", self.0)))
    }
}

impl ResponsePart for CacheControl {
    fn apply(self, response: Response) -> Response {
        response.with_field("Cache-Control", &*self.0)
    }
}

macro_rules! tuples {
    ($(($($part:ident)+))+) => {
        $(
            /// The last value with these parts; where two set the same, the first is in force.
            impl<$($part: ResponsePart,)+ Value: IntoResponse> IntoResponse for ($($part,)+ Value) {
                #[allow(non_snake_case, reason = "one text for every count")]
                fn into_response(self) -> Response {
                    let ($($part,)+ value) = self;
                    ($($part,)+).apply(value.into_response())
                }
            }

            /// All of these; where two set the same, the first is in force.
            impl<$($part: ResponsePart,)+> ResponsePart for ($($part,)+) {
                #[allow(non_snake_case, reason = "one text for every count")]
                fn apply(self, response: Response) -> Response {
                    let ($($part,)+) = self;
                    tuples!(@reversed response, $($part)+)
                }
            }
        )+
    };
    (@reversed $response:expr, $first:ident $($rest:ident)*) => {
        $first.apply(tuples!(@reversed $response, $($rest)*))
    };
    (@reversed $response:expr,) => { $response };
}

tuples! {
    (A)
    (A B)
    (A B C)
    (A B C D)
    (A B C D E)
    (A B C D E F)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(part: impl ResponsePart) -> String {
        let response = Response::new(Status::OK).with(part).check().expect("can be sent");
        String::from_utf8(response.fields().to_vec()).unwrap()
    }

    #[test]
    fn fields_of_each_type() {
        let seconds = Duration::from_secs;
        assert_eq!(fields(ContentType("a/b")), "Content-Type: a/b\r\n");
        assert_eq!(fields(Location("/x".to_owned())), "Location: /x\r\n");
        assert_eq!(fields((Vary("Accept"), Vary("Cookie"))), "Vary: Cookie\r\nVary: Accept\r\n");
        assert_eq!(fields(RetryAfter(Duration::from_millis(1001))), "Retry-After: 2\r\n");
        assert_eq!(fields(RetryAfter(Duration::ZERO)), "Retry-After: 0\r\n");
        assert_eq!(
            fields(LastModified(UNIX_EPOCH + Duration::from_millis(784_111_777_900))),
            "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
        );
        assert_eq!(
            fields(LastModified(UNIX_EPOCH - Duration::from_millis(1))),
            "Last-Modified: Wed, 31 Dec 1969 23:59:59 GMT\r\n"
        );
        assert_eq!(fields(ETag::strong("a")), "ETag: \"a\"\r\n");
        assert_eq!(fields(ETag::weak("a")), "ETag: W/\"a\"\r\n");
        assert_eq!(
            fields(Attachment("a\"\r\n/b ä")),
            "Content-Disposition: attachment; filename*=UTF-8''a%22%0D%0A%2Fb%20%C3%A4\r\n"
        );
        for (cache, value) in [
            (CacheControl::no_store(), "no-store"),
            (CacheControl::no_cache().must_revalidate(), "no-cache, must-revalidate"),
            (CacheControl::public(seconds(9)).immutable(), "public, max-age=9, immutable"),
            (CacheControl::private(seconds(0)), "private, max-age=0"),
            (
                CacheControl::public(seconds(1))
                    .shared_for(seconds(2))
                    .stale_while_revalidate(seconds(3))
                    .stale_if_error(seconds(4)),
                "public, max-age=1, s-maxage=2, stale-while-revalidate=3, stale-if-error=4",
            ),
        ] {
            assert_eq!(fields(cache), format!("Cache-Control: {value}\r\n"));
        }
        assert_eq!(fields(None::<Status>), "");
    }

    #[test]
    fn the_first_part_is_in_force_and_the_body_keeps_the_rest() {
        let response =
            (Status::CREATED, ContentType("a/b"), [("X", "1"), ("Y", "2")], "text").into_response();
        assert_eq!(response.status(), Status::CREATED);
        assert_eq!(response.field_value("content-type"), Some(&b"a/b"[..]));
        let response = (Status::CREATED, (Status::OK, [("X", "1")]), "text").into_response();
        assert_eq!((response.status(), response.field_value("x")), (Status::CREATED, Some(&b"1"[..])));
    }

    #[test]
    fn what_cannot_be_sent_is_an_error() {
        for response in [
            Response::text("x").with(ETag::strong("a\"b")),
            Response::text("x").with(ETag::weak("a b")),
            Response::text("x").with(Location("/\r\nX: y")),
            Response::text("x").with([("A B", "c")]),
            Response::text("x").with(SetCookie::new("a", "b;c")),
        ] {
            assert!(response.check().is_err());
        }
    }
}
