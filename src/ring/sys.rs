//! The few system calls that do not go through the ring: made at set-up, or cheaper than a ring operation and
//! never blocking. Thin, safe wrappers; errors are the kernel's.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::{self, NonNull};

/// The result of a call that returns -1 on failure.
pub(super) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Maps `len` zeroed private bytes; `huge` requests transparent huge pages, which reduce TLB misses when the
/// pool is used in turn.
pub(super) fn map_anonymous(len: usize, huge: bool) -> io::Result<NonNull<u8>> {
    // SAFETY: an anonymous private mapping at an address of the kernel's choice touches no other memory.
    let address = unsafe {
        libc::mmap(
            ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    if huge {
        // SAFETY: advice on the mapping just made; a failure changes nothing.
        unsafe { libc::madvise(address, len, libc::MADV_HUGEPAGE) };
    }
    NonNull::new(address.cast()).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))
}

/// Unmaps what [`map_anonymous`] mapped.
pub(super) fn unmap(address: NonNull<u8>, len: usize) {
    // SAFETY: callers pass a mapping of theirs, whole, in their `Drop`, after its last use.
    unsafe { libc::munmap(address.as_ptr().cast(), len) };
}

/// Sets an integer socket option.
pub fn set_option(fd: RawFd, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the value lives across the call and its true size is passed.
    check(unsafe {
        libc::setsockopt(
            fd,
            level,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    })
    .map(drop)
}

/// A new stream or datagram socket, close-on-exec. Not O_NONBLOCK: ring operations never block the core,
/// and on a blocking socket the ring waits instead of failing with EAGAIN.
pub fn socket(family: libc::c_int, kind: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed; a result >= 0 is a new descriptor without another owner.
    unsafe {
        let fd = check(libc::socket(family, kind | libc::SOCK_CLOEXEC, 0))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// A socket address in the kernel's form.
#[derive(Clone, Copy)]
pub(super) struct RawAddr {
    pub(super) storage: libc::sockaddr_storage,
    pub(super) len: libc::socklen_t,
}

impl RawAddr {
    /// Room for an address the kernel will write.
    pub(super) fn empty() -> Self {
        // SAFETY: all-zero bytes are a valid sockaddr_storage (AF_UNSPEC).
        let storage = unsafe { MaybeUninit::zeroed().assume_init() };
        Self { storage, len: size_of::<libc::sockaddr_storage>() as libc::socklen_t }
    }

    pub(super) fn inet(addr: SocketAddr) -> Self {
        let mut raw = Self::empty();
        match addr {
            SocketAddr::V4(v4) => {
                let sin = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                    sin_zero: [0; 8],
                };
                // SAFETY: sockaddr_storage is larger than and aligned for every address type.
                unsafe { (&raw mut raw.storage).cast::<libc::sockaddr_in>().write(sin) };
                raw.len = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            }
            SocketAddr::V6(v6) => {
                let sin6 = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: v6.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                    sin6_scope_id: v6.scope_id(),
                };
                // SAFETY: as above.
                unsafe { (&raw mut raw.storage).cast::<libc::sockaddr_in6>().write(sin6) };
                raw.len = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            }
        }
        raw
    }

    /// A Unix path. Errors when it does not fit the 108 bytes of sun_path.
    pub(super) fn unix(path: &[u8]) -> io::Result<Self> {
        let mut raw = Self::empty();
        let room = 107;
        if path.is_empty() || path.len() > room || path.contains(&0) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a Unix socket path has 1 to {room} bytes and no NUL; this one has {}", path.len()),
            ));
        }
        // SAFETY: zeroed storage is a valid sockaddr_un, which is smaller than the storage; the path fits
        // sun_path with its NUL, as checked above.
        unsafe {
            let sun = &mut *(&raw mut raw.storage).cast::<libc::sockaddr_un>();
            sun.sun_family = libc::AF_UNIX as libc::sa_family_t;
            ptr::copy_nonoverlapping(path.as_ptr(), sun.sun_path.as_mut_ptr().cast(), path.len());
        }
        raw.len = (size_of::<libc::sa_family_t>() + path.len() + 1) as libc::socklen_t;
        Ok(raw)
    }

    /// The internet address in it, if it is one.
    pub(super) fn to_inet(self) -> Option<SocketAddr> {
        match self.storage.ss_family as libc::c_int {
            libc::AF_INET => {
                // SAFETY: the family says that the kernel wrote a sockaddr_in.
                let sin = unsafe { (&raw const self.storage).cast::<libc::sockaddr_in>().read() };
                let ip = Ipv4Addr::from(sin.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddrV4::new(ip, u16::from_be(sin.sin_port)).into())
            }
            libc::AF_INET6 => {
                // SAFETY: the family says that the kernel wrote a sockaddr_in6.
                let sin6 = unsafe { (&raw const self.storage).cast::<libc::sockaddr_in6>().read() };
                let ip = Ipv6Addr::from(sin6.sin6_addr.s6_addr);
                let port = u16::from_be(sin6.sin6_port);
                Some(SocketAddrV6::new(ip, port, sin6.sin6_flowinfo, sin6.sin6_scope_id).into())
            }
            _ => None,
        }
    }
}

/// Binds `fd`; with `backlog` it also listens.
pub(super) fn bind(fd: &OwnedFd, addr: &RawAddr, backlog: Option<libc::c_int>) -> io::Result<()> {
    // SAFETY: the address lives across the call and `len` is its initialised length.
    check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const addr.storage).cast(), addr.len) })?;
    backlog.map_or(Ok(()), |backlog| listen(fd, backlog))
}

pub(super) fn listen(fd: &OwnedFd, backlog: libc::c_int) -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::listen(fd.as_raw_fd(), backlog) }).map(drop)
}

/// The address of this end, or of the peer; `None` for Unix sockets and sockets that are gone.
pub(super) fn socket_addr(fd: RawFd, peer: bool) -> Option<SocketAddr> {
    let mut raw = RawAddr::empty();
    // SAFETY: the storage and its length live across the call; the kernel writes at most `len` bytes.
    let result = unsafe {
        let (addr, len) = ((&raw mut raw.storage).cast(), &raw mut raw.len);
        if peer { libc::getpeername(fd, addr, len) } else { libc::getsockname(fd, addr, len) }
    };
    check(result).ok()?;
    raw.to_inet()
}

/// Bytes that were sent but that the peer's kernel has not acknowledged (tcp(7), SIOCOUTQ).
pub(super) fn unacknowledged(fd: RawFd) -> u64 {
    let mut bytes: libc::c_int = 0;
    // SAFETY: SIOCOUTQ (= TIOCOUTQ) writes one int, which lives across the call.
    let result = unsafe { libc::ioctl(fd, libc::TIOCOUTQ, &raw mut bytes) };
    if result < 0 { 0 } else { bytes.max(0) as u64 }
}

/// Whether the window that the peer offers is as large as a packet (tcp(7), TCP_INFO). False where the kernel
/// does not tell.
pub(super) fn has_open_window(fd: RawFd) -> bool {
    // linux/tcp.h: `tcpi_snd_mss`, and `tcpi_snd_wnd` of Linux 5.4, as numbers of 32 bits from the start.
    const PACKET: usize = 4;
    const WINDOW: usize = 57;
    let mut info = [0u32; WINDOW + 1];
    let mut len = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into the array, which lives across the call.
    let result = unsafe {
        libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, info.as_mut_ptr().cast(), &raw mut len)
    };
    result == 0 && len as usize == size_of_val(&info) && info[WINDOW] >= info[PACKET]
}

/// Bytes of the send buffer that are free, as the kernel counts them; `usize::MAX` where it does not tell.
pub(super) fn send_room(fd: RawFd) -> usize {
    // asm-generic/socket.h; Linux 4.12.
    const SO_MEMINFO: libc::c_int = 55;
    const BUFFER: usize = libc::SK_MEMINFO_SNDBUF as usize;
    // Of Unix sockets, and of TCP.
    const ALLOCATED: usize = libc::SK_MEMINFO_WMEM_ALLOC as usize;
    const QUEUED: usize = libc::SK_MEMINFO_WMEM_QUEUED as usize;
    let mut info = [0u32; libc::SK_MEMINFO_DROPS as usize + 1];
    let mut len = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into the array, which lives across the call.
    let result =
        unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, SO_MEMINFO, info.as_mut_ptr().cast(), &raw mut len) };
    if result < 0 || (len as usize) < size_of_val(&info[..=QUEUED]) {
        return usize::MAX;
    }
    info[BUFFER].saturating_sub(info[QUEUED].max(info[ALLOCATED])) as usize
}

/// What poll(2) reports of a descriptor now. POLLERR and POLLHUP are always reported.
pub(super) fn poll_now(fd: RawFd, events: libc::c_short) -> libc::c_short {
    let mut polled = libc::pollfd { fd, events, revents: 0 };
    // SAFETY: one pollfd, which lives across the call; a timeout of zero does not wait.
    let result = unsafe { libc::poll(&raw mut polled, 1, 0) };
    if result < 0 { 0 } else { polled.revents }
}

/// Whether all pages of a range of a file are in the page cache; `None` when the kernel cannot determine it
/// (cachestat(2) came with Linux 6.5; some kernels require the file to be owned or writable).
pub(super) fn is_cached(fd: RawFd, offset: u64, len: u64) -> Option<bool> {
    const CACHESTAT: libc::c_long = 451;
    // SAFETY: no memory is passed.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.max(1) as u64;
    // struct cachestat: nr_cache, nr_dirty, nr_writeback, nr_evicted, nr_recently_evicted.
    let (range, mut pages) = ([offset, len], [0u64; 5]);
    // SAFETY: the kernel reads the range (two u64) and writes the five u64 of struct cachestat; both live
    // across the call.
    let result = unsafe { libc::syscall(CACHESTAT, fd, &raw const range, &raw mut pages, 0) };
    let wanted = (offset + len).div_ceil(page) - offset / page;
    (result == 0).then_some(pages[0] >= wanted)
}

/// Whether the descriptor is open.
pub(super) fn is_open(fd: RawFd) -> bool {
    // SAFETY: no memory is passed.
    unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
}

/// Sets or clears O_NONBLOCK on a descriptor that has no other status flag: a socket, or a file opened here.
pub(super) fn set_nonblocking(fd: RawFd, nonblocking: bool) -> io::Result<()> {
    let flags = if nonblocking { libc::O_NONBLOCK } else { 0 };
    // SAFETY: no memory is passed.
    check(unsafe { libc::fcntl(fd, libc::F_SETFL, flags) }).map(drop)
}

/// An index that no network interface has: the kernel counts them from 1.
const NO_INTERFACE: libc::c_int = libc::c_int::MAX;

/// Makes a listening socket refuse new connections, without touching those that are being set up. A TCP one
/// is bound to an interface that does not exist, so that no SYN finds it and each is answered with a reset;
/// handshakes in progress are found by their own entries. A Unix one is shut down, which leaves its queue.
/// Where the kernel refuses (before 5.7 without CAP_NET_RAW) nothing changes.
pub(super) fn refuse_new(fd: RawFd) {
    let mut domain: libc::c_int = 0;
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes one int, whose size is passed; it lives across the call.
    unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_DOMAIN, (&raw mut domain).cast(), &raw mut len)
    };
    if domain == libc::AF_UNIX {
        shutdown(fd, libc::SHUT_RD);
    } else {
        let _ = set_option(fd, libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX, NO_INTERFACE);
    }
}

/// Shuts down both directions, or writing alone.
pub(super) fn shutdown(fd: RawFd, how: libc::c_int) {
    // SAFETY: no memory is passed. A closed socket returns ENOTCONN, which changes nothing.
    unsafe { libc::shutdown(fd, how) };
}

/// The limits on open descriptors of this process: soft, hard.
pub fn descriptor_limit() -> (u64, u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the struct lives across the call.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    (limit.rlim_cur, limit.rlim_max)
}

/// Raises the soft limit on descriptors to the hard one, as far as the kernel allows.
pub fn raise_descriptor_limit() {
    let (soft, hard) = descriptor_limit();
    if soft < hard {
        let limit = libc::rlimit { rlim_cur: hard, rlim_max: hard };
        // SAFETY: the struct lives across the call; a refusal leaves the old limit.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    }
}

/// The limit on locked memory in bytes (soft).
pub fn locked_memory_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the struct lives across the call.
    unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    limit.rlim_cur
}

/// A new eventfd, blocking or not.
pub fn eventfd(nonblocking: bool) -> io::Result<OwnedFd> {
    let flags = libc::EFD_CLOEXEC | if nonblocking { libc::EFD_NONBLOCK } else { 0 };
    // SAFETY: no memory is passed; a result >= 0 is a new descriptor without another owner.
    unsafe {
        let fd = check(libc::eventfd(0, flags))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Makes an eventfd readable.
pub fn signal_event(fd: RawFd) {
    // SAFETY: the array lives across the call. A counter that is full is readable already.
    unsafe { libc::write(fd, 1u64.to_ne_bytes().as_ptr().cast(), 8) };
}

/// Empties a non-blocking eventfd.
pub fn clear_event(fd: RawFd) {
    let mut count = [0u8; 8];
    // SAFETY: the array lives across the call.
    unsafe { libc::read(fd, count.as_mut_ptr().cast(), count.len()) };
}

/// Random bytes from the kernel, good for secrets. See getrandom(2); short requests are never truncated or
/// refused once the system has started.
pub fn random<const N: usize>() -> [u8; N] {
    const { assert!(N <= 256, "longer requests may be cut short") };
    let mut bytes = [0; N];
    // SAFETY: the kernel writes at most N bytes, which is what there is.
    let written = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), N, 0) };
    assert_eq!(written, N as isize, "the kernel has random numbers");
    bytes
}

/// Lets the calling thread run on every CPU of the process: a thread inherits the pinning of the thread that
/// spawned it. The process' first thread is never pinned, so its affinity is that of the process. See
/// sched_setaffinity(2).
pub(super) fn unpin_thread() {
    // SAFETY: the set is plain data, large enough by its type, and written by the first call before the
    // second reads it.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        let size = size_of::<libc::cpu_set_t>();
        if libc::sched_getaffinity(libc::getpid(), size, &raw mut set) == 0 {
            // If refused, the thread stays on that CPU, which is only slower.
            libc::sched_setaffinity(0, size, &raw const set);
        }
    }
}

/// Seconds since the Unix epoch, from the kernel's coarse clock (a few ms late, far cheaper).
pub(super) fn unix_seconds() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the struct lives across the call.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &raw mut now) };
    now.tv_sec.max(0) as u64
}
