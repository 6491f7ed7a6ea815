//! Several ranges as one body, from memory or from the file: the parts' heads are written at once, their
//! bytes are read as the client receives them.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::facts::RepresentationFacts;
use crate::http::byteranges::Boundary;
use crate::observe::log;
use crate::ring::{File, ReadNow, sys};
use crate::service::{BodyFrame, Frame, StreamBody};

/// Bytes of a file that are read at once: the memory that one slow client can hold.
const READ_BYTES: u64 = 64 * 1024;

/// Where the parts are taken from.
pub(super) enum RangesSource {
    /// The whole representation.
    Memory(Bytes),
    /// The open file.
    File(Rc<File>),
}

type PendingRead = Pin<Box<dyn Future<Output = io::Result<Vec<u8>>>>>;

/// A `multipart/byteranges` body.
pub(super) struct MultipartRanges {
    source: RangesSource,
    /// Still to be sent: the text before each part, and the part.
    left: VecDeque<(Bytes, Range<u64>)>,
    length: u64,
    reading: Option<PendingRead>,
}

impl MultipartRanges {
    pub(super) fn new(
        boundary: &Boundary,
        source: RangesSource,
        parts: &[Range<u64>],
        facts: &RepresentationFacts,
    ) -> Self {
        let mut text = Vec::with_capacity((parts.len() + 1) * 160);
        let mut ends = Vec::with_capacity(parts.len());
        for part in parts {
            boundary.write_part_head(&mut text, &facts.policy.content_type, part, facts.len);
            ends.push(text.len());
        }
        boundary.write_end(&mut text);
        let content: u64 = parts.iter().map(|part| part.end - part.start).sum();
        let length = content + text.len() as u64;
        let text = Bytes::from(text);
        let mut left = VecDeque::with_capacity(parts.len() + 1);
        let mut start = 0;
        for (part, end) in parts.iter().zip(ends) {
            left.push_back((text.slice(start..end), part.clone()));
            start = end;
        }
        left.push_back((text.slice(start..), 0..0));
        Self { source, left, length, reading: None }
    }

    /// Bytes from the start of `range`, which is not empty.
    fn poll_bytes(&mut self, range: &Range<u64>, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let file = match &self.source {
            RangesSource::Memory(bytes) => {
                return Poll::Ready(Ok(bytes.slice(range.start as usize..range.end as usize)));
            }
            RangesSource::File(file) => file,
        };
        let room = (range.end - range.start).min(READ_BYTES) as usize;
        let reading = match &mut self.reading {
            Some(reading) => reading,
            None => {
                let mut buffer = vec![0; room];
                if let ReadNow::Bytes(read) = file.read_now(&mut buffer, range.start)? {
                    buffer.truncate(read);
                    return Poll::Ready(Ok(buffer.into()));
                }
                buffer.clear();
                let (file, start) = (file.clone(), range.start);
                self.reading.insert(Box::pin(async move { file.read_at(buffer, start).await }))
            }
        };
        let outcome = ready!(reading.as_mut().poll(cx));
        self.reading = None;
        Poll::Ready(outcome.map(|mut buffer| {
            buffer.truncate(room);
            buffer.into()
        }))
    }
}

impl StreamBody for MultipartRanges {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        let Some((text, range)) = self.left.front_mut() else { return Poll::Ready(None) };
        if !text.is_empty() {
            let text = std::mem::take(text);
            if range.is_empty() {
                self.left.pop_front();
            }
            return Poll::Ready(Some(Ok(Frame::Data(text))));
        }
        let range = range.clone();
        let bytes = match ready!(self.poll_bytes(&range, cx)) {
            Ok(bytes) => bytes,
            Err(error) => {
                log::line(format_args!("a file could not be read to its end: {error}"));
                Bytes::new()
            }
        };
        if bytes.is_empty() {
            // Less than was announced: the connection ends here, and the client sees that the body is
            // incomplete.
            self.left.clear();
            return Poll::Ready(None);
        }
        let start = range.start + bytes.len() as u64;
        match self.left.front_mut() {
            Some((_, rest)) if start < range.end => rest.start = start,
            _ => drop(self.left.pop_front()),
        }
        Poll::Ready(Some(Ok(Frame::Data(bytes))))
    }

    fn length(&self) -> Option<u64> {
        Some(self.length)
    }
}

/// An unpredictable boundary, so that no file can be written to contain it.
pub(super) fn random_boundary() -> Boundary {
    Boundary::new(u128::from_ne_bytes(sys::random()))
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::super::options::FilesOptions;
    use super::super::policy::NamePolicy;
    use super::*;
    use crate::http::accept_encoding::Coding;
    use crate::http::conditional::FileTag;

    #[test]
    #[allow(clippy::single_range_in_vec_init, reason = "a list of ranges is meant")]
    fn the_length_is_what_is_sent() {
        let options = FilesOptions { charset: String::new(), ..FilesOptions::default() };
        let facts = RepresentationFacts {
            tag: FileTag::new(0, 0, 0),
            len: 1000,
            modified: Some(0),
            is_date_exact: true,
            policy: Rc::new(NamePolicy::of(&options, b"a.txt")),
            coding: Coding::Identity,
            varies: false,
        };
        for parts in [&[0..1][..], &[0..10, 500..1000], &[999..1000, 0..1, 300..400]] {
            let source = RangesSource::Memory(Bytes::from(vec![b'x'; 1000]));
            let mut body = MultipartRanges::new(&random_boundary(), source, parts, &facts);
            let mut sent = Vec::new();
            let mut cx = Context::from_waker(Waker::noop());
            while let Poll::Ready(Some(piece)) = body.poll_frame(&mut cx) {
                let Frame::Data(piece) = piece.unwrap() else { panic!("no trailers") };
                sent.extend_from_slice(&piece);
            }
            assert_eq!(body.length(), Some(sent.len() as u64));
            let wanted: usize = parts.iter().map(|part| (part.end - part.start) as usize).sum();
            assert_eq!(
                memchr::memchr_iter(b'x', &sent).count(),
                wanted + parts.len(),
                "and one in each type"
            );
        }
    }

    #[test]
    fn no_two_boundaries_are_alike() {
        assert_ne!(format!("{:?}", random_boundary()), format!("{:?}", random_boundary()));
    }
}
