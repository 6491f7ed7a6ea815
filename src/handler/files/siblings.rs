//! Siblings: coded forms in files beside the original: `app.js.br`, `app.js.zst`, `app.js.gz`, made when the
//! site was built. One that is older than the file, is empty, or says itself that it is of another length was
//! made of other content, or is not whole, and is ignored.

use std::cmp::Ordering;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use super::FilesState;
use crate::http::accept_encoding::Coding;
use crate::http::media_type;
use crate::ring::{File, Metadata, ReadNow, Root};

/// An open sibling.
pub(super) struct FoundSibling {
    pub(super) coding: Coding,
    pub(super) file: File,
    pub(super) metadata: Metadata,
}

/// Opens all of them concurrently; in the order of [`Coding::PREFERRED`]. Those that cannot be opened are
/// ignored: the file itself can be served in any case.
pub(super) async fn find(
    shared: &FilesState,
    root: &Root,
    name: &[u8],
    original: &Metadata,
) -> Vec<FoundSibling> {
    let is_coded = media_type::is_compressed(media_type::of_path(name))
        || media_type::coding_of_path(name) != Coding::Identity;
    if !shared.options.siblings || is_coded || original.len == 0 {
        return Vec::new();
    }
    let [brotli, zstd, gzip] = Coding::PREFERRED;
    let mut brotli = pin!(open(shared, root, name, original, brotli));
    let mut zstd = pin!(open(shared, root, name, original, zstd));
    let mut gzip = pin!(open(shared, root, name, original, gzip));
    let mut found = [const { None }; 3];
    let mut waiting = [true; 3];
    poll_fn(|cx| {
        let polled = [
            waiting[0].then(|| brotli.as_mut().poll(cx)),
            waiting[1].then(|| zstd.as_mut().poll(cx)),
            waiting[2].then(|| gzip.as_mut().poll(cx)),
        ];
        for (place, outcome) in polled.into_iter().enumerate() {
            if let Some(Poll::Ready(outcome)) = outcome {
                (found[place], waiting[place]) = (outcome, false);
            }
        }
        if waiting == [false; 3] { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    found.into_iter().flatten().collect()
}

async fn open(
    shared: &FilesState,
    root: &Root,
    name: &[u8],
    original: &Metadata,
    coding: Coding,
) -> Option<FoundSibling> {
    let file = shared.ring.open(root, &name_of(name, coding)).await.ok()?;
    let metadata = file.metadata().ok()?;
    let may_be = metadata.len > 0 && !is_older(&metadata, original) && shared.serves(&metadata);
    if !may_be || !fits(&file, &metadata, original, coding).await {
        return None;
    }
    Some(FoundSibling { coding, file, metadata })
}

/// The first bytes of gzip (RFC 1952 §2.3.1).
pub(super) const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];

/// The first bytes of a zstd frame (RFC 8878 §3.1.1).
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Longest header of a zstd frame that holds the length: magic, descriptor, window, dictionary, length.
const ZSTD_HEADER_BYTES: usize = 4 + 1 + 1 + 4 + 8;

/// Whether the length of the original that a coded form announces is that of the original. A form that
/// announces none, as brotli, is judged by its time alone.
async fn fits(file: &File, metadata: &Metadata, original: &Metadata, coding: Coding) -> bool {
    match coding {
        Coding::Gzip => {
            let Some(start) = read(file, 0, GZIP_MAGIC.len()).await else { return false };
            let Some(end) = read(file, metadata.len.saturating_sub(4), 4).await else { return false };
            gzip_fits(&start, &end, original.len)
        }
        Coding::Zstd => match read(file, 0, ZSTD_HEADER_BYTES).await {
            Some(start) => zstd_length(&start).is_none_or(|length| length == original.len),
            None => false,
        },
        Coding::Brotli | Coding::Identity => true,
    }
}

/// Up to `len` bytes at `offset`; from the page cache without waiting, where they are there.
async fn read(file: &File, offset: u64, len: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len];
    match file.read_now(&mut bytes, offset).ok()? {
        ReadNow::Bytes(read) => {
            bytes.truncate(read);
            Some(bytes)
        }
        ReadNow::Wait => file.read_at(Vec::with_capacity(len), offset).await.ok(),
    }
}

/// Gzip ends with the length modulo 2³² (RFC 1952 §2.3.1), so a form that was cut off does not fit either. Of
/// a file with several members it is that of the last one: such a form is not used.
fn gzip_fits(start: &[u8], end: &[u8], length: u64) -> bool {
    start != GZIP_MAGIC || end == (length as u32).to_le_bytes()
}

/// The length of the content that the header of a zstd frame announces (RFC 8878 §3.1.1.1).
fn zstd_length(start: &[u8]) -> Option<u64> {
    let rest = start.strip_prefix(ZSTD_MAGIC)?;
    let (&descriptor, rest) = rest.split_first()?;
    let is_single_segment = descriptor & 0x20 != 0;
    let dictionary_bytes = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let length_bytes = match descriptor >> 6 {
        0 if !is_single_segment => return None,
        0 => 1,
        1 => 2,
        2 => 4,
        _ => 8,
    };
    let rest = rest.get(usize::from(!is_single_segment) + dictionary_bytes..)?.get(..length_bytes)?;
    let length = rest.iter().rev().fold(0, |length, byte| length << 8 | u64::from(*byte));
    Some(if length_bytes == 2 { length + 256 } else { length })
}

/// The name of a coded form; of identity, the file's own.
pub(super) fn name_of(name: &[u8], coding: Coding) -> Vec<u8> {
    let mut name = name.to_vec();
    if coding != Coding::Identity {
        name.push(b'.');
        name.extend_from_slice(coding.extension().as_bytes());
    }
    name
}

/// Difference of the changes of two inodes, file and sibling, that are still taken for one operation on both,
/// such as unpacking an archive or changing the owner.
const REPLACED_AFTER_NS: i128 = 1_000_000_000;

/// Compressors copy the time of their input to their output, some of them in whole seconds.
fn is_older(sibling: &Metadata, original: &Metadata) -> bool {
    let (sibling_ns, original_ns) = match sibling.modified_ns {
        0 => (0, 0),
        sibling_ns => (sibling_ns, original.modified_ns),
    };
    match (sibling.modified_s, sibling_ns).cmp(&(original.modified_s, original_ns)) {
        Ordering::Less => true,
        // One time for every file, as stores and archives give them, or the time that a compressor copied:
        // the file may have been replaced by another with the same one. Its inode says when that was.
        Ordering::Equal => sibling.changed_ns + REPLACED_AFTER_NS < original.changed_ns,
        Ordering::Greater => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(modified_s: i64, modified_ns: u32) -> Metadata {
        let (is_file, is_dir) = (true, false);
        Metadata { len: 1, modified_s, modified_ns, changed_ns: 0, inode: 1, device: 1, is_file, is_dir }
    }

    #[test]
    fn what_is_older_than_the_original_is_not_of_it() {
        assert!(is_older(&at(9, 999), &at(10, 0)));
        assert!(is_older(&at(10, 4), &at(10, 5)));
        assert!(!is_older(&at(10, 5), &at(10, 5)));
        assert!(!is_older(&at(11, 0), &at(10, 5)));
        // Written in whole seconds.
        assert!(!is_older(&at(10, 0), &at(10, 5)));
        assert!(is_older(&at(9, 0), &at(10, 5)));
        // With one time for all, the inode decides; a second is one operation on both.
        let changed = |changed_ns| Metadata { changed_ns, ..at(1, 0) };
        assert!(is_older(&changed(0), &changed(1_000_000_001)));
        assert!(!is_older(&changed(0), &changed(1_000_000_000)));
        assert!(!is_older(&changed(2_000_000_000), &changed(0)));
    }

    #[test]
    fn a_form_announces_the_length_of_the_original() {
        assert!(gzip_fits(GZIP_MAGIC, &[5, 0, 0, 0], 5));
        assert!(gzip_fits(GZIP_MAGIC, &[5, 0, 0, 0], (1 << 32) + 5));
        assert!(!gzip_fits(GZIP_MAGIC, &[5, 0, 0, 0], 6));
        assert!(!gzip_fits(GZIP_MAGIC, &[0x1f, 0x8b], 6), "cut off");
        assert!(gzip_fits(b"no", b"gzip", 6), "not judged");
        // Single segment with one byte; two bytes are 256 more; four with a window and a dictionary.
        assert_eq!(zstd_length(&[0x28, 0xb5, 0x2f, 0xfd, 0x20, 7, 9]), Some(7));
        assert_eq!(zstd_length(&[0x28, 0xb5, 0x2f, 0xfd, 0x60, 1, 1]), Some(513));
        assert_eq!(zstd_length(&[0x28, 0xb5, 0x2f, 0xfd, 0x81, 0, 0, 1, 2, 0, 0]), Some(513));
        for none in [&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0][..], &[0x28, 0xb5, 0x2f, 0xfd], b"zstandard", b""] {
            assert_eq!(zstd_length(none), None);
        }
    }

    #[test]
    fn names() {
        assert_eq!(name_of(b"a.js", Coding::Zstd), b"a.js.zst");
        assert_eq!(name_of(b"a.js", Coding::Identity), b"a.js");
    }
}
