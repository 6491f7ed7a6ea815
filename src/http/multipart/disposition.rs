//! The head of one part: its name, its file name, its type (RFC 7578 §4). File names are informational text,
//! stripped of directories; the application decides whether one may be used on disk.

use percent_encoding::percent_decode;

use super::error::MultipartErrorKind;
use crate::http::content_type::{Parameter, Parameters};
use crate::http::message::grammar::{field_line, trimmed};

/// The head of a part.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PartHead {
    /// The name of the form's field.
    pub name: String,
    /// The file name at the sender, without directories and control characters; `None` for a field that is
    /// not a file. Empty for a file field left blank. Never `.` or `..`; still untrusted, so it may begin
    /// with a dot, be very long, or equal the name of another file.
    pub file_name: Option<String>,
    /// The type as sent; `None` means plain text (RFC 7578 §4.4).
    pub content_type: Option<String>,
}

/// A head while it is gathered, line by line.
#[derive(Debug, Default)]
pub(super) struct HeadBuilder {
    head: PartHead,
    has_disposition: bool,
    has_name: bool,
    fields: usize,
}

impl HeadBuilder {
    pub(super) fn name(&self) -> Option<&str> {
        self.has_name.then_some(self.head.name.as_str())
    }

    /// Takes one field line with its end. Fields other than those of RFC 7578 §4.8 are ignored.
    pub(super) fn line(&mut self, line: &[u8], fields_max: usize) -> Result<(), MultipartErrorKind> {
        let field =
            field_line(line).map_err(MultipartErrorKind::Field)?.expect("the line comes with its end");
        self.fields += 1;
        if self.fields > fields_max {
            return Err(MultipartErrorKind::TooManyFields);
        }
        let (name, value) = (&line[field.name], &line[field.value]);
        if name.eq_ignore_ascii_case(b"content-disposition") {
            if std::mem::replace(&mut self.has_disposition, true) {
                return Err(MultipartErrorKind::DispositionRepeated);
            }
            return self.disposition(value);
        }
        if name.eq_ignore_ascii_case(b"content-type") && self.head.content_type.is_none() {
            self.head.content_type = Some(text(value.to_vec())?);
        }
        if name.eq_ignore_ascii_case(b"content-transfer-encoding") {
            let plain = [&b"7bit"[..], b"8bit", b"binary"].iter().any(|c| value.eq_ignore_ascii_case(c));
            return if plain { Ok(()) } else { Err(MultipartErrorKind::TransferEncoded) };
        }
        Ok(())
    }

    /// The end of the head.
    pub(super) fn finish(self) -> Result<PartHead, MultipartErrorKind> {
        match self {
            Self { has_disposition: false, .. } => Err(MultipartErrorKind::DispositionMissing),
            Self { has_name: false, .. } => Err(MultipartErrorKind::NameMissing),
            Self { head, .. } => Ok(head),
        }
    }

    fn disposition(&mut self, value: &[u8]) -> Result<(), MultipartErrorKind> {
        let end = memchr::memchr(b';', value).unwrap_or(value.len());
        let (kind, parameters) = value.split_at(end);
        if !kind[trimmed(kind)].eq_ignore_ascii_case(b"form-data") {
            return Err(MultipartErrorKind::DispositionMalformed);
        }
        let (mut file_name, mut extended) = (None, None);
        for parameter in Parameters::of(parameters) {
            let parameter = parameter.map_err(|_| MultipartErrorKind::DispositionMalformed)?;
            let repeated = if parameter.is("name") {
                self.head.name = text(form_unescaped(&parameter))?;
                std::mem::replace(&mut self.has_name, true)
            } else if parameter.is("filename") {
                file_name.replace(parameter).is_some()
            } else if parameter.is("filename*") {
                extended.replace(parameter).is_some()
            } else {
                false
            };
            if repeated {
                return Err(MultipartErrorKind::DispositionMalformed);
            }
        }
        self.head.file_name = match (extended, file_name) {
            (Some(extended), _) => Some(last_component(&extended_value(&extended)?)),
            (None, Some(plain)) => Some(last_component(&text(form_unescaped(&plain))?)),
            (None, None) => None,
        };
        Ok(())
    }
}

fn text(bytes: Vec<u8>) -> Result<String, MultipartErrorKind> {
    String::from_utf8(bytes).map_err(|_| MultipartErrorKind::NotUtf8)
}

/// Names as forms encode them. Browsers send `"` as `%22` and line ends as `%0D%0A` and escape nothing else
/// (the HTML standard); other clients send `\"` and `\\`. A backslash before anything else is literal,
/// because old browsers send whole paths.
fn form_unescaped(parameter: &Parameter<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(parameter.raw_value.len());
    let mut rest = parameter.raw_value;
    while let [byte, tail @ ..] = rest {
        let (byte, tail) = match rest {
            [b'\\', escaped @ (b'"' | b'\\'), tail @ ..] => (escaped, tail),
            [b'%', b'2', b'2', tail @ ..] => (&b'"', tail),
            [b'%', b'0', b'D' | b'd', tail @ ..] => (&b'\r', tail),
            [b'%', b'0', b'A' | b'a', tail @ ..] => (&b'\n', tail),
            _ => (byte, tail),
        };
        out.push(*byte);
        rest = tail;
    }
    out
}

/// `UTF-8'language'percent-encoded` (RFC 8187 §3.2). RFC 7578 §4.2 forbids it for senders; some use it.
fn extended_value(parameter: &Parameter<'_>) -> Result<String, MultipartErrorKind> {
    let mut pieces = parameter.raw_value.splitn(3, |byte| *byte == b'\'');
    let charset = pieces.next().unwrap_or_default();
    let encoded = pieces.nth(1).ok_or(MultipartErrorKind::DispositionMalformed)?;
    if !charset.eq_ignore_ascii_case(b"utf-8") {
        return Err(MultipartErrorKind::DispositionMalformed);
    }
    text(percent_decode(encoded).collect())
}

/// The part after the last separator of any system, without control characters; empty if that is a
/// directory's own name.
fn last_component(path: &str) -> String {
    let last = path.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = last.chars().filter(|c| !c.is_control()).collect();
    if matches!(name.as_str(), "." | "..") { String::new() } else { name }
}
