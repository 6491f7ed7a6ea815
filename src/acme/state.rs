//! The state directory: the account's key, pending orders, and certificates, for one CA at a time. Files are
//! replaced atomically, so a crash loses at most the work since the last write.
//!
//! ```text
//! STATE/lock                                     held while a server runs
//! STATE/acme-v02.api.letsencrypt.org_directory/  one CA
//!     account.json                               its key, and the account's URL once there is one
//!     example.com.order.json                     an order on its way, with the key of its certificate
//!     example.com.pem                            a key and its chain: one file, so that they always match
//! ```

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::KeyPair;
use serde::{Deserialize, Serialize};

use super::certificate::{self, CertificateError, RenewalFacts};
use super::disk::{self, Disk};
use super::jws::AccountKey;

/// A killed server holds its lock until the kernel has released its rings.
const RELEASED_WITHIN: Duration = Duration::from_millis(500);
const RETRY_EVERY: Duration = Duration::from_millis(10);

/// What is wrong with the state directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another process has locked it.
    #[error(
        "the state directory {} is in use by another process; stop that one, or name another directory \
         with --acme-state",
        .0.display()
    )]
    Locked(PathBuf),
    /// It is writable by others, who could replace keys.
    #[error(
        "others may write to the state directory {} (mode {mode:o}) and swap its keys; run: chmod 700 {}",
        .path.display(), .path.display()
    )]
    Open {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// An I/O error.
    #[error("{}", disk_refused(.path, .error))]
    Disk {
        /// The file or directory.
        path: PathBuf,
        /// The error.
        #[source]
        error: io::Error,
    },
    /// The account's file is damaged.
    #[error(
        "the account in {} is damaged: {why}; restore the file from a backup, or remove it to get a new \
         account",
        .path.display()
    )]
    Account {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

fn disk_refused(path: &Path, error: &io::Error) -> String {
    let path = path.display();
    if error.kind() == io::ErrorKind::PermissionDenied {
        format!("no permission for {path}; the user that serves must own the state directory")
    } else {
        format!("{path}: {error}; is there space, and is the disk writable?")
    }
}

/// A state directory that this process has locked.
#[derive(Debug)]
pub(super) struct StateDir {
    directory: PathBuf,
    disk: Disk,
    /// The lock is released when the file is closed.
    _lock: File,
}

/// An account as stored.
#[derive(Debug)]
pub(super) struct StoredAccount {
    /// Its key.
    pub key: AccountKey,
    /// Its URL; `None` before the account is registered.
    pub url: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct AccountFile {
    /// PKCS #8 in base64.
    key: String,
    #[serde(default)]
    url: Option<String>,
}

/// A pending order.
#[derive(Debug)]
pub(super) struct Pending {
    /// The order's URL.
    pub order: String,
    /// The key of its certificate.
    pub key: KeyPair,
}

#[derive(Serialize, Deserialize)]
struct PendingFile {
    order: String,
    names: Vec<String>,
    /// PEM.
    key: String,
    /// Thumbprint of the account's key: another account cannot access the order.
    account: String,
}

/// The stored certificate of a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StoredCertificate {
    /// Nothing.
    None,
    /// A certificate that can be presented, possibly expired or for other names.
    Found(RenewalFacts),
    /// A file that cannot be used.
    Damaged(CertificateError),
}

/// A damaged certificate that was renamed.
#[derive(Debug)]
pub(super) struct Aside {
    path: PathBuf,
    now: PathBuf,
    why: CertificateError,
}

impl fmt::Display for Aside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the stored certificate {} is damaged: {}; it is now {}, and another is ordered. To use the old \
             one, repair it under its first name and start again",
            self.path.display(),
            self.why,
            self.now.display()
        )
    }
}

impl StateDir {
    /// Opens the directory, creates missing parts, and locks it.
    ///
    /// # Errors
    /// See [`StateError`].
    pub(super) fn open(root: &Path, directory_url: &str) -> Result<Self, StateError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |error| StateError::Disk { path, error }
        };
        let directory = root.join(folder_of(directory_url));
        disk::make_directory(&directory).map_err(at(&directory))?;
        for path in [root, &directory] {
            let mode = fs::metadata(path).map_err(at(path))?.mode() & 0o7777;
            if mode & 0o022 != 0 {
                return Err(StateError::Open { path: path.to_owned(), mode });
            }
        }
        let lock = lock(root)?;
        disk::tidy(&directory).map_err(at(&directory))?;
        Ok(Self { directory, disk: Disk::default(), _lock: lock })
    }

    /// The account, if one is stored.
    ///
    /// # Errors
    /// Its file is damaged, or cannot be read.
    pub(super) fn account(&self) -> Result<Option<StoredAccount>, StateError> {
        let path = self.directory.join("account.json");
        let Some(bytes) = self.read(&path)? else { return Ok(None) };
        let damaged =
            |why: &dyn fmt::Display| StateError::Account { path: path.clone(), why: why.to_string() };
        let file: AccountFile = serde_json::from_slice(&bytes).map_err(|error| damaged(&error))?;
        let key = STANDARD.decode(&file.key).map_err(|error| damaged(&error))?;
        let key = AccountKey::from_pkcs8(&key).map_err(|_| damaged(&"its key is none on P-256"))?;
        Ok(Some(StoredAccount { key, url: file.url }))
    }

    /// Stores the account.
    ///
    /// # Errors
    /// The I/O error.
    pub(super) fn save_account(&self, account: &StoredAccount) -> Result<(), StateError> {
        let file = AccountFile { key: STANDARD.encode(account.key.pkcs8()), url: account.url.clone() };
        self.write(&self.directory.join("account.json"), &json(&file))
    }

    /// Path of the certificate named after `name`: its key and chain.
    pub(super) fn certificate_file(&self, name: &str) -> PathBuf {
        self.file(name, "pem")
    }

    /// Reads the certificate.
    ///
    /// # Errors
    /// The I/O error.
    pub(super) fn certificate(&self, name: &str) -> Result<StoredCertificate, StateError> {
        let Some(bytes) = self.read(&self.certificate_file(name))? else {
            return Ok(StoredCertificate::None);
        };
        let found = std::str::from_utf8(&bytes)
            .map_err(|error| CertificateError::Malformed(error.to_string()))
            .and_then(|text| {
                let key = KeyPair::from_pem(text);
                key.map_err(|error| CertificateError::Malformed(format!("its key: {error}")))
            })
            .and_then(|key| certificate::read(&bytes, &key));
        Ok(found.map_or_else(StoredCertificate::Damaged, StoredCertificate::Found))
    }

    /// Stores a certificate and removes its order. Key and chain are one file, so that they change
    /// atomically.
    ///
    /// # Errors
    /// The I/O error.
    pub(super) fn save_certificate(&self, name: &str, key: &KeyPair, chain: &str) -> Result<(), StateError> {
        let both = key.serialize_pem() + chain;
        self.write(&self.certificate_file(name), both.as_bytes())?;
        self.forget_order(name)
    }

    /// Renames damaged certificates among those named after `names`, so that listeners can start without
    /// them; returns each.
    ///
    /// # Errors
    /// The I/O error.
    pub(super) fn set_damaged_aside<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<Vec<Aside>, StateError> {
        let mut found = Vec::new();
        for name in names {
            let StoredCertificate::Damaged(why) = self.certificate(name)? else { continue };
            let path = self.certificate_file(name);
            let now = self.disk.set_aside(&path, ".damaged");
            let now = now.map_err(|error| StateError::Disk { path: path.clone(), error })?;
            found.push(Aside { path, now, why });
        }
        Ok(found)
    }

    /// The pending order of this account for exactly these names. A file that is damaged or for another order
    /// is ignored and replaced by a new order.
    ///
    /// # Errors
    /// The I/O error.
    pub(super) fn pending(
        &self,
        names: &[String],
        account: &AccountKey,
    ) -> Result<Option<Pending>, StateError> {
        let Some(bytes) = self.read(&self.order_file(names))? else { return Ok(None) };
        let Ok(file) = serde_json::from_slice::<PendingFile>(&bytes) else { return Ok(None) };
        let Ok(key) = KeyPair::from_pem(&file.key) else { return Ok(None) };
        let ours = file.names == names && file.account == account.thumbprint();
        Ok(ours.then_some(Pending { order: file.order, key }))
    }

    /// Stores a pending order.
    ///
    /// # Errors
    /// The I/O error.
    pub(super) fn save_pending(
        &self,
        names: &[String],
        pending: &Pending,
        account: &AccountKey,
    ) -> Result<(), StateError> {
        let file = PendingFile {
            order: pending.order.clone(),
            names: names.to_vec(),
            key: pending.key.serialize_pem(),
            account: account.thumbprint(),
        };
        self.write(&self.order_file(names), &json(&file))
    }

    /// Removes the pending order of the certificate named after `name`.
    ///
    /// # Errors
    /// The I/O error.
    pub(super) fn forget_order(&self, name: &str) -> Result<(), StateError> {
        let path = self.file(name, "order.json");
        self.disk.remove(&path).map_err(|error| StateError::Disk { path, error })
    }

    /// Removes the order of an already stored certificate: a crash came before its removal.
    ///
    /// # Errors
    /// The I/O error.
    pub(super) fn forget_finished_order(&self, name: &str) -> Result<(), StateError> {
        let Some(order) = self.read(&self.file(name, "order.json"))? else { return Ok(()) };
        let Some(certificate) = self.read(&self.certificate_file(name))? else { return Ok(()) };
        let key = serde_json::from_slice::<PendingFile>(&order).map(|file| file.key.into_bytes());
        if key.is_ok_and(|key| certificate.starts_with(&key)) {
            return self.forget_order(name);
        }
        Ok(())
    }

    fn order_file(&self, names: &[String]) -> PathBuf {
        self.file(names.first().map_or("", |name| name), "order.json")
    }

    /// `*` has a meaning in shells; `_` is in no name of a certificate.
    fn file(&self, name: &str, ending: &str) -> PathBuf {
        self.directory.join(format!("{}.{ending}", name.replace('*', "_")))
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, StateError> {
        disk::read(path).map_err(|error| StateError::Disk { path: path.to_owned(), error })
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StateError> {
        self.disk.replace(path, bytes).map_err(|error| StateError::Disk { path: path.to_owned(), error })
    }

    #[cfg(test)]
    pub(super) fn crash(&self) -> &std::sync::Arc<disk::tests::Crash> {
        &self.disk.crash
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec_pretty(value).expect("strings alone")
}

fn lock(root: &Path) -> Result<File, StateError> {
    let path = root.join("lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(|error| StateError::Disk { path: path.clone(), error })?;
    let until = Instant::now() + RELEASED_WITHIN;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(RETRY_EVERY),
            Err(TryLockError::WouldBlock) => return Err(StateError::Locked(root.to_owned())),
            Err(TryLockError::Error(error)) => return Err(StateError::Disk { path, error }),
        }
    }
}

/// The folder of a CA: its directory URL, with characters replaced that a file name cannot hold.
fn folder_of(url: &str) -> String {
    let rest = url.strip_prefix("https://").unwrap_or(url).trim_end_matches('/');
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-.".contains(c) { c } else { '_' };
    let name: String = rest.chars().take(200).map(safe).collect();
    // `.` and `..` have a special meaning.
    if name.starts_with('.') { format!("_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const URL: &str = "https://ca.example:14000/dir";

    #[test]
    fn accounts_are_kept_and_damage_is_told_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("acme");
        let state = StateDir::open(&root, URL).unwrap();
        assert!(state.account().unwrap().is_none());
        let key = AccountKey::generate();
        let thumbprint = key.thumbprint();
        state.save_account(&StoredAccount { key, url: Some("https://ca/acct/1".into()) }).unwrap();
        let found = state.account().unwrap().unwrap();
        assert_eq!((found.key.thumbprint(), found.url.as_deref()), (thumbprint, Some("https://ca/acct/1")));

        let file = root.join("ca.example_14000_dir/account.json");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o700);
        for damage in ["", "{\"key\": 1}", "{\"key\": \"AAAA\"}", "{\"key\": \"?\"}"] {
            fs::write(&file, damage).unwrap();
            let told = state.account().unwrap_err().to_string();
            assert!(told.contains("account.json is damaged: "), "{told}");
            assert!(told.contains("restore the file from a backup, or remove it"), "{told}");
        }
    }

    #[test]
    fn one_process_has_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path(), URL).unwrap();
        let told = StateDir::open(dir.path(), URL).unwrap_err().to_string();
        assert!(told.contains("in use by another process"), "{told}");
        drop(state);
        StateDir::open(dir.path(), URL).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o770)).unwrap();
        let told = StateDir::open(dir.path(), URL).unwrap_err().to_string();
        assert!(told.contains("(mode 770)") && told.contains("chmod 700"), "{told}");
    }

    #[test]
    fn orders_belong_to_their_names_and_account() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path(), URL).unwrap();
        let names = ["*.a.example".to_owned(), "a.example".to_owned()];
        let account = AccountKey::generate();
        let pending = Pending { order: "https://ca/order/1".into(), key: certificate::new_key() };
        state.save_pending(&names, &pending, &account).unwrap();
        assert!(dir.path().join("ca.example_14000_dir/_.a.example.order.json").exists());
        let found = state.pending(&names, &account).unwrap().unwrap();
        assert_eq!(found.order, pending.order);
        assert_eq!(found.key.serialize_der(), pending.key.serialize_der());
        assert!(state.pending(&names[..1], &account).unwrap().is_none(), "other names");
        assert!(state.pending(&names, &AccountKey::generate()).unwrap().is_none(), "another account");
        state.forget_order(&names[0]).unwrap();
        assert!(state.pending(&names, &account).unwrap().is_none());
    }

    #[test]
    fn damaged_certificates_are_told_apart_from_missing_ones() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path(), URL).unwrap();
        assert_eq!(state.certificate("a.example").unwrap(), StoredCertificate::None);
        fs::write(state.certificate_file("a.example"), "-----BEGIN NONSENSE-----").unwrap();
        assert!(matches!(state.certificate("a.example").unwrap(), StoredCertificate::Damaged(_)));
        let aside = state.set_damaged_aside(["a.example", "b.example"].into_iter()).unwrap();
        assert_eq!(aside.len(), 1);
        assert!(aside[0].now.ends_with("a.example.pem.damaged") && aside[0].now.exists());
        let told = aside[0].to_string();
        assert!(told.contains("a.example.pem is damaged: it cannot be read: its key"), "{told}");
        assert_eq!(state.certificate("a.example").unwrap(), StoredCertificate::None);
    }

    #[test]
    fn folders_are_plain_names() {
        assert_eq!(
            folder_of("https://acme-v02.api.letsencrypt.org/directory"),
            "acme-v02.api.letsencrypt.org_directory"
        );
        assert_eq!(folder_of("https://../../etc"), "_.._.._etc");
    }
}
