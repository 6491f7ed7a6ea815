//! Cookies that keep a client at an endpoint. Pure.
//!
//! A cookie's value is a code of the endpoint: an HMAC of the upstream's and the endpoint's names under the
//! configured key. So it tells nothing of the endpoint, cannot be made up, is the same on every core and in
//! every process with that key, and is verified by comparing it with the codes of the endpoints, which are
//! computed once.

use std::rc::Rc;
use std::time::Duration;

use aws_lc_rs::hmac;

use crate::http::cookie::{self, CookieError, SetCookie};

/// Bytes of a code, 128 bits; its text has twice as many characters.
const CODE_BYTES: usize = 16;

/// The codes of the endpoints of an upstream, and what is sent to set them.
#[derive(Debug)]
pub(crate) struct Codes {
    cookie: String,
    /// By code, for a search; with the endpoint's place in the list.
    sorted: Vec<([u8; 2 * CODE_BYTES], usize)>,
    /// Values of Set-Cookie, by endpoint.
    set: Vec<Rc<[u8]>>,
}

impl Codes {
    /// # Errors
    /// The cookie's name is none.
    pub(crate) fn new<'a>(
        cookie: &str,
        max_age: Option<Duration>,
        key: &[u8],
        upstream: &str,
        endpoints: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Self, CookieError> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let codes: Vec<_> = endpoints.map(|endpoint| code(&key, upstream, endpoint)).collect();
        let set = codes.iter().map(|code| {
            let value = str::from_utf8(code).expect("hexadecimal digits are ASCII");
            let set = SetCookie::new(cookie, value);
            max_age.map_or(set.clone(), |age| set.max_age(age)).to_value().map(Rc::from)
        });
        let set = set.collect::<Result<_, _>>()?;
        let mut sorted: Vec<_> = codes.into_iter().enumerate().map(|(index, code)| (code, index)).collect();
        sorted.sort_unstable();
        Ok(Self { cookie: cookie.to_owned(), sorted, set })
    }

    /// The endpoint that a request's cookies name: of several with this name the first that is valid,
    /// wherever it is among the others and in whichever field.
    pub(crate) fn find<'a>(&self, lines: impl Iterator<Item = &'a [u8]>) -> Option<usize> {
        let named = cookie::pairs(lines).filter(|(name, _)| *name == self.cookie);
        named.filter_map(|(_, value)| self.index(value)).next()
    }

    fn index(&self, value: &[u8]) -> Option<usize> {
        let found = self.sorted.binary_search_by(|(code, _)| code[..].cmp(value)).ok()?;
        Some(self.sorted[found].1)
    }

    /// The value of Set-Cookie that keeps a client at this endpoint.
    pub(crate) fn set_cookie(&self, index: usize) -> Rc<[u8]> {
        self.set[index].clone()
    }
}

fn code(key: &hmac::Key, upstream: &str, endpoint: &[u8]) -> [u8; 2 * CODE_BYTES] {
    // The length in front: no two pairs of names are the same bytes.
    let mut context = hmac::Context::with_key(key);
    context.update(&(upstream.len() as u64).to_be_bytes());
    context.update(upstream.as_bytes());
    context.update(endpoint);
    let tag = context.sign();
    let mut code = [0; 2 * CODE_BYTES];
    for (digits, byte) in code.chunks_exact_mut(2).zip(tag.as_ref()) {
        let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
        digits.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(key: &[u8], upstream: &str, endpoints: &[&str]) -> Codes {
        let names = endpoints.iter().map(|name| name.as_bytes());
        Codes::new("lb", Some(Duration::from_secs(60)), key, upstream, names).unwrap()
    }

    fn value(codes: &Codes, index: usize) -> String {
        let set = String::from_utf8(codes.set_cookie(index).to_vec()).unwrap();
        set.strip_prefix("lb=").and_then(|rest| rest.split(';').next()).unwrap().to_owned()
    }

    #[test]
    fn a_cookie_is_found_among_others_and_in_any_field() {
        let codes = codes(b"key", "api", &["a:1", "b:1", "c:1"]);
        let code = value(&codes, 1);
        assert_eq!(code.len(), 32);
        assert!(
            String::from_utf8_lossy(&codes.set_cookie(1))
                .ends_with("; Path=/; Max-Age=60; HttpOnly; SameSite=Lax")
        );
        let find = |lines: &[&str]| codes.find(lines.iter().map(|line| line.as_bytes()));
        assert_eq!(find(&[&format!("lb={code}")]), Some(1));
        assert_eq!(find(&["a=1", &format!("b=2; lb={code}; c=3"), "d=4"]), Some(1));
        assert_eq!(find(&["lb=forged; x=1", &format!("lb={code}")]), Some(1));
        assert_eq!(find(&[&format!("xlb={code}")]), None);
        assert_eq!(find(&["lb=", "lb", &format!("lb={}", &code[1..]), &format!("lb={code}0")]), None);
        assert_eq!(find(&[]), None);
    }

    #[test]
    fn codes_depend_on_key_upstream_and_endpoint_alone() {
        let first = codes(b"key", "api", &["a:1", "b:1"]);
        let turned = codes(b"key", "api", &["c:1", "b:1", "a:1"]);
        assert_eq!((value(&first, 0), value(&first, 1)), (value(&turned, 2), value(&turned, 1)));
        assert_ne!(value(&first, 0), value(&first, 1));
        assert_ne!(value(&first, 0), value(&codes(b"other", "api", &["a:1"]), 0));
        assert_ne!(value(&first, 0), value(&codes(b"key", "ap", &["ia:1"]), 0));
        assert!(!String::from_utf8_lossy(&first.set_cookie(0)).contains("a:1"));
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        assert!(Codes::new("a b", None, b"key", "api", [].into_iter().chain([&b"a:1"[..]])).is_err());
    }
}
