//! Which directory is served: the one that was named, or the working directory where that can be meant.

use std::path::{Path, PathBuf};
use std::{env, fs};

use super::files_args::FilesArgs;

/// What `quoit serve` serves.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Directory {
    /// Named on the command line.
    Named(PathBuf),
    /// None was named: the working directory.
    Working(PathBuf),
    /// None was named, and the working directory cannot be meant.
    Nothing(Nothing),
}

/// Why the working directory is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nothing {
    /// It has no files, or cannot be found.
    Empty,
    /// It is the clone in which this program is built: somebody tries it out.
    OwnSource,
    /// It is `/`, as for services that name no other: serving the whole machine must be asked for.
    Root,
}

impl Directory {
    /// The directory to serve.
    pub(super) fn choose(named: Option<PathBuf>) -> Self {
        match named {
            Some(dir) => Self::Named(dir),
            None => env::current_dir().map_or(Self::Nothing(Nothing::Empty), Self::of_working_directory),
        }
    }

    fn of_working_directory(dir: PathBuf) -> Self {
        if dir.parent().is_none() {
            Self::Nothing(Nothing::Root)
        } else if is_own_source(&dir) {
            Self::Nothing(Nothing::OwnSource)
        } else if is_empty(&dir) {
            Self::Nothing(Nothing::Empty)
        } else {
            Self::Working(dir)
        }
    }

    /// Its path.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Named(dir) | Self::Working(dir) => Some(dir),
            Self::Nothing(_) => None,
        }
    }

    /// What to say of it once it is served.
    pub(super) fn remarks(&self, files: &FilesArgs) -> Vec<String> {
        let mut remarks = Vec::new();
        match self {
            Self::Named(_) => {}
            Self::Working(dir) => {
                remarks.push(format!("no DIR was given: serving the working directory, {}", dir.display()));
            }
            Self::Nothing(why) => {
                remarks.push(format!("no DIR was given, and {}: serving a welcome page", why.text()))
            }
        }
        if let Some(dir) = self.path()
            && files.root_is_missing(dir)
        {
            remarks.push(
                "/ is answered 404: there is no index file; --list would list the directory".to_owned(),
            );
        }
        remarks
    }
}

impl Nothing {
    fn text(self) -> &'static str {
        match self {
            Self::Empty => "the working directory has nothing to serve",
            Self::OwnSource => "the working directory is quoit's source",
            Self::Root => "the working directory is /, which is served only when it is named",
        }
    }
}

/// Whether this is the source of this program.
fn is_own_source(dir: &Path) -> bool {
    let manifest = fs::read_to_string(dir.join("Cargo.toml")).unwrap_or_default();
    manifest.lines().any(|line| {
        line.split_once('=').is_some_and(|(key, value)| (key.trim(), value.trim()) == ("name", "\"quoit\""))
    })
}

/// Whether there is nothing but hidden files, which are not served. A directory that cannot be read is not
/// empty: the error of opening it has the reason.
fn is_empty(dir: &Path) -> bool {
    let hidden = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b".");
    fs::read_dir(dir).is_ok_and(|entries| entries.flatten().all(|entry| hidden(&entry.file_name())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_working_directory_is_served_where_it_can_be_meant() {
        let of = |dir: &Path| Directory::of_working_directory(dir.to_owned());
        assert_eq!(of(Path::new("/")), Directory::Nothing(Nothing::Root));
        assert_eq!(of(Path::new(env!("CARGO_MANIFEST_DIR"))), Directory::Nothing(Nothing::OwnSource));
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(of(dir.path()), Directory::Nothing(Nothing::Empty));
        fs::write(dir.path().join(".hidden"), "").unwrap();
        assert_eq!(of(dir.path()), Directory::Nothing(Nothing::Empty));
        fs::write(dir.path().join("Cargo.toml"), "[package]\nname = \"other\"\n").unwrap();
        assert_eq!(of(dir.path()), Directory::Working(dir.path().to_owned()));
    }
}
