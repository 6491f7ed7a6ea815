//! The available filters and handlers. Each variant holds the options of its feature; its line in a printed
//! plan is written here, without secrets.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::custom::{CustomFilter, CustomHandler};
#[cfg(feature = "auth")]
use crate::filter::BasicAuthOptions;
#[cfg(feature = "compress")]
use crate::filter::CompressOptions;
use crate::filter::{
    AcmeChallenges, CorsOptions, ErrorPagesOptions, FieldsOptions, HttpsOptions, PageSource,
    RequestIdOptions, SecurityHeadersOptions, TimeoutOptions,
};
use crate::handler::{
    DirectoryOptions, FilesOptions, MountsOptions, ProxyOptions, RedirectOptions, RespondOptions,
};
use crate::service::{CoreContext, Service};

/// A filter of a site or of a route.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum FilterOptions {
    /// Answers ACME challenges. Belongs outside of redirects and passwords.
    AcmeChallenges(AcmeChallenges),
    /// Redirects to HTTPS, and sends HSTS.
    Https(HttpsOptions),
    /// Gives every request an id.
    RequestId(RequestIdOptions),
    /// Adds fields to every response.
    Fields(FieldsOptions),
    /// Adds security fields for browsers.
    SecurityHeaders(SecurityHeadersOptions),
    /// Allows cross-origin requests (CORS).
    Cors(CorsOptions),
    /// Compresses responses on the fly.
    #[cfg(feature = "compress")]
    Compress(CompressOptions),
    /// Replaces the bodies of errors.
    ErrorPages(ErrorPagesOptions),
    /// Requires a name and a password.
    #[cfg(feature = "auth")]
    BasicAuth(BasicAuthOptions),
    /// Limits the time that handlers may take.
    Timeout(TimeoutOptions),
    /// A filter written in Rust.
    Custom(CustomFilter),
}

/// A handler of requests.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum HandlerOptions {
    /// The files of a directory.
    Files(DirectoryOptions),
    /// Several directories as one tree.
    Mounts(MountsOptions),
    /// A page for a server without content.
    Welcome,
    /// A fixed response.
    Respond(RespondOptions),
    /// A redirect to a fixed location.
    Redirect(RedirectOptions),
    /// Forwards requests to an upstream.
    Proxy(Box<ProxyOptions>),
    /// A handler written in Rust.
    Custom(CustomHandler),
}

impl HandlerOptions {
    /// A handler written in Rust: any service, a router with its own routes included. `make` is called on
    /// each core; explanations show the name.
    pub fn custom<S, E, M>(name: &str, make: M) -> Self
    where
        S: Service,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
        M: Fn(&CoreContext) -> Result<S, E> + Send + Sync + 'static,
    {
        Self::Custom(CustomHandler::new(name, make))
    }

    /// Forwards requests as these options say.
    pub fn proxy(options: ProxyOptions) -> Self {
        Self::Proxy(Box::new(options))
    }

    /// 200 with this text.
    pub fn text(text: impl Into<Bytes>) -> Self {
        Self::Respond(RespondOptions::text(text))
    }
}

impl fmt::Display for FilterOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AcmeChallenges(_) => f.write_str("acme-challenges"),
            Self::Https(HttpsOptions { redirect_to_port, hsts }) => {
                f.write_str("https")?;
                redirect_to_port.map_or(Ok(()), |port| write!(f, ", redirects to port {port}"))?;
                let max_age = hsts.as_ref().map(|hsts| hsts.max_age);
                max_age.map_or(Ok(()), |age| write!(f, ", hsts for {}", Seconds(age)))
            }
            Self::RequestId(options) => {
                f.write_str("request-id")?;
                f.write_str(if options.keep_incoming { ", keeps incoming ones" } else { "" })
            }
            Self::Fields(options) => {
                let lines: Vec<_> =
                    options.fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
                write!(f, "fields {}", lines.join(", "))
            }
            Self::SecurityHeaders(options) => match &options.policy {
                None => f.write_str("security-headers"),
                Some(policy) => write!(f, "security-headers, policy {policy}"),
            },
            Self::Cors(options) => cors(options, f),
            #[cfg(feature = "compress")]
            Self::Compress(options) => write!(f, "compress from {} bytes", options.min_bytes),
            Self::ErrorPages(options) => {
                let pages: Vec<_> = options
                    .pages
                    .iter()
                    .map(|(status, page)| match page {
                        PageSource::File(path) => {
                            format!("{} {}", status.code(), path.display())
                        }
                        PageSource::Html(html) => {
                            format!("{} ({} bytes)", status.code(), html.len())
                        }
                    })
                    .collect();
                write!(f, "error-pages {}", pages.join(", "))
            }
            #[cfg(feature = "auth")]
            Self::BasicAuth(options) => {
                write!(f, "basic-auth `{}`, users in {}", options.realm, options.users.display())
            }
            Self::Timeout(options) => write!(f, "timeout after {}", Seconds(options.after)),
            Self::Custom(custom) => custom.fmt(f),
        }
    }
}

fn cors(options: &CorsOptions, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match &options.origins {
        None => f.write_str("cors for every origin")?,
        Some(origins) => write!(f, "cors for {}", origins.join(" "))?,
    }
    f.write_str(if options.credentials { ", with credentials" } else { "" })?;
    let lists = [("methods", &options.methods), ("headers", &options.headers), ("exposed", &options.exposed)];
    for (name, list) in lists {
        list.as_ref().map_or(Ok(()), |list| write!(f, ", {name} {list}"))?;
    }
    match options.max_age {
        age if age == CorsOptions::default().max_age => Ok(()),
        age => write!(f, ", remembered for {}", Seconds(age)),
    }
}

impl fmt::Display for HandlerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(directory) => write!(f, "files {}", DisplayDirectory(directory)),
            Self::Mounts(mounts) => {
                write!(f, "files {}", DisplayDirectory(&mounts.root))?;
                mounts.below.iter().try_for_each(|directory| write!(f, "; {}", DisplayDirectory(directory)))
            }
            Self::Welcome => f.write_str("welcome page"),
            Self::Respond(options) => {
                write!(f, "respond {} {}", options.status.code(), options.status.reason())?;
                write!(f, ", {} bytes", options.body.len())?;
                options.fields.iter().try_for_each(|(name, value)| write!(f, ", {name}: {value}"))
            }
            Self::Redirect(options) => {
                write!(f, "redirect {} to {}", options.status.code(), options.location)
            }
            Self::Proxy(options) => options.fmt(f),
            Self::Custom(custom) => custom.fmt(f),
        }
    }
}

/// A directory with the options that are not the defaults.
struct DisplayDirectory<'a>(&'a DirectoryOptions);

impl fmt::Display for DisplayDirectory<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(DirectoryOptions { path, files }) = self;
        let default = FilesOptions::default();
        if !files.prefix.is_empty() {
            write!(f, "{} = ", files.prefix)?;
        }
        write!(f, "{}", path.display())?;
        let mut flag = |is: bool, text: &str| if is { write!(f, ", {text}") } else { Ok(()) };
        flag(files.list, "list")?;
        flag(files.spa, "spa")?;
        flag(!files.siblings, "no siblings")?;
        flag(files.index != default.index, &format!("index {}", files.index.join(" ")))?;
        flag(files.charset != default.charset, &format!("charset `{}`", files.charset))?;
        flag(files.assets != default.assets, &format!("{:?}", files.assets))?;
        let cache = files.cache_bytes_max;
        flag(cache != default.cache_bytes_max, &format!("cache of {cache} bytes"))?;
        let cached = files.cached_file_bytes_max;
        flag(cached != default.cached_file_bytes_max, &format!("cached up to {cached} bytes"))?;
        let rules: Vec<_> =
            files.cache_control.iter().map(|rule| format!("{}={}", rule.glob, rule.value)).collect();
        flag(!rules.is_empty(), &format!("cache-control {}", rules.join(" ")))?;
        let download: Vec<_> = files.download.iter().map(ToString::to_string).collect();
        flag(!download.is_empty(), &format!("download {}", download.join(" ")))
    }
}

/// A duration in seconds: `30 s`, `0.5 s`.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0.as_secs_f64())
    }
}
