//! Fields that an operator adds to every response of a site.

use crate::http::message::{FieldError, push_field};
use crate::service::{Context, Filter, Response};

/// Fields whose lines accumulate; of every other name there is one, and the outermost filter decides it.
const LISTS: [&str; 7] =
    ["Vary", "Link", "Set-Cookie", "Server-Timing", "WWW-Authenticate", "Cache-Status", "Via"];

/// Fields that every response gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldsOptions {
    /// Names and values, in the order in which they are sent. Default none.
    pub fields: Vec<(String, String)>,
}

/// Adds fields to every response. They replace the response's own fields of the same name, except for those
/// that accumulate, such as `Vary` and `Set-Cookie`.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    /// Names whose fields are replaced.
    names: Vec<Box<str>>,
    lines: Vec<u8>,
}

impl Fields {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// With these options.
    ///
    /// # Errors
    /// As [`field`](Self::field), for the first that is wrong.
    pub fn with_options(options: &FieldsOptions) -> Result<Self, FieldError> {
        options.fields.iter().try_fold(Self::new(), |fields, (name, value)| fields.field(name, value))
    }

    /// One more field; several of one name are all sent.
    ///
    /// # Errors
    /// An invalid name or value; the names of framing fields, which are the server's.
    pub fn field(mut self, name: &str, value: &str) -> Result<Self, FieldError> {
        push_field(&mut self.lines, name, value.as_bytes())?;
        let is = |known: &str| known.eq_ignore_ascii_case(name);
        if !LISTS.iter().any(|known| is(known)) && !self.names.iter().any(|known| is(known)) {
            self.names.push(name.into());
        }
        Ok(self)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

impl Filter for Fields {
    fn after(&self, _context: &Context, response: &mut Response) {
        for name in &self.names {
            response.remove_field(name);
        }
        response.add_lines(&self.lines);
    }

    fn refused(&self, context: &Context, response: &mut Response) {
        self.after(context, response);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::status::Status;

    #[test]
    fn own_fields_give_way_and_lists_add_up() {
        let fields = Fields::new()
            .field("Cache-Control", "no-store")
            .and_then(|fields| fields.field("X-Twice", "1"))
            .and_then(|fields| fields.field("x-twice", "2"))
            .and_then(|fields| fields.field("vary", "Cookie"))
            .unwrap();
        let mut response = Response::new(Status::OK);
        response.add_field("cache-control", "max-age=5").unwrap();
        response.add_field("Vary", "Accept").unwrap();
        fields.after(&Context::take(), &mut response);
        assert_eq!(
            response.fields(),
            b"Vary: Accept\r\nCache-Control: no-store\r\nX-Twice: 1\r\nx-twice: 2\r\nvary: Cookie\r\n"
        );
    }

    #[test]
    fn what_would_split_a_response_is_refused() {
        for (name, value) in
            [("A", "b\r\nC: d"), ("A B", "c"), ("", "x"), ("Content-Length", "1"), ("A", "\0")]
        {
            assert!(Fields::new().field(name, value).is_err(), "{name}: {value}");
        }
    }
}
