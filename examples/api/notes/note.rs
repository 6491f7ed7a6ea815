//! A note, a draft of one as a client sends it, and the query of the list. All rules on input are here;
//! nothing here waits.

use std::fmt::Write as _;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use super::error::{Error, Unfit};

/// Characters, not bytes, as people count them. A title is a line on a phone or five.
const TITLE_CHARS_MAX: usize = 200;
const TEXT_CHARS_MAX: usize = 10_000;
const TAG_CHARS_MAX: usize = 100;
/// Longer addresses are seldom typed, and browsers differ beyond 2,000.
const LINK_BYTES_MAX: usize = 2_000;
/// Characters of a search text, which is compared with every note.
const SEARCH_CHARS_MAX: usize = 200;
/// Notes of one page of the list: by default a screen or two, at most what is quickly sent.
const LIMIT_DEFAULT: u32 = 20;
const LIMIT_MAX: u32 = 100;

#[derive(Clone, Debug, Serialize, PartialEq)]
pub(crate) struct Note {
    pub(crate) id: i64,
    /// Grows with every change.
    pub(crate) version: i64,
    pub(crate) title: String,
    pub(crate) text: String,
    pub(crate) tag: Option<String>,
    pub(crate) link: Option<String>,
    pub(crate) pinned: bool,
    /// Time of the last change, RFC 3339 in UTC.
    pub(crate) changed: String,
}

impl Note {
    pub(crate) fn etag(&self) -> String {
        format!("\"{}\"", self.version)
    }
}

/// A note as a client writes it: without the fields of the service.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Draft {
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) text: String,
    #[serde(default)]
    pub(crate) tag: Option<String>,
    #[serde(default)]
    pub(crate) link: Option<String>,
    #[serde(default)]
    pub(crate) pinned: bool,
}

impl Draft {
    /// All its mistakes, or itself.
    pub(crate) fn checked(self) -> Result<Self, Error> {
        let tag = self.tag.as_deref();
        let link = self.link.as_deref();
        let rules = [
            ("title", "must not be blank", self.title.trim().is_empty()),
            ("title", "must be at most 200 characters", longer(&self.title, TITLE_CHARS_MAX)),
            ("title", "must be one line, without control characters", self.title.contains(char::is_control)),
            ("text", "must be at most 10,000 characters", longer(&self.text, TEXT_CHARS_MAX)),
            ("text", "must not contain control characters but line ends and tabs", is_binary(&self.text)),
            ("tag", "must not be blank; leave it out", tag.is_some_and(|tag| tag.trim().is_empty())),
            ("tag", "must be at most 100 characters", tag.is_some_and(|tag| longer(tag, TAG_CHARS_MAX))),
            ("tag", "must not contain control characters", tag.is_some_and(|t| t.contains(char::is_control))),
            ("link", "must be an http:// or https:// address", link.is_some_and(|link| !is_web(link))),
        ];
        let wrong: Vec<_> = rules
            .into_iter()
            .filter(|&(.., broken)| broken)
            .map(|(field, reason, _)| Unfit { field, reason })
            .collect();
        if wrong.is_empty() { Ok(self) } else { Err(Error::UnfitNote(wrong)) }
    }
}

fn longer(text: &str, chars_max: usize) -> bool {
    text.chars().nth(chars_max).is_some()
}

/// HTML can show no NUL, and shows other control characters as nothing at all.
fn is_binary(text: &str) -> bool {
    text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
}

/// Whether it is a web address, rather than one that a browser runs (`javascript:`, `data:`).
fn is_web(link: &str) -> bool {
    let host = link.strip_prefix("https://").or_else(|| link.strip_prefix("http://"));
    link.len() <= LINK_BYTES_MAX
        && host.is_some_and(|host| host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '['))
        && link.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The query of the list. All its conditions must hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    /// Text within title or text, with ASCII letters in either case.
    pub(crate) q: Option<String>,
    pub(crate) tag: Option<String>,
    pub(crate) pinned: Option<bool>,
    /// Notes after this one, which need not exist any more: the cursor of the page before.
    pub(crate) after: Option<i64>,
    limit: Option<u32>,
}

impl Filter {
    pub(crate) fn checked(self) -> Result<Self, Error> {
        let unfit = |field, reason| Err(Error::UnfitQuery(Unfit { field, reason }));
        if self.limit.is_some_and(|limit| !(1..=LIMIT_MAX).contains(&limit)) {
            return unfit("limit", "must be from 1 to 100");
        }
        if self.q.as_deref().is_some_and(|q| longer(q, SEARCH_CHARS_MAX)) {
            return unfit("q", "must be at most 200 characters");
        }
        // To LIKE a text ends with its first NUL.
        if self.q.as_deref().is_some_and(is_binary) {
            return unfit("q", "must not contain control characters");
        }
        Ok(self)
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit.unwrap_or(LIMIT_DEFAULT) as usize
    }

    /// The same list from another place on, as a path and query.
    pub(crate) fn target(&self, path: &str, after: i64) -> String {
        let mut target = format!("{path}?");
        for (name, value) in [("q", &self.q), ("tag", &self.tag)] {
            if let Some(value) = value {
                let _ = write!(target, "{name}={}&", utf8_percent_encode(value, NON_ALPHANUMERIC));
            }
        }
        if let Some(pinned) = self.pinned {
            let _ = write!(target, "pinned={pinned}&");
        }
        if let Some(limit) = self.limit {
            let _ = write!(target, "limit={limit}&");
        }
        let _ = write!(target, "after={after}");
        target
    }
}

/// A page of the list; `next` leads to the one after it, `null` at the end.
#[derive(Debug, Serialize)]
pub(crate) struct Found<N> {
    pub(crate) items: Vec<Note>,
    pub(crate) next: Option<N>,
}
