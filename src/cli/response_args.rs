//! Flags for responses: fields, error pages, passwords. Each becomes the options of a filter.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use clap::builder::FalseyValueParser;

use super::values::{Lines, needs_directory, twice};
use crate::filter::{
    BasicAuthOptions, ErrorPagesOptions, Fields, FieldsOptions, PageSource, SecurityHeadersOptions,
};
use crate::http::status::Status;
use crate::plan::FilterOptions;

/// Fields, pages and passwords.
#[derive(Args, Clone, Debug)]
pub(super) struct ResponseArgs {
    /// Add a field to every response, such as 'Cache-Control: no-store', in place of one it has; may be given
    /// several times
    #[arg(long, value_name = "NAME: VALUE", env = "QUOIT_HEADER")]
    header: Vec<Lines<Header>>,

    /// Answer this error with a page of your own, such as 404=404.html, to clients that accept HTML; may be
    /// given several times
    #[arg(long, value_name = "STATUS=FILE", env = "QUOIT_ERROR_PAGE")]
    error_page: Vec<Lines<ErrorPage>>,

    /// Add the fields that browsers need to protect a site's users: Content-Security-Policy and others
    #[arg(long, env = "QUOIT_SECURITY_HEADERS", value_parser = FalseyValueParser::new())]
    security_headers: bool,

    /// Require a name and a password from this file, as `htpasswd -B` writes it
    #[arg(long, value_name = "FILE", env = "QUOIT_AUTH")]
    auth: Option<PathBuf>,
}

/// A response field.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Header {
    name: String,
    value: String,
}

impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) =
            text.split_once(':').ok_or("expected NAME: VALUE, such as 'X-Frame-Options: DENY'")?;
        let header = Self { name: name.to_owned(), value: value.trim().to_owned() };
        // Validated here, so that an error is reported as one of the command line.
        Fields::new().field(&header.name, &header.value).map_err(|error| error.to_string())?;
        Ok(header)
    }
}

/// An error page for a status.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ErrorPage {
    status: Status,
    file: PathBuf,
}

impl FromStr for ErrorPage {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected STATUS=FILE, such as 404=errors/404.html";
        let (status, file) = text.split_once('=').ok_or(EXPECTED)?;
        let status = status.parse().ok().and_then(Status::new).ok_or(EXPECTED)?;
        if !(400..600).contains(&status.code()) {
            return Err("that is the status of no error; errors are 400 to 599");
        }
        if file.is_empty() {
            return Err(EXPECTED);
        }
        Ok(Self { status, file: file.into() })
    }
}

impl ResponseArgs {
    /// Finds statuses with two pages, and what needs a directory that there is not.
    pub(super) fn check(&self, has_directory: bool) -> Vec<String> {
        let mut mistakes = Vec::new();
        let statuses = self.error_page.iter().flat_map(|lines| &lines.0).map(|page| page.status.code());
        if let Some(status) = twice(statuses) {
            mistakes.push(format!("--error-page names {status} twice; give each status one page"));
        }
        if self.auth.is_some() && !has_directory {
            mistakes.push(needs_directory("--auth"));
        }
        mistakes
    }

    /// The filters for the flags, outermost first: an outer filter sees the response last.
    pub(super) fn filters(self) -> Vec<FilterOptions> {
        let mut filters = Vec::new();
        if !self.header.is_empty() {
            let fields =
                Lines::all(self.header).into_iter().map(|Header { name, value }| (name, value)).collect();
            filters.push(FilterOptions::Fields(FieldsOptions { fields }));
        }
        if self.security_headers {
            filters.push(FilterOptions::SecurityHeaders(SecurityHeadersOptions::default()));
        }
        if !self.error_page.is_empty() {
            let page = |ErrorPage { status, file }| (status, PageSource::File(file));
            let pages = Lines::all(self.error_page).into_iter().map(page).collect();
            filters.push(FilterOptions::ErrorPages(ErrorPagesOptions { pages }));
        }
        if let Some(users) = self.auth {
            filters.push(FilterOptions::BasicAuth(BasicAuthOptions::new(users)));
        }
        filters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_a_name_and_a_value() {
        let header = |name: &str, value: &str| Ok(Header { name: name.into(), value: value.into() });
        assert_eq!("X-A: b: c".parse(), header("X-A", "b: c"));
        assert_eq!("X-A:".parse(), header("X-A", ""));
        for wrong in
            ["", "X-A", "X A: b", ": b", "Content-Length: 5", "Connection: close", "A: b\r\nC: d", "date: x"]
        {
            assert!(wrong.parse::<Header>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn error_pages_are_a_status_and_a_file() {
        let page = |status, file: &str| Ok(ErrorPage { status, file: file.into() });
        assert_eq!("404=a=b.html".parse(), page(Status::NOT_FOUND, "a=b.html"));
        for wrong in
            ["", "404", "404=", "abc=x", "200=x", "304=x", "99=x", "399=x", "600=x", "999=x", "70000=x", "=x"]
        {
            assert!(wrong.parse::<ErrorPage>().is_err(), "{wrong}");
        }
    }
}
