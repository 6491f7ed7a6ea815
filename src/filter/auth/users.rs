//! The file of users, as `htpasswd` writes it: `name:hash` per line. Accepted as a whole, or refused with a
//! line.

use std::fmt;
use std::fs::{self, Metadata};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::hash::{Hash, HashError};
use super::verdicts;

/// Bytes of a file of users. Some ten thousand of them; more need a database.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The users of one file.
#[derive(Debug)]
pub(super) struct Users {
    // INVARIANT: never empty, sorted by name.
    entries: Vec<(Box<str>, Hash)>,
    /// Chooses the hash on which an unknown name is tried; secret, so that timing does not reveal unknown
    /// names.
    chooser: RandomState,
    /// Identifies the file and its version: what is known of the users of another says nothing.
    scope: u64,
}

/// Why a file of users is refused.
#[derive(Debug)]
pub struct UsersError {
    path: PathBuf,
    line: usize,
    kind: UsersErrorKind,
}

#[derive(Debug)]
enum UsersErrorKind {
    Io(io::Error),
    TooLarge,
    NotAFile,
    NotText,
    Empty,
    NoColon,
    NoName,
    Twice(String),
    Hash(HashError),
}

impl fmt::Display for UsersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display())?;
        if self.line > 0 {
            write!(f, "{}:", self.line)?;
        }
        f.write_str(" ")?;
        match &self.kind {
            UsersErrorKind::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                f.write_str("there is no such file of users; make one with `htpasswd -cB FILE NAME`")
            }
            UsersErrorKind::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => f.write_str(
                "no permission to read this file of users; let the server's user read it (chown, or its \
                 group and chmod 640) and search its directory",
            ),
            UsersErrorKind::Io(error) if error.kind() != io::ErrorKind::IsADirectory => {
                write!(f, "the file of users cannot be read: {error}")
            }
            UsersErrorKind::TooLarge => write!(f, "a file of users may have {FILE_BYTES_MAX} bytes"),
            UsersErrorKind::Io(_) | UsersErrorKind::NotAFile => {
                f.write_str("the users have to be in a regular file; name another")
            }
            UsersErrorKind::NotText => f.write_str("the file of users is not UTF-8 text"),
            UsersErrorKind::Empty => f.write_str(
                "there is no user in it, so no login could succeed; add one with `htpasswd -B FILE NAME`",
            ),
            UsersErrorKind::NoColon => f.write_str("an entry is NAME:HASH; this line has no colon"),
            UsersErrorKind::NoName => f.write_str("an entry is NAME:HASH; this line has no name"),
            UsersErrorKind::Twice(name) => write!(f, "{name} has an entry already; remove one of them"),
            UsersErrorKind::Hash(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for UsersError {}

/// The identity of a version of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct UsersVersion {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl UsersVersion {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// The current version of the file; `None` when its metadata cannot be read.
    pub(super) fn now(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|metadata| Self::of(&metadata))
    }
}

impl Users {
    /// Reads a file, and which version of it was read.
    pub(super) fn load(path: &Path) -> Result<(Self, UsersVersion), UsersError> {
        let error = |kind| UsersError { path: path.to_owned(), line: 0, kind };
        // Before the read, so that the next check finds a change in between.
        let metadata = fs::metadata(path).map_err(|e| error(UsersErrorKind::Io(e)))?;
        if metadata.is_dir() {
            return Err(error(UsersErrorKind::Io(io::ErrorKind::IsADirectory.into())));
        }
        if !metadata.is_file() {
            // To open a FIFO would wait for its writer.
            return Err(error(UsersErrorKind::NotAFile));
        }
        if metadata.len() > FILE_BYTES_MAX {
            return Err(error(UsersErrorKind::TooLarge));
        }
        let bytes = fs::read(path).map_err(|e| error(UsersErrorKind::Io(e)))?;
        let text = String::from_utf8(bytes).map_err(|_| error(UsersErrorKind::NotText))?;
        let mut users =
            Self::parse(&text).map_err(|(line, kind)| UsersError { path: path.to_owned(), line, kind })?;
        let version = UsersVersion::of(&metadata);
        users.scope = verdicts::scope((path, version));
        Ok((users, version))
    }

    /// Identifies the file and its version.
    pub(super) fn scope(&self) -> u64 {
        self.scope
    }

    /// Memory that the verification of this user's password needs, in KiB.
    pub(super) fn memory_kib(&self, name: &str) -> u32 {
        self.entries[self.place(name).0].1.memory_kib()
    }

    fn parse(text: &str) -> Result<Self, (usize, UsersErrorKind)> {
        let mut entries: Vec<(Box<str>, Hash)> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, hash) = line.split_once(':').ok_or((number, UsersErrorKind::NoColon))?;
            if name.is_empty() {
                return Err((number, UsersErrorKind::NoName));
            }
            let hash = Hash::parse(hash).map_err(|error| (number, UsersErrorKind::Hash(error)))?;
            match entries.binary_search_by(|(known, _)| (**known).cmp(name)) {
                Ok(_) => return Err((number, UsersErrorKind::Twice(name.to_owned()))),
                Err(place) => entries.insert(place, (name.into(), hash)),
            }
        }
        if entries.is_empty() {
            return Err((0, UsersErrorKind::Empty));
        }
        Ok(Self { entries, chooser: RandomState::new(), scope: 0 })
    }

    /// Whether the user has this password. An unknown name takes as long as a known one: the password is
    /// tried on the hash of another user, always the same one for the same name.
    pub(super) fn verify(&self, name: &str, password: &[u8]) -> bool {
        let (place, is_user) = self.place(name);
        let fits = self.entries[place].1.verify(password);
        fits && is_user
    }

    /// The entry on which a password for this name is tried, and whether it is the name's own.
    fn place(&self, name: &str) -> (usize, bool) {
        match self.entries.binary_search_by(|(known, _)| (**known).cmp(name)) {
            Ok(place) => (place, true),
            Err(_) => (self.chooser.hash_one(name) as usize % self.entries.len(), false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `secret`, at the lowest cost.
    const HASH: &str = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";

    #[test]
    fn users_are_found_by_name_and_password() {
        let users = Users::parse(&format!("# people\n\nzoë:{HASH}\r\nalice:{HASH}\n")).unwrap();
        for name in ["alice", "zoë"] {
            assert!(users.verify(name, b"secret") && !users.verify(name, b"wrong"));
        }
        // The hash on which they are tried matches, and still they are not users.
        for name in ["bob", "", "Alice", "alice:"] {
            assert!(!users.verify(name, b"secret"));
        }
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, line, words) in [
            (format!("a:{HASH}\n\nb"), 3, "no colon"),
            (format!(":{HASH}"), 1, "no name"),
            (format!("a:{HASH}\n#\na:{HASH}"), 3, "a has an entry already"),
            ("a:secret".to_owned(), 1, "htpasswd -B"),
            (format!("a:{HASH}\nb:$apr1$x$y"), 2, "MD5"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("users");
            fs::write(&path, &text).unwrap();
            let said = Users::load(&path).unwrap_err().to_string();
            assert!(said.contains(&format!("users:{line}: ")) && said.contains(words), "{text:?}: {said}");
            assert!(!said.contains("secret"), "a password must not be logged: {said}");
        }
    }

    #[test]
    fn a_file_without_users_or_no_file_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users");
        assert!(Users::load(&path).unwrap_err().to_string().contains("htpasswd -cB"));
        for (bytes, words) in [(&b"# nobody\n"[..], "no user in it"), (b"\xff", "not UTF-8")] {
            fs::write(&path, bytes).unwrap();
            let said = Users::load(&path).unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn another_version_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users");
        fs::write(&path, format!("a:{HASH}")).unwrap();
        let (_, version) = Users::load(&path).unwrap();
        assert_eq!(UsersVersion::now(&path), Some(version));
        fs::write(&path, format!("b:{HASH}")).unwrap();
        assert_ne!(UsersVersion::now(&path), Some(version));
        fs::remove_file(&path).unwrap();
        assert_eq!(UsersVersion::now(&path), None);
    }
}
