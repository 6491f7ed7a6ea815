//! Options of the file handler. Every option has a default that suits most sites.

use std::io;
use std::str::FromStr;

use super::glob::Glob;
use super::prepare::Assets;
use crate::http::message::push_field;
use crate::http::path;

/// How the files of a directory are served, and the memory for it.
///
/// Make it once and clone it for every core: the clones share what [`assets`](Self::assets) keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesOptions {
    /// Names of index files; the first that exists is served for its directory. Default `index.html`.
    pub index: Vec<String>,
    /// Bytes of files kept in memory per core. Default 64 MiB: the hot part of most sites.
    pub cache_bytes_max: u64,
    /// Larger files are streamed instead. Default 512 KiB: beyond it, reading is not the dominant cost.
    pub cached_file_bytes_max: u64,
    /// Whether `app.js.br`, `app.js.zst` and `app.js.gz` are served for `app.js` to clients that accept them.
    /// Default true: siblings older than the file are ignored, and a hot file costs no look-up.
    pub siblings: bool,
    /// Where text without siblings is compressed to, once, beside the workers; [`Assets::off`] to serve it
    /// as it is. Default: on, with 64 MiB for the process. Files of 1 KiB up to
    /// [`cached_file_bytes_max`](Self::cached_file_bytes_max) are compressed; larger ones take too long, and
    /// are better compressed when the site is built.
    pub assets: Assets,
    /// Values of `Cache-Control` by name; the first matching rule decides, before the default. Default: no
    /// rules.
    ///
    /// Without a rule, HTML is `no-cache` (stored, but revalidated each time), a file with a hash of its
    /// content in its name (`app.3f2a9c1b.js`) is `public, max-age=31536000, immutable`, and other files have
    /// no `Cache-Control`, so that caches use heuristics.
    pub cache_control: Vec<CacheRule>,
    /// `Link` fields by name: of every matching rule. They are sent with the file and, over HTTP/2, before it
    /// in a 103 (Early Hints, RFC 8297), so that a browser requests style sheets before the page arrives.
    /// Over HTTP/1.1 browsers ignore a 103, and some other clients take it for the response. Default: none.
    pub preload: Vec<PreloadRule>,
    /// Files to be saved and not shown: `Content-Disposition: attachment`. Default none. A site that serves
    /// uploads of its users needs it, because HTML and SVG run scripts with the site's origin.
    pub download: Vec<Glob>,
    /// The charset of text in `Content-Type`; empty for none. Default `utf-8`.
    pub charset: String,
    /// Whether a directory without an index file is listed, as a page or, to clients that prefer it, as JSON.
    /// Default false: a listing may expose names by accident. Hidden files are never listed.
    pub list: bool,
    /// Whether a path without a file is answered with the root's index file and 200, for applications that
    /// route in the browser: if the client accepts HTML, and the last segment has no extension of a known
    /// type, nor, unless the client names HTML, another dot. Default false.
    pub spa: bool,
    /// Whether a path without a file is answered with the file of that name and `.html`: `/about` with
    /// `about.html`. It precedes a directory of the name. Default false: a page has one address then.
    pub clean_urls: bool,
    /// Whether symbolic links may lead out of the directory, and absolute links are followed. Default false:
    /// who may write in the directory could otherwise publish every file that the server may read.
    pub follow_links: bool,
    /// The prefix of paths before the name of a file: `/static` where the directory is served at `/static/…`.
    /// Written decoded, as patterns of routes are: `/my docs`. Default empty.
    pub prefix: String,
}

impl Default for FilesOptions {
    fn default() -> Self {
        Self {
            index: vec!["index.html".to_owned()],
            cache_bytes_max: 64 * 1024 * 1024,
            cached_file_bytes_max: 512 * 1024,
            siblings: true,
            assets: Assets::default(),
            cache_control: Vec::new(),
            preload: Vec::new(),
            download: Vec::new(),
            charset: "utf-8".to_owned(),
            list: false,
            spa: false,
            clean_urls: false,
            follow_links: false,
            prefix: String::new(),
        }
    }
}

impl FilesOptions {
    /// The prefix in the normal form of paths, with which it is compared.
    pub(super) fn normal_prefix(&self) -> String {
        let mut normal = Vec::new();
        // A prefix without a slash is empty.
        let _ = path::normalize(self.prefix.as_bytes(), &mut normal);
        String::from_utf8(normal).expect("a normal form is ASCII")
    }

    /// Finds invalid options.
    pub(in crate::handler) fn check(&self) -> io::Result<()> {
        let wrong = |what: String| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        if let Some(name) = self.index.iter().find(|name| name.is_empty() || name.contains(['/', '\0'])) {
            return wrong(format!("`{name}` is no name of an index file"));
        }
        let is_segment = |segment: &str| !matches!(segment, "" | "." | "..");
        let is_decoded = |c: char| !c.is_control() && !matches!(c, '%' | '?' | '#');
        let is_path = match self.prefix.strip_prefix('/') {
            Some(below) => below.split('/').all(is_segment) && below.chars().all(is_decoded),
            None => self.prefix.is_empty(),
        };
        if !is_path {
            return wrong(format!("`{}` is no prefix of paths: write /like/this, decoded", self.prefix));
        }
        if !self.charset.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte)) {
            return wrong(format!("`{}` is no charset", self.charset));
        }
        for CacheRule { glob, value } in &self.cache_control {
            if push_field(&mut Vec::new(), "Cache-Control", value.as_bytes()).is_err()
                || !is_directives(value)
            {
                return wrong(format!(
                    "`{value}` for {glob} is no Cache-Control; write directives such as no-store, or public, \
                     max-age=3600"
                ));
            }
        }
        for PreloadRule { glob, link } in &self.preload {
            let is_link = link.starts_with('<') && link.contains('>');
            if !is_link || push_field(&mut Vec::new(), "Link", link.as_bytes()).is_err() {
                return wrong(format!(
                    "the link to preload with {glob} is none: {link:?}; write </style.css>; \
                     rel=preload; as=style"
                ));
            }
        }
        Ok(())
    }
}

/// A `Link` field for the files whose names match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreloadRule {
    /// Which files.
    pub glob: Glob,
    /// The value (RFC 8288 §3), such as `</style.css>; rel=preload; as=style`.
    pub link: String,
}

/// A [`PreloadRule`] is written `GLOB=LINK`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPreloadRule;

impl std::fmt::Display for NoPreloadRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("expected GLOB=LINK, such as '*.html=</style.css>; rel=preload; as=style'")
    }
}

impl std::error::Error for NoPreloadRule {}

impl FromStr for PreloadRule {
    type Err = NoPreloadRule;

    /// Splits at the first `=`: patterns have none, links do.
    fn from_str(rule: &str) -> Result<Self, NoPreloadRule> {
        let (glob, link) = rule.split_once('=').ok_or(NoPreloadRule)?;
        if glob.is_empty() || !link.starts_with('<') {
            return Err(NoPreloadRule);
        }
        Ok(Self { glob: Glob::new(glob), link: link.to_owned() })
    }
}

/// A value of `Cache-Control` for the files whose names match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheRule {
    /// Which files.
    pub glob: Glob,
    /// The value; empty for no field.
    pub value: String,
}

/// A [`CacheRule`] is written `GLOB=VALUE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoCacheRule;

impl std::fmt::Display for NoCacheRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("expected GLOB=VALUE, such as *.css=max-age=3600")
    }
}

impl std::error::Error for NoCacheRule {}

impl FromStr for CacheRule {
    type Err = NoCacheRule;

    /// Splits at the first `=`: patterns have none, values do.
    fn from_str(rule: &str) -> Result<Self, NoCacheRule> {
        let (glob, value) = rule.split_once('=').ok_or(NoCacheRule)?;
        if glob.is_empty() {
            return Err(NoCacheRule);
        }
        Ok(Self { glob: Glob::new(glob), value: value.to_owned() })
    }
}

/// Whether a value is a list of directives (RFC 9111 §5.2). A name without letters, such as the 3600 of a
/// rule without its glob, is a mistake although the grammar allows it.
fn is_directives(value: &str) -> bool {
    let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_token = |text: &str| !text.is_empty() && text.bytes().all(is_token_byte);
    let is_quoted = |text: &str| {
        let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        inner.is_some_and(|inner| !inner.contains('"'))
    };
    let is_directive = |directive: &str| {
        let (name, argument) = match directive.split_once('=') {
            Some((name, argument)) => (name, Some(argument)),
            None => (directive, None),
        };
        let is_name = is_token(name) && name.bytes().any(|byte| byte.is_ascii_alphabetic());
        is_name && argument.is_none_or(|argument| is_token(argument) || is_quoted(argument))
    };
    // A comma within quotes separates nothing.
    let mut quoted = false;
    let separates = |c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    };
    value.is_empty()
        || value.split(separates).all(|directive| is_directive(directive.trim_matches([' ', '\t'])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_found() {
        let with = |change: fn(&mut FilesOptions)| {
            let mut options = FilesOptions::default();
            change(&mut options);
            options.check().map_err(|error| error.to_string())
        };
        assert_eq!(with(|_| ()), Ok(()));
        for (prefix, normal) in [("/static/v1", "/static/v1"), ("", ""), ("/a b/\u{e9}|", "/a%20b/%C3%A9%7C")]
        {
            let options = FilesOptions { prefix: prefix.into(), ..FilesOptions::default() };
            assert!(options.check().is_ok(), "{prefix}");
            assert_eq!(options.normal_prefix(), normal);
        }
        assert_eq!(with(|o| o.charset.clear()), Ok(()));
        for prefix in
            ["static", "/", "/static/", "/a%20b", "/a?b", "/a\r\nb", "/a//b", "//a", "/./a", "/a/.."]
        {
            let options = FilesOptions { prefix: prefix.into(), ..FilesOptions::default() };
            assert!(options.check().is_err(), "{prefix:?}");
        }
        assert!(with(|o| o.index.push(String::new())).is_err());
        assert!(with(|o| o.index.push("../secret".into())).is_err());
        assert!(with(|o| o.charset = "utf-8\r\nX: y".into()).is_err());
        assert!(with(|o| o.cache_control.push("*=a\r\nX: y".parse().unwrap())).is_err());
        for value in ["", "no-store", "public, max-age=3600", "private=\"a, b\" ,immutable", "x=\"\""] {
            assert!(is_directives(value), "{value}");
        }
        for value in ["max-age 3600", "3600", "max-age=", "a,,b", "a,", "=1", "x=\"", "no-store; max-age=1"] {
            assert!(!is_directives(value), "{value}");
        }
        assert_eq!(with(|o| o.preload.push("*=</a.css>; rel=preload".parse().unwrap())), Ok(()));
        assert!(with(|o| o.preload.push("*=</a.css>\r\nX: y".parse().unwrap())).is_err());
        assert!(with(|o| o.preload.push("*=</a.css".parse().unwrap())).is_err());
    }

    #[test]
    fn preload_rules_are_a_pattern_and_a_link() {
        let rule: PreloadRule = "*.html=</a=b.css>; rel=preload".parse().unwrap();
        assert_eq!((rule.glob, &*rule.link), (Glob::new("*.html"), "</a=b.css>; rel=preload"));
        for wrong in ["", "*.html", "=</a>", "*.html=/a.css"] {
            assert_eq!(wrong.parse::<PreloadRule>(), Err(NoPreloadRule), "{wrong}");
        }
    }

    #[test]
    fn cache_rules_are_written_with_an_equals_sign() {
        let rule: CacheRule = "*.css=max-age=3600".parse().unwrap();
        assert_eq!(rule, CacheRule { glob: Glob::new("*.css"), value: "max-age=3600".into() });
        assert_eq!("*=".parse::<CacheRule>().unwrap().value, "");
        assert_eq!("*.css".parse::<CacheRule>(), Err(NoCacheRule));
        assert_eq!("=x".parse::<CacheRule>(), Err(NoCacheRule));
    }
}
