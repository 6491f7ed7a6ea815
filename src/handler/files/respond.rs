//! The answer for a file that was found: conditions (RFC 9110 §13), one range (§14), fields.

use std::ops::Range;
use std::rc::Rc;

use super::cache::Entry;
use super::facts::{Facts, line, modified, write_validators};
use crate::http::conditional::{self, Conditions, FileTag, MethodKind, Precondition, Validators};
use crate::http::head::RequestHead;
use crate::http::method::Method;
use crate::http::range::{self, RangeOutcome};
use crate::http::status::Status;
use crate::ring::{File, Metadata};
use crate::service::{Body, FieldBlock, Response};

/// The fields of a request that can change the answer, found in one pass.
#[derive(Default)]
struct Asked<'a> {
    conditional: bool,
    modified_since: Once<'a>,
    unmodified_since: Once<'a>,
    range: Once<'a>,
    if_range: Once<'a>,
}

/// A field that may come once; twice is as good as never (RFC 9110 §13.1.3).
#[derive(Clone, Copy, Default)]
enum Once<'a> {
    #[default]
    Absent,
    Value(&'a [u8]),
    Repeated,
}

impl<'a> Once<'a> {
    fn see(&mut self, value: &'a [u8]) {
        *self = match self {
            Self::Absent => Self::Value(value),
            _ => Self::Repeated,
        };
    }

    fn value(self) -> Option<&'a [u8]> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Repeated => None,
        }
    }
}

impl<'a> Asked<'a> {
    fn of(head: &'a RequestHead) -> Self {
        let mut asked = Self::default();
        for (name, value) in head.fields() {
            // By length first: most fields end here.
            match name.len() {
                5 if name.eq_ignore_ascii_case("range") => asked.range.see(value),
                8 if name.eq_ignore_ascii_case("if-range") => asked.if_range.see(value),
                8 if name.eq_ignore_ascii_case("if-match") => asked.conditional = true,
                13 if name.eq_ignore_ascii_case("if-none-match") => asked.conditional = true,
                17 if name.eq_ignore_ascii_case("if-modified-since") => {
                    asked.conditional = true;
                    asked.modified_since.see(value);
                }
                19 if name.eq_ignore_ascii_case("if-unmodified-since") => {
                    asked.conditional = true;
                    asked.unmodified_since.see(value);
                }
                _ => {}
            }
        }
        asked
    }
}

/// What is to be sent.
enum Answer {
    Whole,
    Part(Range<u64>),
    Done(Response),
}

/// Weighs conditions and range. `unix_seconds` tells whether Last-Modified is old enough to be relied on.
fn weigh(head: &RequestHead, tag: &FileTag, metadata: &Metadata, unix_seconds: u64) -> Answer {
    let asked = Asked::of(head);
    let last_modified = Some(modified(metadata));
    let validators = Validators { etag: Some(tag.as_etag()), last_modified };
    if asked.conditional {
        let conditions = Conditions {
            if_match: head.fields_named("if-match"),
            if_none_match: head.fields_named("if-none-match"),
            if_modified_since: asked.modified_since.value(),
            if_unmodified_since: asked.unmodified_since.value(),
        };
        match conditional::evaluate(MethodKind::GetOrHead, conditions, &validators) {
            Precondition::Proceed => {}
            Precondition::NotModified => {
                let mut lines = Vec::with_capacity(96);
                write_validators(&mut lines, tag, metadata);
                let response = Response::new(Status::NOT_MODIFIED).with_fields(FieldBlock::Owned(lines));
                return Answer::Done(response);
            }
            Precondition::Failed => {
                let detail = "the file is not the one the request was made for";
                return Answer::Done(Response::error(Status::PRECONDITION_FAILED, detail));
            }
        }
    }
    // RFC 9110 §14.2: Range means something with GET alone.
    let Some(value) = asked.range.value().filter(|_| head.method() == Method::Get) else {
        return Answer::Whole;
    };
    match asked.if_range {
        Once::Absent => {}
        Once::Repeated => return Answer::Whole,
        Once::Value(condition) => {
            // A file of this very second may change again within it: its date says nothing yet.
            let last_modified = last_modified.filter(|&modified| modified < unix_seconds);
            if !conditional::if_range(condition, &Validators { last_modified, ..validators }) {
                return Answer::Whole;
            }
        }
    }
    match range::parse_single(value, metadata.len) {
        RangeOutcome::Whole => Answer::Whole,
        RangeOutcome::Partial(range) => Answer::Part(range),
        RangeOutcome::Unsatisfiable => {
            let mut lines = Vec::with_capacity(96);
            let mut content_range = Vec::new();
            range::write_content_range_unsatisfied(&mut content_range, metadata.len);
            line(&mut lines, "Content-Range", &content_range);
            line(&mut lines, "Content-Type", b"text/plain; charset=utf-8");
            let detail = "the file does not have that range";
            let response = Response::error(Status::RANGE_NOT_SATISFIABLE, detail);
            Answer::Done(response.with_fields(FieldBlock::Owned(lines)))
        }
    }
}

fn partial_fields(facts: &Facts, range: &Range<u64>) -> FieldBlock {
    let mut lines = facts.fields();
    let mut content_range = Vec::with_capacity(48);
    range::write_content_range(&mut content_range, range, facts.metadata.len);
    line(&mut lines, "Content-Range", &content_range);
    FieldBlock::Owned(lines)
}

/// Answers from memory.
pub(super) fn cached(entry: &Entry, head: &RequestHead, unix_seconds: u64) -> Response {
    match weigh(head, &entry.tag, &entry.metadata, unix_seconds) {
        Answer::Whole => Response::new(Status::OK)
            .with_fields(FieldBlock::Shared(entry.fields.clone()))
            .with_body(Body::Bytes(entry.body.clone())),
        Answer::Part(range) => {
            let facts = Facts { metadata: entry.metadata, tag: entry.tag, content_type: entry.content_type };
            let body = entry.body.slice(range.start as usize..range.end as usize);
            Response::new(Status::PARTIAL_CONTENT)
                .with_fields(partial_fields(&facts, &range))
                .with_body(Body::Bytes(body))
        }
        Answer::Done(response) => response,
    }
}

/// Answers from the open file.
pub(super) fn streamed(facts: &Facts, file: Rc<File>, head: &RequestHead, unix_seconds: u64) -> Response {
    match weigh(head, &facts.tag, &facts.metadata, unix_seconds) {
        Answer::Whole => Response::new(Status::OK)
            .with_fields(FieldBlock::Owned(facts.fields()))
            .with_body(Body::File(file, 0..facts.metadata.len)),
        Answer::Part(range) => Response::new(Status::PARTIAL_CONTENT)
            .with_fields(partial_fields(facts, &range))
            .with_body(Body::File(file, range)),
        Answer::Done(response) => response,
    }
}
