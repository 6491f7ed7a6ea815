//! The response with one representation of a file: conditions (RFC 9110 §13), ranges (§14), fields.

use std::ops::Range;
use std::rc::Rc;

use bytes::Bytes;

use super::entry::{Described, Representation};
use super::facts::{RepresentationFacts, line};
use super::multipart::{MultipartRanges, RangesSource, random_boundary};
use crate::http::accept_encoding::Coding;
use crate::http::conditional::{self, Conditions, MethodKind, Precondition, Validators};
use crate::http::message::{RequestHead, Version};
use crate::http::method::Method;
use crate::http::range::{self, RangeOutcome};
use crate::http::status::Status;
use crate::ring::{File, Metadata};
use crate::service::{Body, FieldBlock, Interim, Request, Response};

/// The fields of a request that can change the response, found in one pass.
#[derive(Default)]
struct ConditionalFields<'a> {
    conditional: bool,
    modified_since: Once<'a>,
    unmodified_since: Once<'a>,
    range: Once<'a>,
    if_range: Once<'a>,
}

/// A field that may occur once; it is ignored where it is repeated (RFC 9110 §13.1.3).
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

impl<'a> ConditionalFields<'a> {
    fn of(head: &'a RequestHead) -> Self {
        let mut fields = Self::default();
        for (name, value) in head.fields().raw() {
            // By length first: most fields end here.
            match name.len() {
                5 if name.eq_ignore_ascii_case(b"range") => fields.range.see(value),
                8 if name.eq_ignore_ascii_case(b"if-range") => fields.if_range.see(value),
                8 if name.eq_ignore_ascii_case(b"if-match") => fields.conditional = true,
                13 if name.eq_ignore_ascii_case(b"if-none-match") => fields.conditional = true,
                17 if name.eq_ignore_ascii_case(b"if-modified-since") => {
                    fields.conditional = true;
                    fields.modified_since.see(value);
                }
                19 if name.eq_ignore_ascii_case(b"if-unmodified-since") => {
                    fields.conditional = true;
                    fields.unmodified_since.see(value);
                }
                _ => {}
            }
        }
        fields
    }
}

/// The part of a representation to send, or another response.
enum Selection {
    Whole,
    Part(Range<u64>),
    Parts(Vec<Range<u64>>),
    Done(Response),
}

/// Evaluates conditions and ranges. `unix_seconds` decides whether Last-Modified is a strong validator.
fn select(head: &RequestHead, facts: &RepresentationFacts, unix_seconds: u64) -> Selection {
    let now = unix_seconds.cast_signed();
    let fields = ConditionalFields::of(head);
    let last_modified = facts.modified;
    let validators = Validators { etag: Some(facts.tag.as_etag()), last_modified };
    if fields.conditional {
        let conditions = Conditions {
            if_match: head.fields_named("if-match"),
            if_none_match: head.fields_named("if-none-match"),
            if_modified_since: fields.modified_since.value(),
            if_unmodified_since: fields.unmodified_since.value(),
        };
        match conditional::evaluate(MethodKind::GetOrHead, conditions, &validators, now) {
            Precondition::Proceed => {}
            Precondition::NotModified => {
                let mut lines = Vec::with_capacity(128);
                facts.write_validators(&mut lines);
                let response = Response::new(Status::NOT_MODIFIED).with_fields(FieldBlock::Owned(lines));
                return Selection::Done(response);
            }
            Precondition::Failed => {
                let detail = "the file is not the one the request was made for";
                return Selection::Done(Response::error(Status::PRECONDITION_FAILED, detail));
            }
        }
    }
    // RFC 9110 §14.2: Range is defined for GET alone.
    let Some(value) = fields.range.value().filter(|_| head.method() == Method::Get) else {
        return Selection::Whole;
    };
    match fields.if_range {
        Once::Absent => {}
        Once::Repeated => return Selection::Whole,
        Once::Value(condition) => {
            // A file modified in this second may change again within it, so its date is a weak validator, and
            // so is a date from before the file came here: another content may have had the same. And
            // representations of one file may share a date; ranges of two of them would not fit together.
            let is_strong = |modified: &i64| *modified < now && facts.is_date_exact && !facts.varies;
            let last_modified = last_modified.filter(is_strong);
            if !conditional::if_range(condition, &Validators { last_modified, ..validators }, now) {
                return Selection::Whole;
            }
        }
    }
    match range::parse(value, facts.len) {
        RangeOutcome::Whole => Selection::Whole,
        RangeOutcome::Partial(range) => Selection::Part(range),
        // Content-Encoding would have to apply to the parts and not to the multipart around them, which no
        // field can express: clients decode the wrong one of the two.
        RangeOutcome::Several(_) if facts.content_coding() != Coding::Identity => Selection::Whole,
        RangeOutcome::Several(parts) => Selection::Parts(parts),
        RangeOutcome::Unsatisfiable => Selection::Done(unsatisfiable(facts.len)),
    }
}

fn unsatisfiable(len: u64) -> Response {
    let mut content_range = Vec::new();
    range::write_content_range_unsatisfied(&mut content_range, len);
    let mut response = Response::error(Status::RANGE_NOT_SATISFIABLE, "the file does not have that range");
    response.add_field("Content-Range", content_range).expect("digits and punctuation");
    response
}

/// The bytes of a representation: in memory, or in its open file.
pub(super) enum ContentSource<'a> {
    Memory(&'a Bytes),
    File(Rc<File>),
}

impl ContentSource<'_> {
    fn body(self, range: Range<u64>) -> Body {
        match self {
            Self::Memory(bytes) => Body::Bytes(bytes.slice(range.start as usize..range.end as usize)),
            Self::File(file) => Body::File(file, range),
        }
    }
}

/// Answers from memory, or from the file if it is open; `None` when it has to be opened. `metadata` is that
/// of the representation's file at the last check.
#[inline]
pub(super) fn at_once(
    representation: &Representation,
    metadata: &Metadata,
    request: &Request,
    unix_seconds: u64,
) -> Option<Response> {
    let content = match representation.body() {
        Some(body) if wants_direct(representation, request) => match representation.open_file(metadata) {
            Some(file) => ContentSource::File(file),
            None => ContentSource::Memory(body),
        },
        Some(body) => ContentSource::Memory(body),
        None => ContentSource::File(representation.open_file(metadata)?),
    };
    Some(respond(representation, content, request.head(), unix_seconds))
}

/// Whether content that is in memory is better sent from its file: the kernel passes the pages of the file on
/// where nothing frames or encrypts them.
#[inline]
pub(super) fn wants_direct(representation: &Representation, request: &Request) -> bool {
    representation.is_better_direct()
        && request.head().version() != Version::Http2
        && request.context().tls().is_none()
}

/// Answers with a representation.
pub(super) fn respond(
    representation: &Representation,
    content: ContentSource<'_>,
    head: &RequestHead,
    unix_seconds: u64,
) -> Response {
    let Described { facts, fields } = representation.described(head);
    match select(head, facts, unix_seconds) {
        Selection::Whole => {
            let response = Response::new(Status::OK)
                .with_fields(FieldBlock::Shared(fields.clone()))
                .with_body(content.body(0..facts.len));
            match &facts.policy.links {
                // Over HTTP/2 alone (RFC 8297 §3): browsers use no others, and HTTP/1.1 clients such as
                // Python's `http.client` take a 103 for the response. Not before HEAD: nothing is rendered.
                Some(links) if head.method() == Method::Get && head.version() == Version::Http2 => {
                    let links = FieldBlock::Shared(links.clone());
                    response.inform(Interim::early_hints().with_fields(links))
                }
                _ => response,
            }
        }
        Selection::Part(range) => {
            let mut lines = facts.fields();
            let mut content_range = Vec::with_capacity(48);
            range::write_content_range(&mut content_range, &range, facts.len);
            line(&mut lines, "Content-Range", &content_range);
            Response::new(Status::PARTIAL_CONTENT)
                .with_fields(FieldBlock::Owned(lines))
                .with_body(content.body(range))
        }
        Selection::Parts(parts) => in_parts(facts, content, &parts),
        Selection::Done(response) => response,
    }
}

fn in_parts(facts: &RepresentationFacts, content: ContentSource<'_>, parts: &[Range<u64>]) -> Response {
    let boundary = random_boundary();
    let mut content_type = Vec::with_capacity(64);
    boundary.write_content_type(&mut content_type);
    let mut lines = Vec::with_capacity(256);
    line(&mut lines, "Content-Type", &content_type);
    facts.write_common(&mut lines);
    let source = match content {
        ContentSource::Memory(bytes) => RangesSource::Memory(bytes.clone()),
        ContentSource::File(file) => RangesSource::File(file),
    };
    let body = MultipartRanges::new(&boundary, source, parts, facts);
    Response::stream(body).with_status(Status::PARTIAL_CONTENT).with_fields(FieldBlock::Owned(lines))
}
