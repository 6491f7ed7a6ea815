//! Binding: one socket per worker for TCP, one shared socket for a Unix path.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use std::{fs, os::unix::net::UnixStream};

use super::address::Address;
use crate::ring;

/// A killed program holds its sockets until the kernel has released its rings, measured as 5 to 10 ms later.
/// Binding an address in use is retried for this long, so that an immediate restart succeeds.
const RELEASED_WITHIN: Duration = Duration::from_millis(250);
const RETRY_EVERY: Duration = Duration::from_millis(5);

/// A bound address with its listening sockets, one for each worker.
#[derive(Debug)]
pub struct Bound {
    /// The address, with the port the kernel chose when 0 was asked for.
    pub address: Address,
    /// One listening socket per worker. For Unix paths they share one queue.
    pub sockets: Vec<OwnedFd>,
    /// The file of a Unix socket, removed when this is dropped: keep it as long as the sockets.
    pub file: Option<SocketFile>,
}

/// The file of a Unix socket that this process bound; dropping this removes it, unless another server has
/// replaced it meanwhile.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Device, inode and modification time (the file of a socket is never written to); the inode alone is not
/// enough, because inodes are reused.
type Identity = (u64, u64, SystemTime);

fn identity(path: &Path) -> io::Result<Identity> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino(), found.modified()?))
}

/// Why an address could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}", remedy(.address, .error))]
pub struct BindError {
    address: Address,
    #[source]
    error: io::Error,
}

/// The remedy for a bind error.
fn remedy(address: &Address, error: &io::Error) -> String {
    let text = match (error.kind(), address) {
        (io::ErrorKind::AddrInUse, Address::Inet(addr)) => {
            return format!(
                "the port is taken; stop the program that has it (ss -ltnp 'sport = :{}' names it) or \
                 choose another with --listen",
                addr.port()
            );
        }
        (io::ErrorKind::AddrInUse, Address::Unix(_)) => {
            "another program is listening there; stop it or choose another path"
        }
        (io::ErrorKind::PermissionDenied, Address::Inet(addr)) if addr.port() < 1024 => {
            return below_1024(addr.port());
        }
        (io::ErrorKind::PermissionDenied, Address::Inet(_)) => return format!("no permission ({error})"),
        (io::ErrorKind::PermissionDenied, Address::Unix(_)) => {
            "no permission; this user needs write and search permission on that path's directory"
        }
        (io::ErrorKind::AddrNotAvailable, _) => {
            "this host does not have that address; use one that `ip addr` shows, or 0.0.0.0"
        }
        _ if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
            "this host has no IPv6; listen on an IPv4 address, such as 0.0.0.0 for all"
        }
        (io::ErrorKind::NotFound, _) => "the directory of that path does not exist; make it with mkdir",
        (io::ErrorKind::AlreadyExists, _) => {
            "a file that is no socket is there already; move it away or choose another path"
        }
        (io::ErrorKind::NotADirectory, _) => "a part of that path is no directory; choose another path",
        (io::ErrorKind::ReadOnlyFilesystem, _) => {
            "the file system of that path is read-only; choose a path below /run"
        }
        _ => return error.to_string(),
    };
    text.to_owned()
}

/// Three ways to a port that only root may bind.
fn below_1024(port: u16) -> String {
    let program = std::env::current_exe().map_or("quoit".to_owned(), |path| path.display().to_string());
    format!(
        "no permission for ports below 1024; give the program CAP_NET_BIND_SERVICE (sudo setcap \
         cap_net_bind_service=+ep {program}; in a unit of systemd AmbientCapabilities=CAP_NET_BIND_SERVICE), \
         allow the port to everybody (sudo sysctl net.ipv4.ip_unprivileged_port_start={port}), or choose a \
         higher one"
    )
}

impl Bound {
    /// Binds `address` for `workers` workers. The file of a Unix socket gets the permissions `mode`, before
    /// anybody can connect; without, those that the umask leaves. Blocking, for start-up: binding an address
    /// in use is retried for a quarter of a second.
    ///
    /// A Unix socket without a listener is replaced; any other file at the path is left alone.
    ///
    /// # Errors
    /// The cause and its remedy.
    pub fn new(address: &Address, workers: usize, mode: Option<u32>) -> Result<Self, BindError> {
        let failed = |error| BindError { address: address.clone(), error };
        let deadline = Instant::now() + RELEASED_WITHIN;
        loop {
            let bound = match address {
                Address::Inet(addr) => bind_inet(*addr, workers),
                Address::Unix(path) => bind_unix(path, workers, mode),
            };
            match bound {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                    thread::sleep(RETRY_EVERY);
                }
                bound => return bound.map_err(failed),
            }
        }
    }
}

fn bind_inet(addr: SocketAddr, workers: usize) -> io::Result<Bound> {
    // With SO_REUSEPORT alone, a second server of the same user would share the port without an error. A
    // socket without it, bound first, detects that; it is closed before the real ones are bound. It is like
    // them in everything else: one for [::] that took IPv4 too would meet this server's own 0.0.0.0.
    drop(ring::listen_alone(addr)?);
    let first = ring::listen(addr)?;
    let addr = ring::bound_addr(&first).unwrap_or(addr);
    let mut sockets = vec![first];
    for _ in 1..workers {
        sockets.push(ring::listen(addr)?);
    }
    Ok(Bound { address: Address::Inet(addr), sockets, file: None })
}

fn bind_unix(path: &Path, workers: usize, mode: Option<u32>) -> io::Result<Bound> {
    if let Ok(found) = fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        match UnixStream::connect(path) {
            Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
            // Connection refused: the socket has no listener. Other errors do not show that it is unused.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)?,
            Err(error) => return Err(error),
        }
    }
    let first = ring::listen_unix_after(path.as_os_str().as_bytes(), || match mode {
        None => Ok(()),
        Some(mode) => fs::set_permissions(path, fs::Permissions::from_mode(mode)),
    })?;
    let file = Some(SocketFile::of(path)?);
    let mut sockets = Vec::with_capacity(workers);
    for _ in 1..workers {
        sockets.push(first.try_clone()?);
    }
    sockets.push(first);
    Ok(Bound { address: Address::Unix(path.to_owned()), sockets, file })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> Address {
        Address::Inet(([127, 0, 0, 1], 0).into())
    }

    #[test]
    fn workers_share_the_port() {
        let bound = Bound::new(&loopback(), 3, None).unwrap();
        let Address::Inet(addr) = bound.address else { panic!("asked for TCP") };
        assert!(addr.port() != 0 && bound.sockets.len() == 3);
        for socket in &bound.sockets {
            assert_eq!(ring::bound_addr(socket), Some(addr));
        }
    }

    #[test]
    fn a_taken_port_is_told_even_from_another_of_us() {
        let bound = Bound::new(&loopback(), 1, None).unwrap();
        let text = Bound::new(&bound.address, 1, None).unwrap_err().to_string();
        assert!(text.contains("taken") && text.contains("--listen"), "{text}");
    }

    #[test]
    fn both_families_have_the_same_port_in_any_order() {
        let bind = |addr: &str| Bound::new(&addr.parse().unwrap(), 2, None);
        if bind("[::]:0").is_err() {
            return;
        }
        for (first, second) in [("0.0.0.0", "[::]"), ("[::]", "0.0.0.0")] {
            let first = bind(&format!("{first}:0")).unwrap();
            let Address::Inet(addr) = first.address else { panic!("asked for TCP") };
            let other = bind(&format!("{second}:{}", addr.port()));
            // Another program may have the port in that family alone.
            if let Err(error) = &other
                && std::net::TcpListener::bind((second.trim_matches(['[', ']']), addr.port())).is_err()
            {
                eprintln!("skipped: {error}");
                continue;
            }
            other.unwrap();
        }
    }

    #[test]
    fn what_the_host_lacks_is_told() {
        let address = "[::1]:80".parse().unwrap();
        let said = |code| remedy(&address, &io::Error::from_raw_os_error(code));
        assert!(said(libc::EAFNOSUPPORT).contains("no IPv6"));
        assert!(said(libc::EROFS).contains("read-only"));
    }

    #[test]
    fn a_stale_unix_socket_is_replaced_and_a_file_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let address = Address::Unix(path.clone());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let bound = Bound::new(&address, 2, None).expect("stale: there is no listener");
        let text = Bound::new(&address, 2, None).unwrap_err().to_string();
        assert!(text.contains("another program"), "{text}");
        drop(bound);
        assert!(!path.exists(), "the file goes with its socket");
        fs::write(&path, "precious").unwrap();
        let text = Bound::new(&address, 1, None).unwrap_err().to_string();
        assert!(text.contains("no socket"), "{text}");
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn the_file_of_a_socket_has_the_permissions_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        for mode in [0o600, 0o660, 0o666, 0o777] {
            let bound = Bound::new(&Address::Unix(path.clone()), 1, Some(mode)).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
            UnixStream::connect(&path).expect("it listens");
            drop(bound);
        }
    }

    #[test]
    fn a_successors_socket_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let address = Address::Unix(dir.path().join("s"));
        let mut old = Bound::new(&address, 1, None).unwrap();
        old.sockets.clear();
        // File systems record times in ticks of a few milliseconds.
        thread::sleep(Duration::from_millis(20));
        let new = Bound::new(&address, 1, None).expect("the old one listens no more");
        drop(old);
        assert!(dir.path().join("s").exists());
        drop(new);
        assert!(!dir.path().join("s").exists());
    }
}
