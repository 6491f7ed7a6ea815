//! Extractors of the request's fields and cookies, which borrow from its head.

use super::FromRequest;
use crate::http::cookie;
use crate::http::message::Fields;
use crate::service::problem::Problem;
use crate::service::request::{Context, Request};

/// The fields of the request. Names are compared without case; values come as sent, without white space
/// around them.
#[derive(Clone, Debug)]
pub struct Headers {
    context: Context,
}

impl Headers {
    /// The first value of a field.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.context.head().field(name)
    }

    /// The first value of a field, if it is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// All values of a field, in order.
    pub fn all<'n>(&self, name: &'n str) -> impl Iterator<Item = &[u8]> + use<'_, 'n> {
        self.context.head().fields_named(name)
    }

    /// All fields, in order.
    pub fn iter(&self) -> Fields<'_> {
        self.context.head().fields()
    }
}

impl<'a> IntoIterator for &'a Headers {
    type Item = <Fields<'a> as Iterator>::Item;
    type IntoIter = Fields<'a>;

    fn into_iter(self) -> Fields<'a> {
        self.iter()
    }
}

impl FromRequest for Headers {
    async fn from_request(request: &mut Request) -> Result<Self, Problem> {
        Ok(Self { context: request.context().clone() })
    }
}

/// The cookies of the request, as [`cookie::pairs`] reads them: nothing is decoded, and the first of a name
/// counts. To set one, see [`Response::with_cookie`](crate::service::Response::with_cookie).
#[derive(Clone, Debug)]
pub struct Cookies {
    context: Context,
}

impl Cookies {
    /// The value of a cookie, if it is text.
    pub fn get(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.get_bytes(name)?).ok()
    }

    /// The value of a cookie.
    pub fn get_bytes(&self, name: &str) -> Option<&[u8]> {
        self.iter().find_map(|(found, value)| (found == name).then_some(value))
    }

    /// All cookies, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        cookie::pairs(self.context.head().fields_named("cookie"))
    }
}

impl FromRequest for Cookies {
    async fn from_request(request: &mut Request) -> Result<Self, Problem> {
        Ok(Self { context: request.context().clone() })
    }
}
