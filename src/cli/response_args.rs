//! Flags about what stands around every response: fields, error pages, passwords. Each is a filter.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use clap::builder::FalseyValueParser;

use super::tls_args::Https;
use crate::filter::{BasicAuth, ErrorPages, Fields, SecurityHeaders};
use crate::http::status::Status;
use crate::server::CoreContext;
use crate::service::{Router, Routes, Service};

/// Bytes of an error page; it is kept in memory.
const PAGE_BYTES_MAX: u64 = 1024 * 1024;

/// What is added to every response, and who gets one.
#[derive(Args, Clone, Debug)]
pub(super) struct ResponseArgs {
    /// Add a field to every response, such as 'Cache-Control: no-store', in place of one it has; may be given
    /// several times
    #[arg(long, value_name = "NAME: VALUE", env = "QUOIT_HEADER", value_delimiter = '\n')]
    header: Vec<Header>,

    /// Answer this error with a page of your own, such as 404=404.html, to clients that accept HTML; may be
    /// given several times
    #[arg(long, value_name = "STATUS=FILE", env = "QUOIT_ERROR_PAGE", value_delimiter = '\n')]
    error_page: Vec<ErrorPage>,

    /// Add the fields that browsers need to protect a site's users: Content-Security-Policy and others
    #[arg(long, env = "QUOIT_SECURITY_HEADERS", value_parser = FalseyValueParser::new())]
    security_headers: bool,

    /// Ask everybody for a name and a password from this file, as `htpasswd -B` writes it
    #[arg(long, value_name = "FILE", env = "QUOIT_AUTH")]
    auth: Option<PathBuf>,
}

/// A field that a response may have.
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
        // Tried here, where a mistake can still be told as one of the command line.
        Fields::new().field(&header.name, &header.value).map_err(|error| error.to_string())?;
        if ["connection", "date", "keep-alive"].contains(&header.name.to_ascii_lowercase().as_str()) {
            return Err(format!("{name} is the server's own to say"));
        }
        Ok(header)
    }
}

/// A page for a status.
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
        if status.code() < 400 {
            return Err("that is the status of no error; errors are 400 to 599");
        }
        if file.is_empty() {
            return Err(EXPECTED);
        }
        Ok(Self { status, file: file.into() })
    }
}

/// What the flags say, read and checked. The same on every core.
#[derive(Clone, Debug)]
pub(super) struct Dress {
    fields: Fields,
    pages: ErrorPages,
    security_headers: bool,
    auth: Option<PathBuf>,
    https: Https,
}

impl ResponseArgs {
    /// Reads what the flags name, to be put around responses together with what `https` asks for.
    ///
    /// # Errors
    /// The file, the cause, and the remedy.
    pub(super) fn load(&self, https: Https) -> Result<Dress, String> {
        let mut fields = Fields::new();
        for Header { name, value } in &self.header {
            fields = fields.field(name, value).map_err(|error| error.to_string())?;
        }
        let mut pages = ErrorPages::new();
        for ErrorPage { status, file } in &self.error_page {
            pages = pages.page(*status, read_page(file)?);
        }
        let (security_headers, auth) = (self.security_headers, self.auth.clone());
        Ok(Dress { fields, pages, security_headers, auth, https })
    }
}

fn read_page(file: &Path) -> Result<Vec<u8>, String> {
    let told = |error: &dyn fmt::Display| format!("cannot use the error page {}: {error}", file.display());
    let metadata = fs::metadata(file).map_err(|error| told(&error))?;
    if !metadata.is_file() {
        return Err(told(&"it is no regular file"));
    }
    if metadata.len() > PAGE_BYTES_MAX {
        return Err(told(&format_args!("it has more than {PAGE_BYTES_MAX} bytes")));
    }
    fs::read(file).map_err(|error| told(&error))
}

impl Dress {
    /// Whether nothing was asked for.
    pub(super) fn is_empty(&self) -> bool {
        let fields = self.fields.is_empty() && self.pages.is_empty() && !self.security_headers;
        fields && self.auth.is_none() && self.https.is_empty()
    }

    /// `service` with all of it around.
    ///
    /// # Errors
    /// A file of users that is not taken.
    pub(super) fn around(&self, core: &CoreContext, service: impl Service) -> Result<Routes, String> {
        // The first stands outside: its word is the last.
        let mut router = self.https.around(Router::new().fallback_service(service));
        if !self.fields.is_empty() {
            router = router.filter(self.fields.clone());
        }
        if self.security_headers {
            router = router.filter(SecurityHeaders::new());
        }
        if !self.pages.is_empty() {
            router = router.filter(self.pages.clone());
        }
        if let Some(file) = &self.auth {
            let auth = BasicAuth::load(&core.ring, file).map_err(|error| error.to_string())?;
            // One core tells for all.
            router = router.around(if core.worker == 0 { auth } else { auth.silent() });
        }
        router.build().map_err(|error| error.to_string())
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
        for wrong in ["", "404", "404=", "abc=x", "200=x", "304=x", "99=x", "70000=x", "=x"] {
            assert!(wrong.parse::<ErrorPage>().is_err(), "{wrong}");
        }
    }
}
