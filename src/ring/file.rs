//! Files below a root directory. Opening and cold reads are ring operations, so that a slow disk delays a
//! request and never the core; bytes in the page cache are read directly by a call that does not block.

use std::cell::Cell;
use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use io_uring::{opcode, types};

use super::core::{Core, FileBudget, Ring};
use super::op;
use super::slots::OpPayload;
use super::socket::NonBlocking;
use super::sys;

/// A directory under which files are opened; paths cannot leave it (openat2(2), RESOLVE_BENEATH), unless
/// links may lead anywhere.
#[derive(Debug)]
pub struct Root {
    fd: Rc<OwnedFd>,
    links: Links,
    /// Device and inode. The descriptor keeps the inode, so that no other directory can get the same.
    identity: (u64, u64),
}

/// Where symbolic links below a root may lead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Links {
    /// Not out of the root; an absolute link counts as one that does.
    #[default]
    WithinRoot,
    /// To any file that this process may read, the links of /proc excepted.
    Anywhere,
}

impl Links {
    pub(super) fn resolve_flags(self) -> u64 {
        match self {
            Self::WithinRoot => libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS,
            Self::Anywhere => libc::RESOLVE_NO_MAGICLINKS,
        }
    }
}

/// One of the files that a core may have open.
struct CountedFile(Rc<Core>);

impl CountedFile {
    /// EMFILE where there are as many already.
    fn new(core: &Rc<Core>) -> io::Result<Self> {
        let FileBudget { open, max } = &core.files;
        if open.get() >= max.get() {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        open.set(open.get() + 1);
        Ok(Self(core.clone()))
    }
}

impl Drop for CountedFile {
    fn drop(&mut self) {
        let open = &self.0.files.open;
        open.set(open.get() - 1);
    }
}

impl Root {
    /// Opens the directory. Blocking: for start-up.
    ///
    /// # Errors
    /// The kernel's: not found, not a directory, no permission.
    pub fn open(path: &Path) -> io::Result<Self> {
        use std::os::unix::ffi::OsStrExt;
        let path = CString::new(path.as_os_str().as_bytes())?;
        // SAFETY: the path is NUL-terminated and lives across the call; a result >= 0 is a new descriptor.
        let fd = unsafe {
            let fd =
                sys::check(libc::open(path.as_ptr(), libc::O_DIRECTORY | libc::O_RDONLY | libc::O_CLOEXEC))?;
            OwnedFd::from_raw_fd(fd)
        };
        Self::of_fd(fd, Links::default())
    }

    fn of_fd(fd: OwnedFd, links: Links) -> io::Result<Self> {
        let found = metadata(fd.as_raw_fd())?;
        Ok(Self { fd: Rc::new(fd), links, identity: (found.device, found.inode) })
    }

    /// With another rule for links.
    pub fn with_links(self, links: Links) -> Self {
        Self { links, ..self }
    }

    pub(super) fn links(&self) -> Links {
        self.links
    }

    pub(super) fn try_clone_fd(&self) -> io::Result<OwnedFd> {
        self.fd.try_clone()
    }
}

/// Metadata of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Length in bytes.
    pub len: u64,
    /// Time of the last modification: whole seconds since the Unix epoch.
    pub modified_s: i64,
    /// The nanoseconds of that time.
    pub modified_ns: u32,
    /// Time of the last change of the inode in ns; with `inode` it detects a replaced file.
    pub changed_ns: i128,
    /// Inode number.
    pub inode: u64,
    /// The device of that inode.
    pub device: u64,
    /// Whether it is a regular file.
    pub is_file: bool,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// The result of [`File::read_now`].
#[derive(Debug, PartialEq, Eq)]
pub enum ReadNow {
    /// This many bytes; 0 at the end of the file.
    Bytes(usize),
    /// Not in the page cache: use [`File::read_at`].
    Wait,
}

/// Whether a range of a file can be sent without waiting for the disk; see [`File::in_cache`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InCache {
    /// All of it is in the page cache.
    All,
    /// Some of it has to be read.
    NotAll,
    /// The kernel cannot determine it.
    Unknown,
}

/// An open file.
pub struct File {
    core: Rc<Core>,
    fd: Rc<OwnedFd>,
    /// Uncounted when the file is dropped; operations in flight keep only the descriptor.
    _counted: CountedFile,
    /// What was found in the page cache lately, for all who send this file.
    seen: Cell<Option<SeenRange>>,
}

/// How long a look into the page cache is relied on. It costs a walk over the pages, and the kernel does not
/// evict pages within moments of their use.
const SEEN_HOLDS: Duration = Duration::from_millis(100);

/// A range that was found in the page cache.
#[derive(Clone, Copy)]
struct SeenRange {
    from: u64,
    to: u64,
    /// When the first part of it was.
    at: Instant,
}

impl SeenRange {
    /// With this range as well, where the two touch.
    fn with(self, other: SeenRange) -> SeenRange {
        if other.from > self.to || other.to < self.from {
            return other;
        }
        SeenRange { from: self.from.min(other.from), to: self.to.max(other.to), at: self.at }
    }
}

impl Ring {
    /// Bounds the files that this core has open at once: further ones are refused with EMFILE, so that files
    /// cannot take the descriptors of connections. Without a bound by default.
    pub fn set_files_max(&self, max: usize) {
        self.core.files.max.set(max);
    }

    /// How many files this core may have open at once.
    pub fn files_max(&self) -> usize {
        self.core.files.max.get()
    }

    /// Opens the directory that `path` names now, if it is another one than `root`.
    ///
    /// # Errors
    /// The kernel's: nothing has that name, or it is no directory.
    pub async fn open_replaced(&self, root: &Root, path: &Path) -> io::Result<Option<Root>> {
        use std::os::unix::ffi::OsStrExt;
        let path = CString::new(path.as_os_str().as_bytes())?;
        let flags = (libc::O_DIRECTORY | libc::O_RDONLY | libc::O_CLOEXEC) as u64;
        let how = Box::new(types::OpenHow::new().flags(flags));
        let entry = opcode::OpenAt2::new(types::Fd(libc::AT_FDCWD), path.as_ptr(), &raw const *how).build();
        let (result, _) = op::submit(&self.core, entry, OpPayload::Open(path, how, root.fd.clone())).await;
        let fd = op::to_result(result)?;
        // SAFETY: the completed open made this descriptor for us.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        let found = Root::of_fd(fd, root.links)?;
        Ok((found.identity != root.identity).then_some(found))
    }

    /// Opens `path`, relative to `root`, for reading. Never leaves the root, by `..`, by an absolute path
    /// or, unless [`Links`] allow it, by a link; never blocks on a FIFO.
    ///
    /// # Errors
    /// The kernel's; `EXDEV` when the path would leave the root, `ELOOP` for too many links, `EMFILE` where
    /// the core has as many files open as it may.
    pub async fn open(&self, root: &Root, path: &[u8]) -> io::Result<File> {
        let counted = CountedFile::new(&self.core)?;
        let path = CString::new(path)?;
        let how = types::OpenHow::new()
            .flags((libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY) as u64)
            .resolve(root.links.resolve_flags());
        let how = Box::new(how);
        let entry =
            opcode::OpenAt2::new(types::Fd(root.fd.as_raw_fd()), path.as_ptr(), &raw const *how).build();
        let (result, _) = op::submit(&self.core, entry, OpPayload::Open(path, how, root.fd.clone())).await;
        let fd = op::to_result(result)?;
        // SAFETY: the completed open made this descriptor for us.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        // O_NONBLOCK was for FIFOs; on a regular file it would make ring reads fail or block the core where
        // the file system cannot promise not to wait.
        sys::set_nonblocking(fd.as_raw_fd(), false)?;
        Ok(File { core: self.core.clone(), fd: Rc::new(fd), _counted: counted, seen: Cell::new(None) })
    }
}

impl Ring {
    /// Waits until `fd` is readable: an eventfd of another thread. It must stay open meanwhile.
    ///
    /// # Errors
    /// The kernel's, for a descriptor that cannot be polled.
    pub async fn readable(&self, fd: &impl AsRawFd) -> io::Result<()> {
        let entry = opcode::PollAdd::new(types::Fd(fd.as_raw_fd()), libc::POLLIN as u32).build();
        let (result, _) = op::submit(&self.core, entry, OpPayload::Event).await;
        op::to_result(result).map(drop)
    }
}

impl File {
    pub(super) fn try_clone_fd(&self) -> io::Result<OwnedFd> {
        self.fd.try_clone()
    }

    /// Another handle of the same file, for a thread that may block.
    ///
    /// # Errors
    /// The kernel's, when there are no descriptors left.
    pub fn to_blocking(&self) -> io::Result<BlockingFile> {
        self.try_clone_fd().map(|fd| BlockingFile(fd.into()))
    }

    /// Reads the inode's metadata. The open just loaded it, and AT_STATX_DONT_SYNC keeps network file systems
    /// from asking their server: this does not block.
    pub fn metadata(&self) -> io::Result<Metadata> {
        metadata(self.fd.as_raw_fd())
    }

    /// Reads up to `buffer.len()` bytes at `offset` if they are in the page cache (preadv2(2), RWF_NOWAIT). A
    /// system call; for reads large enough to amortize it.
    pub fn read_now(&self, buffer: &mut [u8], offset: u64) -> io::Result<ReadNow> {
        let part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        // SAFETY: the part describes `buffer`, which lives across the call.
        let read = unsafe {
            libc::preadv2(self.fd.as_raw_fd(), &raw const part, 1, offset as i64, libc::RWF_NOWAIT)
        };
        match read {
            0.. => Ok(ReadNow::Bytes(read as usize)),
            _ => match io::Error::last_os_error() {
                // EOPNOTSUPP: the file system has no non-blocking reads; the ring reads it with a helper
                // thread.
                error if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EOPNOTSUPP)) => {
                    Ok(ReadNow::Wait)
                }
                error => Err(error),
            },
        }
    }

    /// Whether `len` bytes at `offset` are in the page cache (cachestat(2), Linux 6.5). Only a snapshot:
    /// pages may be evicted when memory is short. For moments the answer is that of
    /// [`known_in_cache`](Self::known_in_cache).
    ///
    /// # Errors
    /// The kernel's, for a read of the last byte.
    pub fn in_cache(&self, offset: u64, len: u64) -> io::Result<InCache> {
        if self.known_in_cache(offset) >= len {
            return Ok(InCache::All);
        }
        let found = self.look_into_cache(offset, len)?;
        if found == InCache::All {
            let range = SeenRange { from: offset, to: offset + len, at: self.core.now.get() };
            self.seen.set(Some(self.seen_lately().map_or(range, |seen| seen.with(range))));
        }
        Ok(found)
    }

    /// Bytes from `offset` on that [`in_cache`](Self::in_cache) has found moments ago, for any caller.
    pub fn known_in_cache(&self, offset: u64) -> u64 {
        match self.seen_lately() {
            Some(seen) if seen.from <= offset => seen.to.saturating_sub(offset),
            _ => 0,
        }
    }

    fn seen_lately(&self) -> Option<SeenRange> {
        let now = self.core.now.get();
        self.seen.get().filter(|seen| now.saturating_duration_since(seen.at) <= SEEN_HOLDS)
    }

    fn look_into_cache(&self, offset: u64, len: u64) -> io::Result<InCache> {
        match sys::is_cached(self.fd.as_raw_fd(), offset, len) {
            None => Ok(InCache::Unknown),
            Some(false) => Ok(InCache::NotAll),
            // Pages that read-ahead is still filling count as cached. It fills them in order, so the last
            // byte is read.
            Some(true) => match self.read_now(&mut [0], offset + len.saturating_sub(1))? {
                ReadNow::Wait => Ok(InCache::NotAll),
                ReadNow::Bytes(_) => Ok(InCache::All),
            },
        }
    }

    /// Sends up to `len` bytes at `offset` to a socket without a copy (sendfile(2)), and returns how many
    /// were sent; 0 at the end of the file. Blocks the core for bytes that are not
    /// [`in_cache`](Self::in_cache). The socket must have no send in progress.
    ///
    /// # Errors
    /// The kernel's; `WouldBlock` when the socket is full, `InvalidInput` when the file system cannot do it.
    pub fn send_cached(&self, socket: &NonBlocking<'_>, offset: u64, len: usize) -> io::Result<usize> {
        let mut at = offset as libc::off_t;
        // SAFETY: the offset lives across the call; both descriptors are open.
        let sent = unsafe { libc::sendfile(socket.fd(), self.fd.as_raw_fd(), &raw mut at, len) };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        socket.note_sent(sent as u64);
        Ok(sent as usize)
    }

    /// Reads at `offset` into `buffer` after what it holds, up to its capacity; waits for the disk. The
    /// buffer comes back longer by what was read; unchanged at the end of the file.
    pub async fn read_at(&self, mut buffer: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        let room = buffer.spare_capacity_mut();
        let (address, len) = (room.as_mut_ptr().cast(), room.len().min(u32::MAX as usize) as u32);
        let entry = opcode::Read::new(types::Fd(self.fd.as_raw_fd()), address, len).offset(offset).build();
        let (result, payload) =
            op::submit(&self.core, entry, OpPayload::Buffer(buffer, self.fd.clone())).await;
        let read = op::to_result(result)? as usize;
        let OpPayload::Buffer(mut buffer, _) = payload else {
            unreachable!("an operation returns its payload")
        };
        // SAFETY: the kernel wrote `read <= len` bytes into the spare capacity, from its start.
        unsafe { buffer.set_len(buffer.len() + read) };
        Ok(buffer)
    }
}

/// A handle of an open file for a thread that may block.
pub struct BlockingFile(std::fs::File);

impl BlockingFile {
    /// Reads at `offset`; 0 bytes at the end of the file. Blocks.
    ///
    /// # Errors
    /// The kernel's.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.0, buffer, offset)
    }

    /// As [`File::metadata`].
    ///
    /// # Errors
    /// The kernel's.
    pub fn metadata(&self) -> io::Result<Metadata> {
        metadata(self.0.as_raw_fd())
    }
}

/// Device and inode of the regular files that standard output and standard error of this process are written
/// to.
pub fn output_files() -> Vec<(u64, u64)> {
    let outputs = [libc::STDOUT_FILENO, libc::STDERR_FILENO];
    let files = outputs.into_iter().filter_map(|fd| metadata(fd).ok()).filter(|found| found.is_file);
    files.map(|found| (found.device, found.inode)).collect()
}

fn metadata(fd: RawFd) -> io::Result<Metadata> {
    let mut raw = MaybeUninit::<libc::statx>::zeroed();
    let mask = libc::STATX_TYPE | libc::STATX_SIZE | libc::STATX_MTIME | libc::STATX_CTIME | libc::STATX_INO;
    // SAFETY: an empty NUL-terminated path with AT_EMPTY_PATH names the descriptor; the kernel fills the
    // struct, which was zeroed and lives across the call.
    let raw = unsafe {
        let flags = libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC;
        sys::check(libc::statx(fd, c"".as_ptr(), flags, mask, raw.as_mut_ptr()))?;
        raw.assume_init()
    };
    let kind = raw.stx_mode as libc::mode_t & libc::S_IFMT;
    Ok(Metadata {
        len: raw.stx_size,
        modified_s: raw.stx_mtime.tv_sec,
        modified_ns: raw.stx_mtime.tv_nsec,
        changed_ns: raw.stx_ctime.tv_sec as i128 * 1_000_000_000 + raw.stx_ctime.tv_nsec as i128,
        inode: raw.stx_ino,
        device: u64::from(raw.stx_dev_major) << 32 | u64::from(raw.stx_dev_minor),
        is_file: kind == libc::S_IFREG,
        is_dir: kind == libc::S_IFDIR,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_are_one_and_as_old_as_the_first() {
        let start = Instant::now();
        let range = |from, to, ms| SeenRange { from, to, at: start + Duration::from_millis(ms) };
        for (other, expected) in [
            (range(20, 30, 5), range(10, 30, 0)),
            (range(15, 18, 5), range(10, 20, 0)),
            (range(0, 10, 5), range(0, 20, 0)),
            (range(21, 30, 5), range(21, 30, 5)),
            (range(0, 9, 5), range(0, 9, 5)),
        ] {
            let both = range(10, 20, 0).with(other);
            assert_eq!((both.from, both.to, both.at), (expected.from, expected.to, expected.at));
        }
    }
}
