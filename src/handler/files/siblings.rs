//! Siblings: coded forms in files beside the original: `app.js.br`, `app.js.zst`, `app.js.gz`, made when the
//! site was built. A sibling older than the file was made of other content and is ignored.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use super::FilesState;
use crate::http::accept_encoding::Coding;
use crate::http::media_type;
use crate::ring::{File, Metadata};

/// An open sibling.
pub(super) struct FoundSibling {
    pub(super) coding: Coding,
    pub(super) file: File,
    pub(super) metadata: Metadata,
}

/// Opens all of them concurrently; in the order of [`Coding::PREFERRED`]. Those that cannot be opened are
/// ignored: the file itself can be served in any case.
pub(super) async fn find(shared: &FilesState, name: &[u8], original: &Metadata) -> Vec<FoundSibling> {
    if !shared.options.siblings || media_type::is_compressed(media_type::of_path(name)) {
        return Vec::new();
    }
    let [brotli, zstd, gzip] = Coding::PREFERRED;
    let mut brotli = pin!(open(shared, name, original, brotli));
    let mut zstd = pin!(open(shared, name, original, zstd));
    let mut gzip = pin!(open(shared, name, original, gzip));
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

async fn open(shared: &FilesState, name: &[u8], original: &Metadata, coding: Coding) -> Option<FoundSibling> {
    let file = shared.ring.open(&shared.root, &name_of(name, coding)).await.ok()?;
    let metadata = file.metadata().ok()?;
    (metadata.is_file && !is_older(&metadata, original)).then_some(FoundSibling { coding, file, metadata })
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

/// Compressors copy the time of their input to their output, some of them in whole seconds.
fn is_older(sibling: &Metadata, original: &Metadata) -> bool {
    let (sibling_ns, original_ns) = match sibling.modified_ns {
        0 => (0, 0),
        sibling_ns => (sibling_ns, original.modified_ns),
    };
    (sibling.modified_s, sibling_ns) < (original.modified_s, original_ns)
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
    }

    #[test]
    fn names() {
        assert_eq!(name_of(b"a.js", Coding::Zstd), b"a.js.zst");
        assert_eq!(name_of(b"a.js", Coding::Identity), b"a.js");
    }
}
