//! The files of a configuration: the one that is named, and those that it includes. Reads files; knows no key
//! but
//! `include`.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use toml::de::DeTable;

use super::environment::Environment;
use super::mistake::{At, Mistake, SourceText};
use super::node::{Node, Reader, Table, View};

/// Largest file: a thousand sites of a page each.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Most files: a mistake in a pattern must not read a whole disk.
const FILES_MAX: usize = 1000;

/// The texts of all files, with the mistakes of including.
pub(super) struct Sources {
    pub(super) texts: Vec<SourceText>,
    pub(super) mistakes: Vec<Mistake>,
    /// Directories whose files are included by a pattern: a new file there belongs to the configuration.
    pub(super) directories: Vec<PathBuf>,
    /// Those that are included and cannot be read.
    pub(super) unread: Vec<PathBuf>,
}

/// Reads a file, or what another program writes to a pipe.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let file = fs::File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::other("it is a directory; name the file in it"));
    }
    let mut text = String::new();
    if file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)? as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other("it has more than 16 MiB"));
    }
    Ok(text)
}

/// Reads the files that `first` includes, and those that they include.
pub(super) fn with_includes(first: SourceText, environment: &Environment) -> Sources {
    let mut sources =
        Sources { texts: vec![first], mistakes: Vec::new(), directories: Vec::new(), unread: Vec::new() };
    // Where each file was included.
    let mut origins: Vec<Option<At>> = vec![None];
    let mut next = 0;
    while next < sources.texts.len() {
        for (at, path) in sources.included_by(next, environment) {
            match sources.add(at, &path, &origins) {
                Ok(text) => {
                    sources.texts.push(text);
                    origins.push(Some(at));
                }
                Err(mistake) => {
                    sources.mistakes.push(mistake);
                    sources.unread.push(path);
                }
            }
        }
        next += 1;
    }
    sources
}

impl Sources {
    /// The files that this one names, in order.
    fn included_by(&mut self, file: usize, environment: &Environment) -> Vec<(At, PathBuf)> {
        let (document, _) = DeTable::parse_recoverable(&self.texts[file].text);
        let reader = Reader::new(&self.texts, environment, View::Real);
        let at = At::new(file, document.span());
        let root = Table { reader: &reader, at, entries: document.get_ref() };
        let (mut found, mut mistakes, mut directories) = (Vec::new(), Vec::new(), Vec::new());
        for node in root.list("include") {
            // Texts that cannot be read are reported with the rest of the file.
            match node.text().filter(|text| !text.is_empty()) {
                Some(pattern) => match matching(node, &pattern, &mut directories) {
                    Ok(paths) => found.extend(paths.into_iter().map(|path| (node.at, path))),
                    Err(mistake) => mistakes.push(mistake),
                },
                None => continue,
            }
        }
        self.mistakes.extend(mistakes);
        self.directories.extend(directories);
        found
    }

    fn add(&self, at: At, path: &Path, origins: &[Option<At>]) -> Result<SourceText, Mistake> {
        let same = |known: &SourceText| match (known.path.canonicalize(), path.canonicalize()) {
            (Ok(known), Ok(path)) => known == path,
            _ => known.path == path,
        };
        if let Some(index) = self.texts.iter().position(same) {
            let shown = path.display();
            return Err(match origins[index] {
                _ if index == at.file => Mistake::new(at, format!("{shown} includes itself"))
                    .help("write a pattern that does not match it"),
                None => Mistake::new(at, format!("{shown} is the file that includes this one")),
                Some(first) => {
                    Mistake::new(at, format!("{shown} is included twice")).other(first, "here first")
                }
            });
        }
        if self.texts.len() >= FILES_MAX {
            return Err(Mistake::new(at, format!("more than {FILES_MAX} files are included")));
        }
        let cannot = |error| Mistake::new(at, format!("cannot read {}: {error}", path.display()));
        // Whatever else stands there would be waited for.
        let is_odd = fs::metadata(path).is_ok_and(|found| !found.is_file());
        let text = if is_odd { Err(io::Error::other("it is no regular file")) } else { read(path) };
        let text = text.map_err(cannot)?;
        Ok(SourceText { path: path.to_owned(), text })
    }
}

/// The files of a pattern, in the order of the bytes of their names. Hidden files, and those that editors
/// leave behind, do not match; none at all is fine for a pattern.
fn matching(node: Node<'_>, pattern: &str, directories: &mut Vec<PathBuf>) -> Result<Vec<PathBuf>, Mistake> {
    let path = node.reader.resolve(node.at.file, pattern);
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let parent = path.parent().unwrap_or(Path::new("")).to_owned();
    if parent.to_string_lossy().contains(['*', '?']) {
        let mistake = Mistake::new(node.at, "a pattern stands in the last part of a path alone");
        return Err(mistake.help("write sites/*.toml, and one such pattern for each directory"));
    }
    if !name.contains(['*', '?']) {
        return Ok(vec![path]);
    }
    let parent = if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent };
    directories.push(parent.clone());
    let entries = match fs::read_dir(&parent) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(Mistake::new(node.at, format!("cannot read {}: {error}", parent.display())));
        }
    };
    let is_left_behind = |name: &str| name.starts_with(['.', '#']) || name.ends_with('~');
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|found| !is_left_behind(found) && fits(name.as_bytes(), found.as_bytes()))
        .filter(|found| parent.join(found).is_file())
        .collect();
    names.sort_unstable();
    Ok(names.into_iter().map(|name| path.with_file_name(name)).collect())
}

/// Whether a name matches a pattern of `*` and `?`.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    match pattern {
        [] => name.is_empty(),
        [b'*', rest @ ..] => (0..=name.len()).any(|at| fits(rest, &name[at..])),
        [b'?', rest @ ..] => !name.is_empty() && fits(rest, &name[1..]),
        [byte, rest @ ..] => name.first() == Some(byte) && fits(rest, &name[1..]),
    }
}
