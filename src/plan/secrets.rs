//! Files that must not be served, and whether a directory of a plan would serve them. Reads the file system
//! at the start; knows no requests.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use thiserror::Error;

use super::assemble::{place_of, route_place};
use super::options::{FilterOptions, HandlerOptions};
use super::{Listener, Plan, Site};
use crate::handler::DirectoryOptions;
use crate::http::path;

/// A file, or a directory with all that is in it, that must not be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// What it is.
    pub kind: SecretKind,
    /// Where it is. It need not exist yet.
    pub path: PathBuf,
}

/// Kinds of secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecretKind {
    /// The private key of a certificate.
    Key,
    /// The users of basic authentication, with the hashes of their passwords.
    Users,
    /// The access log, with addresses and whatever is in URLs.
    AccessLog,
    /// Keys and certificates of ACME.
    AcmeState,
}

impl fmt::Display for SecretKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "private key",
            Self::Users => "file of users and passwords",
            Self::AccessLog => "access log",
            Self::AcmeState => "directory of ACME keys",
        })
    }
}

/// A secret below a directory that is served.
#[derive(Debug, Error)]
#[error(
    "the {} {} would be served as {url}, because it is below {}: move it out of that directory, or into one \
     below it whose name begins with a dot, which is not served",
    secret.kind, secret.path.display(), directory.display()
)]
pub struct ExposedSecret {
    /// The secret.
    pub secret: Secret,
    /// The directory that is served.
    pub directory: PathBuf,
    /// The path of a request for it.
    pub url: String,
}

impl Plan {
    /// The secrets of the plan itself: keys of its listeners and upstreams, users of its filters.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        let mut secrets = keys(&self.listeners);
        for (_, site) in self.all_sites() {
            let handlers = site.fallback.iter().chain(site.routes.iter().map(|route| &route.handler));
            for path in handlers.flat_map(client_keys) {
                if !secrets.iter().any(|known| known.path == *path) {
                    secrets.push(Secret { kind: SecretKind::Key, path: path.clone() });
                }
            }
            let filters = site.filters.iter().chain(site.routes.iter().flat_map(|route| &route.filters));
            secrets.extend(filters.filter_map(users));
        }
        secrets
    }

    /// Every secret that a directory of the plan would serve, those of the plan and `others`, with the place
    /// of the directory in the plan.
    pub(super) fn exposed(&self, others: &[Secret]) -> Vec<(String, ExposedSecret)> {
        let mut secrets = self.secrets();
        secrets.extend_from_slice(others);
        let mut all = Vec::new();
        for (host, site) in self.all_sites() {
            let place = place_of(self, host);
            let routes = site.routes.iter().map(|route| (route_place(&place, route), &route.handler));
            for (place, handler) in site.fallback.iter().map(|handler| (place.clone(), handler)).chain(routes)
            {
                for directory in directories(handler) {
                    let exposed = secrets.iter().filter_map(|secret| exposure(directory, secret));
                    all.extend(exposed.map(|found| (place.clone(), found)));
                }
            }
        }
        all
    }

    fn all_sites(&self) -> impl Iterator<Item = (Option<&str>, &Site)> {
        let named = self.sites.iter().map(|(host, site)| (Some(&**host), site));
        std::iter::once((None, &self.default_site)).chain(named)
    }
}

/// The keys of listeners.
pub(crate) fn keys(listeners: &[Listener]) -> Vec<Secret> {
    let files = listeners.iter().filter_map(|listener| listener.tls.as_ref()).flat_map(|tls| {
        let keys: Vec<PathBuf> = tls.server().key_files().map(Path::to_owned).collect();
        keys
    });
    let mut keys: Vec<Secret> = Vec::new();
    for path in files {
        // Several listeners share certificates.
        if !keys.iter().any(|known| known.path == path) {
            keys.push(Secret { kind: SecretKind::Key, path });
        }
    }
    keys
}

/// The keys that a proxy presents certificates with.
fn client_keys(handler: &HandlerOptions) -> impl Iterator<Item = &PathBuf> {
    let upstreams = match handler {
        HandlerOptions::Proxy(proxy) => &proxy.upstreams[..],
        _ => &[],
    };
    let tls = upstreams.iter().filter_map(|(_, upstream)| upstream.tls.as_ref());
    tls.filter_map(|tls| tls.client_certificate.as_ref()).map(|(_, key)| key)
}

fn users(filter: &FilterOptions) -> Option<Secret> {
    match filter {
        #[cfg(feature = "auth")]
        FilterOptions::BasicAuth(options) => {
            Some(Secret { kind: SecretKind::Users, path: options.users.clone() })
        }
        _ => None,
    }
}

fn directories(handler: &HandlerOptions) -> Vec<&DirectoryOptions> {
    match handler {
        HandlerOptions::Files(directory) => vec![directory],
        HandlerOptions::Mounts(mounts) => mounts.directories().collect(),
        _ => Vec::new(),
    }
}

/// How the directory serves the secret, if it does.
fn exposure(directory: &DirectoryOptions, secret: &Secret) -> Option<ExposedSecret> {
    // What cannot be opened is reported when it is.
    let root = directory.path.canonicalize().ok()?;
    let found = |below: &Path| {
        let url = url(&directory.files.prefix, below)?;
        let (secret, directory) = (secret.clone(), directory.path.clone());
        Some(ExposedSecret { secret, directory, url })
    };
    let real = real_path(&secret.path).ok()?;
    let is_directory = secret.kind == SecretKind::AcmeState;
    // A FIFO or a device is not served. A directory in place of a file, and a file that must exist and does
    // not, are mistakes that are reported elsewhere.
    let may_be_served = match secret.kind {
        SecretKind::Key | SecretKind::Users => real.is_file(),
        SecretKind::AccessLog => real.is_file() || !real.exists(),
        SecretKind::AcmeState => true,
    };
    if !may_be_served {
        return None;
    }
    if is_directory && root.starts_with(&real) {
        return found(Path::new(""));
    }
    // By its real place, and where links may lead anywhere, by the name of the link.
    let named = if directory.files.follow_links { name_in_real_directory(&secret.path).ok() } else { None };
    [Some(real), named].into_iter().flatten().find_map(|path| found(path.strip_prefix(&root).ok()?))
}

/// The path without links, also of a file that does not exist yet.
fn real_path(path: &Path) -> io::Result<PathBuf> {
    path.canonicalize().or_else(|_| name_in_real_directory(path))
}

/// The path with links resolved in its directory alone.
fn name_in_real_directory(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    Ok(directory.canonicalize()?.join(name))
}

/// The path of a request for a file below a root; `None` if it is hidden.
fn url(prefix: &str, below: &Path) -> Option<String> {
    let names: Vec<&OsStr> = below
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name),
            _ => None,
        })
        .collect();
    let is_hidden = |(at, name): (usize, &&OsStr)| {
        name.as_bytes().starts_with(b".") && (at > 0 || name.as_bytes() != b".well-known")
    };
    if names.iter().enumerate().any(is_hidden) {
        return None;
    }
    let mut url = Vec::new();
    path::encode_path([prefix.as_bytes(), b"/", below.as_os_str().as_bytes()].concat().as_slice(), &mut url);
    String::from_utf8(url).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::handler::FilesOptions;

    fn url_of(directory: &DirectoryOptions, path: &Path) -> Option<String> {
        let kind = if path.is_dir() { SecretKind::AcmeState } else { SecretKind::AccessLog };
        let secret = Secret { kind, path: path.to_owned() };
        exposure(directory, &secret).map(|found| found.url)
    }

    #[test]
    fn what_is_below_a_root_is_found_by_every_name() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in
            ["site/sub/a b.key", "site/.private/key", "site/.well-known/key", "outside.key", "siteX/key"]
        {
            fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            fs::write(at(name), "").unwrap();
        }
        symlink("site", at("link")).unwrap();
        symlink("site/sub/a b.key", at("link.key")).unwrap();
        symlink("../outside.key", at("site/out.key")).unwrap();
        let site = DirectoryOptions::new(at("site"));
        let by_link = DirectoryOptions::new(at("link"));
        let below = FilesOptions { prefix: "/docs".into(), ..FilesOptions::default() };
        let mount = DirectoryOptions { path: at("site"), files: below };
        for (directory, path, url) in [
            (&site, "site/sub/a b.key", Some("/sub/a%20b.key")),
            (&site, "site/sub/../sub/a b.key", Some("/sub/a%20b.key")),
            (&site, "link/sub/a b.key", Some("/sub/a%20b.key")),
            (&site, "link.key", Some("/sub/a%20b.key")),
            (&by_link, "site/sub/a b.key", Some("/sub/a%20b.key")),
            (&mount, "site/sub/a b.key", Some("/docs/sub/a%20b.key")),
            (&site, "site/.well-known/key", Some("/.well-known/key")),
            // A log that does not exist yet, and a directory.
            (&site, "site/access.log", Some("/access.log")),
            (&site, "site/sub", Some("/sub")),
            (&site, "site", Some("/")),
            (&site, ".", Some("/")),
            (&site, "site/.private/key", None),
            (&site, "outside.key", None),
            (&site, "siteX/key", None),
            (&site, "no/such/directory/log", None),
            // A link out of the root is not followed.
            (&site, "site/out.key", None),
        ] {
            assert_eq!(url_of(directory, &at(path)).as_deref(), url, "{path}");
        }
        let follows = FilesOptions { follow_links: true, ..FilesOptions::default() };
        let open = DirectoryOptions { path: at("site"), files: follows };
        assert_eq!(url_of(&open, &at("site/out.key")).as_deref(), Some("/out.key"));
    }
}
