//! Listening sockets: multishot accept, with the options that accepted sockets inherit.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use io_uring::{cqueue, opcode, types};

use super::core::{Core, CoreInner, Ring};
use super::key::{Key, OpKind};
use super::slots::ListenerSlot;
use super::sys::{self, RawAddr};
use super::task::SlotWaker;

/// Backlog: connections that the kernel completes before they are accepted. The default of modern kernels;
/// larger values are limited by net.core.somaxconn.
const BACKLOG: libc::c_int = 4096;

impl CoreInner {
    fn listener(&mut self, key: Key) -> Option<&mut ListenerSlot> {
        self.listeners.get_mut(key.index as usize).filter(|slot| slot.generation == key.generation)
    }

    pub(super) fn handle_accept(&mut self, key: Key, result: i32, flags: u32) {
        let Some(slot) = self.listener(key) else {
            debug_assert!(false, "an accept outlived its listener");
            return;
        };
        slot.armed = cqueue::more(flags);
        match result {
            0.. => slot.queue.push_back(result),
            error if -error == libc::ECANCELED => {}
            error => slot.error = Some(-error),
        }
        SlotWaker::wake(&mut slot.waker);
        if !slot.held && !slot.armed {
            let mut slot = self.listeners.remove(key.index as usize);
            slot.close_queue();
        }
    }
}

/// A socket that accepts connections on this core.
pub struct Listener {
    core: Rc<Core>,
    key: Key,
    fd: RawFd,
}

/// A connection that is silent for so long is probed, this often and this many times: what vanished is found
/// after two minutes. No sooner than the default of `idle_timeout`, so that idle connections cost no probe.
const KEEPALIVE_IDLE_S: libc::c_int = 60;
const KEEPALIVE_EVERY_S: libc::c_int = 15;
const KEEPALIVE_PROBES: libc::c_int = 4;

/// Milliseconds for which what was sent may stay unacknowledged, or a window closed, before the kernel ends
/// the connection, closed ones included: otherwise a client that takes nothing of a last response holds its
/// memory in FIN-WAIT for up to a quarter of an hour. It replaces the number of probes (tcp(7)), and so is as
/// long as they take: a connection that waits, over a bad line, outlives the loss of some of them.
const USER_TIMEOUT: Duration =
    Duration::from_secs((KEEPALIVE_IDLE_S + KEEPALIVE_PROBES * KEEPALIVE_EVERY_S) as u64 - 1);

/// Binds and listens on `addr`, shared with the listeners of other cores through SO_REUSEPORT.
///
/// TCP_NODELAY is set here because accepted sockets inherit it, and TCP_DEFER_ACCEPT because HTTP clients
/// send first: a connection is accepted with its first bytes, one wake-up instead of two, and a peer that
/// never sends costs no descriptor. SO_KEEPALIVE detects peers that vanished without a FIN while this side
/// only waits, in a tunnel or for a handler: neither has a limit in time.
///
/// # Errors
/// The kernel's: address in use, no permission, address not of this host.
pub fn listen(addr: SocketAddr) -> io::Result<OwnedFd> {
    let fd = listening_socket(addr)?;
    let raw = fd.as_raw_fd();
    sys::set_option(raw, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    sys::set_option(raw, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    sys::set_option(raw, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, 1)?;
    sys::set_option(raw, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)?;
    sys::set_option(raw, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, KEEPALIVE_IDLE_S)?;
    sys::set_option(raw, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, KEEPALIVE_EVERY_S)?;
    sys::set_option(raw, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, KEEPALIVE_PROBES)?;
    sys::set_option(raw, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, USER_TIMEOUT.as_millis() as libc::c_int)?;
    sys::bind(&fd, &RawAddr::inet(addr), Some(BACKLOG))?;
    Ok(fd)
}

/// Binds and listens on `addr` alone: an error if any other socket listens there, also one that would share
/// the port.
///
/// # Errors
/// As [`listen`].
pub fn listen_alone(addr: SocketAddr) -> io::Result<OwnedFd> {
    let fd = listening_socket(addr)?;
    sys::bind(&fd, &RawAddr::inet(addr), Some(BACKLOG))?;
    Ok(fd)
}

/// A socket that is not bound yet. An IPv6 one takes no IPv4 connections, whatever the host's default is: for
/// those there is another listener, in any order.
fn listening_socket(addr: SocketAddr) -> io::Result<OwnedFd> {
    let family = if addr.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let fd = sys::socket(family, libc::SOCK_STREAM)?;
    let raw = fd.as_raw_fd();
    sys::set_option(raw, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    if addr.is_ipv6() {
        sys::set_option(raw, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
    }
    Ok(fd)
}

/// Binds and listens on a Unix path, which must not exist.
///
/// # Errors
/// As [`listen`]; a path over 107 bytes is invalid input.
pub fn listen_unix(path: &[u8]) -> io::Result<OwnedFd> {
    listen_unix_after(path, || Ok(()))
}

/// As [`listen_unix`]; `bound` runs when the file exists and no client can connect yet, to set its
/// permissions.
///
/// # Errors
/// The kernel's, or that of `bound`.
pub fn listen_unix_after(path: &[u8], bound: impl FnOnce() -> io::Result<()>) -> io::Result<OwnedFd> {
    let addr = RawAddr::unix(path)?;
    let fd = sys::socket(libc::AF_UNIX, libc::SOCK_STREAM)?;
    sys::bind(&fd, &addr, None)?;
    bound()?;
    sys::listen(&fd, BACKLOG)?;
    Ok(fd)
}

/// The address a listening socket is bound to; `None` for Unix sockets.
pub fn bound_addr(fd: &OwnedFd) -> Option<SocketAddr> {
    sys::socket_addr(fd.as_raw_fd(), false)
}

fn bound_to_unix(fd: RawFd) -> bool {
    sys::socket_addr(fd, false).is_none()
}

impl Ring {
    /// Accepts on `fd`, a listening socket.
    pub fn accept_on(&self, fd: OwnedFd) -> Listener {
        let fd = fd.into_raw_fd();
        let mut inner = self.core.inner.borrow_mut();
        let generation = inner.generation();
        let slot = ListenerSlot {
            generation,
            fd,
            queue: VecDeque::new(),
            error: None,
            armed: false,
            held: true,
            waker: None,
        };
        let index = inner.listeners.insert(slot) as u32;
        Listener { core: self.core.clone(), key: Key { index, generation }, fd }
    }
}

impl Listener {
    /// Sets TCP_USER_TIMEOUT of its connections, if `timeout` is more than the default of two minutes: the
    /// kernel ends a connection whose peer acknowledges nothing for so long. Nothing on Unix sockets.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_user_timeout(&self, timeout: Duration) -> io::Result<()> {
        if timeout <= USER_TIMEOUT || bound_to_unix(self.fd) {
            return Ok(());
        }
        let ms = libc::c_int::try_from(timeout.as_millis()).unwrap_or(libc::c_int::MAX);
        sys::set_option(self.fd, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, ms)
    }

    /// The next connection.
    ///
    /// # Errors
    /// The kernel's. After one, the listener accepts again at the next call: wait a little first when
    /// descriptors or memory ran out (EMFILE, ENFILE, ENOBUFS, ENOMEM).
    pub async fn accept(&self) -> io::Result<OwnedFd> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// Refuses connections that are not being set up yet, while those that are can still be accepted.
    ///
    /// Closing a listener resets what is in its queue and what is about to enter it, requests included, so
    /// this precedes the close by as long as a handshake may take.
    pub fn refuse_new(&self) {
        sys::refuse_new(self.fd);
    }

    /// Whether the kernel has connections that were not accepted yet. A system call.
    pub fn has_waiting(&self) -> bool {
        sys::poll_now(self.fd, libc::POLLIN) & libc::POLLIN != 0
    }

    /// [`accept`](Self::accept) as a poll function.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<OwnedFd>> {
        let waker = self.core.waker(cx);
        let mut inner = self.core.inner.borrow_mut();
        let slot = inner.listener(self.key).expect("a handle keeps its slot");
        if let Some(fd) = slot.queue.pop_front() {
            // SAFETY: the accept made this descriptor and it leaves the queue here.
            return Poll::Ready(Ok(unsafe { OwnedFd::from_raw_fd(fd) }));
        }
        if let Some(error) = slot.error.take() {
            return Poll::Ready(Err(io::Error::from_raw_os_error(error)));
        }
        slot.waker = Some(waker);
        if !slot.armed {
            slot.armed = true;
            inner.in_flight += 1;
            let entry = opcode::AcceptMulti::new(types::Fd(self.fd)).flags(libc::SOCK_CLOEXEC).build();
            inner.push(&entry.user_data(self.key.user_data(OpKind::Accept)));
        }
        Poll::Pending
    }
}

impl Drop for Listener {
    /// Stops accepting. Connections in the queue are closed.
    fn drop(&mut self) {
        let mut inner = self.core.inner.borrow_mut();
        let Some(slot) = inner.listener(self.key) else { return };
        slot.held = false;
        slot.waker = None;
        if slot.armed {
            inner.cancel(self.key.user_data(OpKind::Accept));
        } else {
            let mut slot = inner.listeners.remove(self.key.index as usize);
            slot.close_queue();
        }
    }
}
