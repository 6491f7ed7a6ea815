//! PEM files: reading within a size limit, permissions of keys, and detection of new versions. Does not parse
//! the content.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::error::TlsErrorKind;

/// Largest chain or key file: a thousand certificates. A larger file is not the right one.
pub(super) const PEM_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// Largest revocation list; those of the largest public authorities have some tens of megabytes.
pub(super) const CRL_BYTES_MAX: u64 = 64 * 1024 * 1024;

const OTHERS_MAY_WRITE: u32 = 0o022;
pub(super) const ALL_MAY_READ: u32 = 0o004;

/// The version of a file; `None` while its metadata cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileVersion(Option<FileStamp>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileStamp {
    device: u64,
    inode: u64,
    bytes: u64,
    /// The time that no program sets: copies keep that of the last modification.
    changed: (i64, i64),
}

impl FileVersion {
    /// The current version, with links followed: a link to another target is another version.
    pub(super) fn now(path: &Path) -> Self {
        Self(std::fs::metadata(path).ok().map(|metadata| FileStamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }))
    }
}

/// Reads a regular file of at most `bytes_max`.
pub(super) fn read(path: &Path, bytes_max: u64) -> Result<(Vec<u8>, Metadata), TlsErrorKind> {
    // Checked before it is opened, because opening a FIFO would wait for its writer.
    if !std::fs::metadata(path).map_err(read_error)?.is_file() {
        return Err(TlsErrorKind::NotAFile);
    }
    let file = File::open(path).map_err(read_error)?;
    let metadata = file.metadata().map_err(read_error)?;
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(read_error)?;
    if bytes.len() as u64 > bytes_max {
        return Err(TlsErrorKind::TooLarge(bytes_max));
    }
    Ok((bytes, metadata))
}

/// The permissions of a private key's file, unless others may write to it.
pub(super) fn key_mode(metadata: &Metadata) -> Result<u32, TlsErrorKind> {
    let mode = metadata.mode() & 0o7777;
    if mode & OTHERS_MAY_WRITE != 0 { Err(TlsErrorKind::Writable(mode)) } else { Ok(mode) }
}

fn read_error(error: io::Error) -> TlsErrorKind {
    match error.kind() {
        io::ErrorKind::NotFound => TlsErrorKind::Missing,
        io::ErrorKind::PermissionDenied => TlsErrorKind::NoPermission,
        _ => TlsErrorKind::Unreadable(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_version_changes_with_content_and_with_the_target_of_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let [one, two, link] = ["one", "two", "link"].map(|name| dir.path().join(name));
        fs::write(&one, "1").unwrap();
        fs::write(&two, "1").unwrap();
        symlink(&one, &link).unwrap();
        let before = FileVersion::now(&link);
        assert_eq!(FileVersion::now(&link), before);
        fs::remove_file(&link).unwrap();
        let gone = FileVersion::now(&link);
        assert_ne!(gone, before);
        symlink(&two, &link).unwrap();
        assert_ne!(FileVersion::now(&link), before);
        fs::write(&two, "longer").unwrap();
        assert_ne!(FileVersion::now(&link), FileVersion::now(&one));
    }

    #[test]
    fn what_is_no_plain_file_is_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert!(matches!(read(&fifo, 10), Err(TlsErrorKind::NotAFile)), "it would wait for ever");
        assert!(matches!(read(dir.path(), 10), Err(TlsErrorKind::NotAFile)));
        assert!(matches!(read(&dir.path().join("none"), 10), Err(TlsErrorKind::Missing)));
        let file = dir.path().join("file");
        fs::write(&file, "12345678901").unwrap();
        assert!(matches!(read(&file, 10), Err(TlsErrorKind::TooLarge(10))));
        assert_eq!(read(&file, 11).unwrap().0, b"12345678901");
    }
}
