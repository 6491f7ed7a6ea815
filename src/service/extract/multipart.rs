//! Forms with files (multipart/form-data), part by part and piece by piece: memory holds one piece whatever
//! the size of a file.

use bytes::{Buf, Bytes};

use super::FromRequest;
use super::refusal::{text, unreadable};
use crate::http::multipart::{
    MultipartDecoder, MultipartError, MultipartErrorKind, MultipartEvent, MultipartLimits, PartHead, boundary,
};
use crate::http::status::Status;
use crate::service::body::{BodyError, RequestBody};
use crate::service::problem::Problem;
use crate::service::request::Request;

/// The body of a form with files. 415 for another type, 413 beyond `ExtractLimits::multipart_bytes_max` and
/// its siblings, 400 where it is malformed. Problems name the part.
///
/// ```
/// use quoit::service::{Multipart, Problem, Router};
///
/// async fn upload(mut form: Multipart) -> Result<String, Problem> {
///     let mut told = String::new();
///     while let Some(mut part) = form.next().await? {
///         let mut bytes = 0;
///         while let Some(piece) = part.next().await? {
///             bytes += piece.len();
///         }
///         told += &format!("{} ({:?}): {bytes} bytes\n", part.name(), part.file_name());
///     }
///     Ok(told)
/// }
///
/// let router = Router::new().post("/upload", upload);
/// ```
pub struct Multipart {
    body: RequestBody,
    decoder: MultipartDecoder,
    /// What was received and not yet looked at.
    piece: Bytes,
    /// Whether nothing more is to be received.
    ended: bool,
    bytes_left: u64,
    bytes_max: u64,
    text_bytes_max: usize,
}

/// One field or file of a form. What is not read of it is passed over.
pub struct Part<'m> {
    multipart: &'m mut Multipart,
    head: PartHead,
    done: bool,
}

impl FromRequest for Multipart {
    const TAKES_BODY: bool = true;

    async fn from_request(request: &mut Request) -> Result<Self, Problem> {
        let content_type = request.head().field("content-type").unwrap_or_default();
        let boundary =
            boundary(content_type).map_err(|kind| Problem::new(kind.status()).detail(kind.to_string()))?;
        let limits = request.context().limits();
        if request.body().length().is_some_and(|length| length > limits.multipart_bytes_max) {
            return Err(too_large(limits.multipart_bytes_max));
        }
        let of_parts = MultipartLimits {
            parts_max: limits.multipart_parts_max,
            part_bytes_max: limits.multipart_part_bytes_max,
            ..MultipartLimits::DEFAULT
        };
        Ok(Self {
            body: request.take_body(),
            decoder: MultipartDecoder::new(&boundary, of_parts),
            piece: Bytes::new(),
            ended: false,
            bytes_left: limits.multipart_bytes_max,
            bytes_max: limits.multipart_bytes_max,
            text_bytes_max: limits.form_bytes_max,
        })
    }
}

impl Multipart {
    /// The next part; what was not read of the one before is passed over. `None` at the end.
    ///
    /// # Errors
    /// The problem to answer with; there is nothing more to read then.
    pub async fn next(&mut self) -> Result<Option<Part<'_>>, Problem> {
        loop {
            match self.advance().await? {
                None => return Ok(None),
                Some(Found::Part(head)) => return Ok(Some(Part { multipart: self, head, done: false })),
                Some(Found::Data(_) | Found::PartEnd) => {}
            }
        }
    }

    /// Reads on to what is worth telling; `None` at the end of the body.
    async fn advance(&mut self) -> Result<Option<Found>, Problem> {
        loop {
            let step = self.decoder.handle_bytes(&self.piece).map_err(told)?;
            let found = match step.event {
                MultipartEvent::Part(head) => Some(Found::Part(head)),
                MultipartEvent::Data(range) => Some(Found::Data(self.piece.slice(range))),
                MultipartEvent::Held(range) => {
                    Some(Found::Data(Bytes::copy_from_slice(&self.decoder.delimiter()[range])))
                }
                MultipartEvent::PartEnd => Some(Found::PartEnd),
                MultipartEvent::NeedsMore | MultipartEvent::End => None,
            };
            self.piece.advance(step.consumed);
            if found.is_some() {
                return Ok(found);
            }
            if self.piece.is_empty() && !self.pull().await? {
                return self.decoder.finish().map(|()| None).map_err(told);
            }
        }
    }

    /// Receives a piece; whether there was one.
    async fn pull(&mut self) -> Result<bool, Problem> {
        if self.ended {
            return Ok(false);
        }
        match self.body.next().await {
            None => {
                self.ended = true;
                Ok(false)
            }
            Some(Ok(piece)) if piece.len() as u64 > self.bytes_left => {
                self.ended = true;
                Err(too_large(self.bytes_max))
            }
            Some(Ok(piece)) => {
                self.bytes_left -= piece.len() as u64;
                self.piece = piece;
                Ok(true)
            }
            Some(Err(error)) => {
                self.ended = true;
                Err(unreadable(&error))
            }
        }
    }
}

enum Found {
    Part(PartHead),
    Data(Bytes),
    PartEnd,
}

impl Part<'_> {
    /// The name of the form's field.
    pub fn name(&self) -> &str {
        &self.head.name
    }

    /// What the file was called at the client, without directories; `None` for a field that is no file, empty
    /// for a file field left blank. The client's word: fit to show, escaped, and not yet a name to store by.
    pub fn file_name(&self) -> Option<&str> {
        self.head.file_name.as_deref()
    }

    /// The type the client states for it, if any.
    pub fn content_type(&self) -> Option<&str> {
        self.head.content_type.as_deref()
    }

    /// The next piece of its data, `None` at its end. Only now is it asked for.
    ///
    /// # Errors
    /// The problem to answer with; there is nothing more to read then.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        if self.done {
            return Ok(None);
        }
        match self.multipart.advance().await {
            Ok(Some(Found::Data(data))) => Ok(Some(data)),
            Ok(Some(Found::PartEnd)) => {
                self.done = true;
                Ok(None)
            }
            // Within a part comes data or its end.
            Ok(_) => Err(told(MultipartError { kind: MultipartErrorKind::Truncated, part: 0, name: None })),
            Err(problem) => {
                self.done = true;
                Err(problem)
            }
        }
    }

    /// What is left of its data, if it has at most `limit` bytes.
    ///
    /// # Errors
    /// 413 beyond the limit, and as [`next`](Self::next).
    pub async fn read_all(&mut self, limit: usize) -> Result<Bytes, Problem> {
        let Some(first) = self.next().await? else { return Ok(Bytes::new()) };
        let Some(second) = self.within(first.len(), limit)?.next().await? else { return Ok(first) };
        let mut all = first.to_vec();
        let mut piece = Some(second);
        while let Some(data) = piece {
            self.within(all.len() + data.len(), limit)?;
            all.extend_from_slice(&data);
            piece = self.next().await?;
        }
        Ok(all.into())
    }

    /// What is left of its data as text, if it has at most `ExtractLimits::form_bytes_max` bytes.
    ///
    /// # Errors
    /// 413 beyond the limit, 400 where it is not UTF-8, and as [`next`](Self::next).
    pub async fn text(&mut self) -> Result<String, Problem> {
        let limit = self.multipart.text_bytes_max;
        let bytes = self.read_all(limit).await?;
        text(bytes, "the field").map_err(|problem| {
            let detail = problem.detail_text().to_owned();
            problem.field(self.name(), detail)
        })
    }

    fn within(&mut self, length: usize, limit: usize) -> Result<&mut Self, Problem> {
        if length <= limit {
            return Ok(self);
        }
        let detail = format!("is longer than {limit} bytes");
        let problem = Problem::new(Status::CONTENT_TOO_LARGE);
        Err(problem.detail(format!("{} {detail}", self.name())).field(self.name(), detail))
    }
}

fn too_large(limit: u64) -> Problem {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    unreadable(&BodyError::TooLarge { limit })
}

fn told(error: MultipartError) -> Problem {
    let problem = Problem::new(error.kind.status()).detail(error.to_string());
    match error.name {
        Some(name) => problem.field(name, error.kind.to_string()),
        None => problem,
    }
}

impl std::fmt::Debug for Multipart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Multipart").field("bytes_left", &self.bytes_left).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Part<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part").field("head", &self.head).finish_non_exhaustive()
    }
}
