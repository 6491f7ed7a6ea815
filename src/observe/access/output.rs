//! The destination of the lines: a file, a FIFO or standard output, opened so that a rotation is detected and
//! a FIFO without a reader does not block. Knows nothing of lines.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

/// Permissions of a new log file: it holds addresses of persons.
const MODE: u32 = 0o640;

/// Where an access log is written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// A file, created if it does not exist and appended to; or a FIFO.
    File(PathBuf),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the access log to {destination}: {}", remedy(.error))]
pub struct OpenError {
    destination: Destination,
    #[source]
    error: io::Error,
}

fn remedy(error: &io::Error) -> String {
    let text = match error.kind() {
        io::ErrorKind::NotFound => "its directory does not exist; make it with mkdir -p",
        io::ErrorKind::IsADirectory => "it is a directory; name a file in it",
        io::ErrorKind::PermissionDenied => {
            "no permission; this user needs write permission on the file or its directory"
        }
        _ => return error.to_string(),
    };
    text.to_owned()
}

/// An open destination.
#[derive(Debug)]
pub(super) struct LogFile {
    destination: Destination,
    file: File,
    /// Device and inode of `file`, by which a rotation is noticed.
    identity: (u64, u64),
}

impl LogFile {
    pub(super) fn open(destination: &Destination) -> Result<Self, OpenError> {
        Self::try_open(destination.clone())
            .map_err(|error| OpenError { destination: destination.clone(), error })
    }

    fn try_open(destination: Destination) -> io::Result<Self> {
        let file = match &destination {
            Destination::Stdout => File::from(io::stdout().as_fd().try_clone_to_owned()?),
            Destination::File(path) => {
                // A FIFO is opened for reading too: so it can be opened and kept open without a reader, and
                // its content survives a restart of the reader.
                let is_fifo = fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo());
                OpenOptions::new()
                    .append(true)
                    .create(true)
                    .read(is_fifo)
                    .mode(MODE)
                    .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
                    .open(path)?
            }
        };
        let metadata = file.metadata()?;
        Ok(Self { destination, file, identity: (metadata.dev(), metadata.ino()) })
    }

    pub(super) fn destination(&self) -> &Destination {
        &self.destination
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.file.is_terminal()
    }

    /// Whether the name now refers to another file, or none.
    pub(super) fn is_rotated(&self) -> bool {
        let Destination::File(path) = &self.destination else { return false };
        match fs::metadata(path) {
            Ok(metadata) => (metadata.dev(), metadata.ino()) != self.identity,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Reopens the name. On an error the file stays open.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        if let Destination::File(_) = &self.destination {
            *self = Self::try_open(self.destination.clone())?;
        }
        Ok(())
    }

    /// Writes some of `bytes`.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }
}
