//! A directory of files with a server in front of it.

use std::path::{Path, PathBuf};

use quoit::handler::FilesOptions;
use tempfile::TempDir;

use crate::common::{Client, Hosted, Response, lenient, serve_files_with, until};

/// A root directory inside another one, so that there is something outside of it to be kept.
pub(crate) struct Site {
    dir: TempDir,
    server: Option<Hosted>,
}

/// What stands in the file outside the root.
pub(crate) const SECRET: &str = "what nobody outside may read";

impl Site {
    /// An empty root, served.
    pub(crate) fn new() -> Self {
        Self::with_options(1, FilesOptions::default())
    }

    /// An empty root, served with these options by as many workers.
    pub(crate) fn with_options(workers: usize, options: FilesOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("public")).unwrap();
        std::fs::write(dir.path().join("secret"), SECRET).unwrap();
        let server = Some(serve_files_with(workers, lenient(), &dir.path().join("public"), options));
        Self { dir, server }
    }

    /// A root with these files.
    pub(crate) fn with(files: &[(&str, &[u8])]) -> Self {
        let site = Self::new();
        for (name, content) in files {
            site.write(name, content);
        }
        site
    }

    /// The path of a name below the root.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join("public").join(name)
    }

    /// The directory around the root.
    pub(crate) fn outside(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file, and the directories it needs.
    pub(crate) fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.server.as_ref().unwrap().addr)
    }

    /// A client that takes little while it does not read.
    pub(crate) fn connect_narrow(&self) -> Client {
        Client::connect_narrow(self.server.as_ref().unwrap().addr, 16 * 1024)
    }

    /// GET on a connection of its own.
    #[track_caller]
    pub(crate) fn get(&self, target: &str) -> Response {
        self.connect().get(target, "")
    }
}

impl Client {
    /// GET with these field lines, each with its CRLF.
    #[track_caller]
    pub(crate) fn get(&mut self, target: &str, fields: &str) -> Response {
        self.ask(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
    }

    /// GET until the response is the one that is wanted: the server looks at its files again within a second.
    #[track_caller]
    pub(crate) fn get_until(
        &mut self,
        target: &str,
        fields: &str,
        is_wanted: impl Fn(&Response) -> bool,
    ) -> Response {
        until(target, || Some(self.get(target, fields)).filter(&is_wanted))
    }

    /// HEAD with these field lines, each with its CRLF.
    #[track_caller]
    pub(crate) fn head(&mut self, target: &str, fields: &str) -> Response {
        self.ask(format!("HEAD {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
    }

    /// Asserts that the connection still serves this site.
    #[track_caller]
    pub(crate) fn still_serves(&mut self) {
        self.is_silent();
        self.get("/there-is-no-such-file", "").has_status(404).keeps();
    }
}
