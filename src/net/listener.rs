//! Binding: one socket per worker for TCP, one shared socket for a Unix path.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::{fs, os::unix::net::UnixStream};

use super::address::Address;
use crate::ring;

/// An address with its listening sockets, one for each worker.
#[derive(Debug)]
pub struct Bound {
    /// The address, with the port the kernel chose when 0 was asked for.
    pub address: Address,
    /// One listening socket per worker. For Unix paths they share one queue.
    pub sockets: Vec<OwnedFd>,
}

/// Why an address could not be bound.
#[derive(Debug)]
pub struct BindError {
    address: Address,
    error: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, error } = self;
        write!(f, "cannot listen on {address}: ")?;
        match error.kind() {
            io::ErrorKind::AddrInUse => match address {
                Address::Inet(addr) => write!(
                    f,
                    "the port is taken; stop the program that has it (ss -ltnp 'sport = :{}' names it) or \
                     choose another with --listen",
                    addr.port()
                ),
                Address::Unix(_) => {
                    f.write_str("another program is listening there; stop it or choose another path")
                }
            },
            io::ErrorKind::PermissionDenied => match address {
                Address::Inet(addr) if addr.port() < 1024 => f.write_str(
                    "no permission for ports below 1024; choose a higher port, or give the program \
                     CAP_NET_BIND_SERVICE",
                ),
                _ => write!(f, "no permission ({error})"),
            },
            io::ErrorKind::AddrNotAvailable => {
                f.write_str("this host does not have that address; use one that `ip addr` shows, or 0.0.0.0")
            }
            io::ErrorKind::NotFound => f.write_str("the directory of that path does not exist"),
            io::ErrorKind::AlreadyExists => {
                f.write_str("a file that is no socket is there already; move it away or choose another path")
            }
            _ => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for BindError {}

impl Bound {
    /// Binds `address` for `workers` workers.
    ///
    /// A Unix socket that nobody listens on any more is replaced; any other file there is left alone.
    ///
    /// # Errors
    /// The cause and its remedy.
    pub fn new(address: &Address, workers: usize) -> Result<Self, BindError> {
        let failed = |error| BindError { address: address.clone(), error };
        match address {
            Address::Inet(addr) => bind_inet(*addr, workers).map_err(failed),
            Address::Unix(path) => bind_unix(path, workers).map_err(failed),
        }
    }
}

fn bind_inet(addr: SocketAddr, workers: usize) -> io::Result<Bound> {
    // SO_REUSEPORT would let a second server of the same user share the port in silence. A socket without
    // it, bound first, finds out; it is closed before the real ones are bound.
    drop(std::net::TcpListener::bind(addr)?);
    let first = ring::listen(addr)?;
    let addr = ring::bound_addr(&first).unwrap_or(addr);
    let mut sockets = vec![first];
    for _ in 1..workers {
        sockets.push(ring::listen(addr)?);
    }
    Ok(Bound { address: Address::Inet(addr), sockets })
}

fn bind_unix(path: &PathBuf, workers: usize) -> io::Result<Bound> {
    if let Ok(found) = fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if UnixStream::connect(path).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        fs::remove_file(path)?;
    }
    let first = ring::listen_unix(path.as_os_str().as_bytes())?;
    let mut sockets = Vec::with_capacity(workers);
    for _ in 1..workers {
        sockets.push(first.try_clone()?);
    }
    sockets.push(first);
    Ok(Bound { address: Address::Unix(path.clone()), sockets })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> Address {
        Address::Inet(([127, 0, 0, 1], 0).into())
    }

    #[test]
    fn workers_share_the_port() {
        let bound = Bound::new(&loopback(), 3).unwrap();
        let Address::Inet(addr) = bound.address else { panic!("asked for TCP") };
        assert!(addr.port() != 0 && bound.sockets.len() == 3);
        for socket in &bound.sockets {
            assert_eq!(ring::bound_addr(socket), Some(addr));
        }
    }

    #[test]
    fn a_taken_port_is_told_even_from_another_of_us() {
        let bound = Bound::new(&loopback(), 1).unwrap();
        let text = Bound::new(&bound.address, 1).unwrap_err().to_string();
        assert!(text.contains("taken") && text.contains("--listen"), "{text}");
    }

    #[test]
    fn a_stale_unix_socket_is_replaced_and_a_file_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let address = Address::Unix(path.clone());
        drop(Bound::new(&address, 2).unwrap());
        let bound = Bound::new(&address, 2).expect("stale: nobody listens");
        let text = Bound::new(&address, 2).unwrap_err().to_string();
        assert!(text.contains("another program"), "{text}");
        drop(bound);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        let text = Bound::new(&address, 1).unwrap_err().to_string();
        assert!(text.contains("no socket"), "{text}");
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }
}
