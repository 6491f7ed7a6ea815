//! `-o KIND=FILE,…`: which reports go into which files. A kind that does not exist, or a file that cannot be
//! written, is reported before the run; afterwards a file is there whole, or as it was.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;

use super::{csv, hgrm, hlog, html, json, md};
use crate::result::RunResult;

/// The kinds of files, as `-o` names them.
const KINDS: [(&str, Kind); 6] = [
    ("json", json::text),
    ("hlog", hlog::text),
    ("hgrm", hgrm::text),
    ("csv", csv::text),
    ("md", md::text),
    ("html", html::text),
];

type Kind = fn(&RunResult) -> String;

/// Files to be written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outputs {
    files: Vec<(Kind, Target)>,
}

#[derive(Clone, PartialEq, Debug)]
enum Target {
    Stdout,
    File(PathBuf),
}

/// Reads `json=F,hlog=F,hgrm=F,csv=F,md=F,html=F`, where `-` is standard output, and tries whether the files
/// can be written, without changing any.
pub(crate) fn parse(text: &str) -> Result<Outputs, String> {
    let mut outputs = Outputs::default();
    for part in text.split(',') {
        let Some((name, file)) = part.split_once('=').filter(|(_, file)| !file.is_empty()) else {
            return Err(format!("{part:?} is not KIND=FILE; KIND is {}", kinds()));
        };
        let Some((_, kind)) = KINDS.iter().find(|(known, _)| *known == name) else {
            return Err(format!("there is no report of the kind {name:?}: use {}", kinds()));
        };
        let target = if file == "-" { Target::Stdout } else { Target::File(PathBuf::from(file)) };
        if outputs.files.iter().any(|(_, other)| *other == target) {
            return Err(format!("two reports cannot go into {file:?}: name another file for one of them"));
        }
        if let Target::File(path) = &target {
            try_file(path).map_err(|error| cannot_write(path, &error))?;
        }
        outputs.files.push((*kind, target));
    }
    Ok(outputs)
}

impl Outputs {
    /// Whether a report goes to standard output, so that nothing else should.
    pub(crate) fn take_stdout(&self) -> bool {
        self.files.iter().any(|(_, target)| *target == Target::Stdout)
    }

    /// Writes all of them. A file is replaced when its whole report is on the disk beside it.
    pub(crate) fn write(&self, result: &RunResult) -> Result<(), String> {
        for (kind, target) in &self.files {
            let text = kind(result);
            match target {
                Target::Stdout => write_stdout(&text)?,
                Target::File(path) => write_file(path, &text)?,
            }
        }
        Ok(())
    }
}

/// Writes to standard output. A reader that has seen enough is no error.
pub(crate) fn write_stdout(text: &str) -> Result<(), String> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("cannot write to standard output: {error}"))
        }
        _ => Ok(()),
    }
}

/// Writes a file so that it is there whole or as it was: under another name beside it, which is then renamed.
pub(crate) fn write_file(path: &Path, text: &str) -> Result<(), String> {
    replace(path, text.as_bytes()).map_err(|error| cannot_write(path, &error))
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let Place::Replaced { path, temporary } = place(path)? else {
        return OpenOptions::new().write(true).open(path)?.write_all(bytes);
    };
    let written = create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.and_then(|()| fs::rename(&temporary, path)).inspect_err(|_| {
        let _ = fs::remove_file(&temporary); // the first error is the one to tell
    })
}

/// Whether [`replace`] could do it: what it would create is created and removed.
fn try_file(path: &Path) -> io::Result<()> {
    match place(path)? {
        Place::Replaced { temporary, .. } => create(&temporary).and_then(|_| fs::remove_file(&temporary)),
        Place::Opened => Ok(()),
    }
}

enum Place {
    /// A regular file, or none yet; behind symbolic links, the file they lead to.
    Replaced { path: PathBuf, temporary: PathBuf },
    /// A device or pipe, such as /dev/null, which a rename would destroy.
    Opened,
}

fn place(path: &Path) -> io::Result<Place> {
    let path = match fs::metadata(path) {
        Ok(found) if found.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        Ok(found) if !found.is_file() => return Ok(Place::Opened),
        Ok(_) => fs::canonicalize(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_path_buf(),
        Err(error) => return Err(error),
    };
    let Some(name) = path.file_name() else { return Err(io::ErrorKind::InvalidFilename.into()) };
    let temporary = path.with_file_name(format!(".{}.{}.part", name.to_string_lossy(), process::id()));
    Ok(Place::Replaced { path, temporary })
}

/// A file with a unique name.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

fn cannot_write(path: &Path, error: &io::Error) -> String {
    format!("cannot write {path:?}: {error}; name a file in a directory that you may write to")
}

fn kinds() -> String {
    KINDS.map(|(name, _)| name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn every_kind_is_written_whole() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let all = KINDS.map(|(kind, _)| format!("{kind}={}", at(kind))).join(",");
        let outputs = parse(&all).unwrap();
        assert!(names(folder.path()).is_empty(), "trying leaves nothing behind");
        assert!(!outputs.take_stdout());
        fs::write(at("json"), "an older one, and much longer than nothing").unwrap();
        outputs.write(&fixture::open_loop()).unwrap();
        let mut kinds = KINDS.map(|(kind, _)| kind);
        kinds.sort_unstable();
        assert_eq!(names(folder.path()), kinds);
        assert!(json::read(&fs::read_to_string(at("json")).unwrap()).is_ok());
    }

    #[test]
    fn mistakes_are_told_before_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().display();
        for (text, cause) in [
            ("".to_string(), "KIND=FILE"),
            ("json".to_string(), "KIND=FILE"),
            ("json=".to_string(), "KIND=FILE"),
            ("pdf=a".to_string(), "\"pdf\": use json, hlog"),
            ("json=-,csv=-".to_string(), "two reports"),
            (format!("json={here}/a,csv={here}/a"), "two reports"),
            (format!("json={here}"), "directory"),
            (format!("json={here}/none/a"), "No such file"),
            ("json=/dev/null/a".to_string(), "Not a directory"),
            ("json=/proc/a".to_string(), "cannot write"),
        ] {
            let error = parse(&text).expect_err(cause);
            assert!(error.contains(cause), "{error}");
        }
        assert!(names(folder.path()).is_empty());
        assert!(parse("json=-").unwrap().take_stdout());
    }

    #[test]
    fn devices_and_links_stay_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_file(&link, "new").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        write_file(Path::new("/dev/null"), "gone").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
