//! Every combination of preconditions, If-Range and Range, by GET and HEAD, of the file and of a coded form
//! of it, held against a second reading of RFC 9110 §13.2.2 and §14.

use std::time::{Duration, SystemTime};

use crate::common::pattern;
use crate::site::Site;

const MODIFIED: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
const BEFORE: &str = "Tue, 14 Nov 2023 22:13:19 GMT";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Tag {
    Absent,
    Own,
    Weak,
    Foreign,
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Date {
    Absent,
    Own,
    Before,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Asked {
    Nothing,
    One,
    Several,
    Unsatisfiable,
    Malformed,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    if_match: Tag,
    if_none_match: Tag,
    if_modified_since: Date,
    if_unmodified_since: Date,
    if_range: Tag,
    range: Asked,
    is_head: bool,
    is_coded: bool,
}

impl Case {
    fn all() -> impl Iterator<Item = Self> {
        use Asked::*;
        const TAGS: [Tag; 5] = [Tag::Absent, Tag::Own, Tag::Weak, Tag::Foreign, Tag::Any];
        const DATES: [Date; 3] = [Date::Absent, Date::Own, Date::Before];
        const RANGES: [Asked; 5] = [Nothing, One, Several, Unsatisfiable, Malformed];
        (0..5 * 5 * 3 * 3 * 5 * 5 * 2 * 2).map(|number: usize| {
            let mut number = number;
            let mut pick = |of: usize| {
                let picked = number % of;
                number /= of;
                picked
            };
            Self {
                if_match: TAGS[pick(5)],
                if_none_match: TAGS[pick(5)],
                if_modified_since: DATES[pick(3)],
                if_unmodified_since: DATES[pick(3)],
                if_range: TAGS[pick(5)],
                range: RANGES[pick(5)],
                is_head: pick(2) == 1,
                is_coded: pick(2) == 1,
            }
        })
    }

    fn lines(&self, own: &str) -> String {
        let mut lines = String::new();
        let tags =
            [("If-Match", self.if_match), ("If-None-Match", self.if_none_match), ("If-Range", self.if_range)];
        for (name, tag) in tags {
            match tag {
                Tag::Absent => {}
                Tag::Own => lines += &format!("{name}: {own}\r\n"),
                Tag::Weak => lines += &format!("{name}: W/{own}\r\n"),
                Tag::Foreign => lines += &format!("{name}: \"foreign\"\r\n"),
                // If-Range has no asterisk, but dates: they do not identify a form of a file.
                Tag::Any if name == "If-Range" => lines += &format!("{name}: {MODIFIED}\r\n"),
                Tag::Any => lines += &format!("{name}: *\r\n"),
            }
        }
        let dates = [
            ("If-Modified-Since", self.if_modified_since),
            ("If-Unmodified-Since", self.if_unmodified_since),
        ];
        for (name, date) in dates {
            match date {
                Date::Absent => {}
                Date::Own => lines += &format!("{name}: {MODIFIED}\r\n"),
                Date::Before => lines += &format!("{name}: {BEFORE}\r\n"),
            }
        }
        lines += match self.range {
            Asked::Nothing => "",
            Asked::One => "Range: bytes=10-19\r\n",
            Asked::Several => "Range: bytes=10-19,-10\r\n",
            Asked::Unsatisfiable => "Range: bytes=9999999-\r\n",
            Asked::Malformed => "Range: bytes=2-1\r\n",
        };
        if self.is_coded {
            lines += "Accept-Encoding: br\r\n";
        }
        lines
    }

    /// The status that RFC 9110 demands.
    fn status(&self) -> u16 {
        match self.if_match {
            Tag::Weak | Tag::Foreign => return 412,
            Tag::Absent if self.if_unmodified_since == Date::Before => return 412,
            Tag::Absent | Tag::Own | Tag::Any => {}
        }
        match self.if_none_match {
            Tag::Own | Tag::Weak | Tag::Any => return 304,
            Tag::Absent if self.if_modified_since == Date::Own => return 304,
            Tag::Absent | Tag::Foreign => {}
        }
        if self.is_head || !matches!(self.if_range, Tag::Absent | Tag::Own) {
            return 200;
        }
        match self.range {
            Asked::Nothing | Asked::Malformed => 200,
            Asked::One => 206,
            // The parts of a coded form would be ambiguous.
            Asked::Several if self.is_coded => 200,
            Asked::Several => 206,
            Asked::Unsatisfiable => 416,
        }
    }
}

#[test]
fn every_combination() {
    let site = Site::new();
    let contents = [pattern(3000), pattern(2000)];
    for (name, content) in ["page.txt", "page.txt.br"].into_iter().zip(&contents) {
        site.write(name, content);
        let file = std::fs::File::options().write(true).open(site.path(name)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)).unwrap();
    }
    let mut client = site.connect();
    let tags = ["", "Accept-Encoding: br\r\n"]
        .map(|lines| client.get("/page.txt", lines).field("etag").unwrap().to_owned());
    for case in Case::all() {
        let form = usize::from(case.is_coded);
        let lines = case.lines(&tags[form]);
        let response =
            if case.is_head { client.head("/page.txt", &lines) } else { client.get("/page.txt", &lines) };
        assert_eq!(response.status, case.status(), "{case:?}\n{lines}");
        assert_eq!(response.field("connection"), None);
        let content = &contents[form];
        let coding = case.is_coded.then_some("br");
        match response.status {
            200 if case.is_head => assert!(response.body.is_empty()),
            200 => assert!(response.body == *content, "{case:?}"),
            206 if case.range == Asked::One => assert_eq!(response.body, content[10..20]),
            206 => {
                assert!(response.body.windows(10).any(|window| *window == content[10..20]));
                assert!(response.body.windows(10).any(|window| *window == content[content.len() - 10..]));
            }
            304 => assert!(response.body.is_empty()),
            416 => {
                let unsatisfied = format!("bytes */{}", content.len());
                assert_eq!(response.field("content-range"), Some(unsatisfied.as_str()));
            }
            _ => {}
        }
        if matches!(response.status, 200 | 206 | 304) {
            assert_eq!(response.field("etag"), Some(tags[form].as_str()), "{case:?}");
            assert_eq!(response.field("vary"), Some("Accept-Encoding"), "{case:?}");
        }
        if matches!(response.status, 200 | 206) {
            assert_eq!(response.field("content-encoding"), coding, "{case:?}");
        }
    }
    client.still_serves();
}
