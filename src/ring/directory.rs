//! The entries of a directory. Every call here blocks: for helper threads
//! ([`Ring::blocking`](super::Ring::blocking)).

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;

use super::file::{File, Links, Root};
use super::sys;

/// An open directory below a root, to be read on a helper thread.
pub struct Directory {
    fd: OwnedFd,
    root: OwnedFd,
    links: Links,
    /// Its path below the root.
    path: Vec<u8>,
}

/// A file or directory in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Its name, any bytes but slash and NUL.
    pub name: Vec<u8>,
    /// Whether it is a directory; otherwise it is a regular file.
    pub is_dir: bool,
    /// Length in bytes.
    pub len: u64,
    /// Time of the last modification in Unix seconds.
    pub modified_s: i64,
}

impl File {
    /// Opens this directory, which is `path` below `root`.
    ///
    /// # Errors
    /// The kernel's, when there are no descriptors left.
    pub fn directory(&self, root: &Root, path: &[u8]) -> io::Result<Directory> {
        let (fd, root_fd) = (self.try_clone_fd()?, root.try_clone_fd()?);
        Ok(Directory { fd, root: root_fd, links: root.links(), path: path.to_vec() })
    }
}

impl Directory {
    /// The entries with a name that is `wanted`, in no order; at most `entries_max`, and whether there are
    /// more. Links are resolved; one that leads out of the root or to nothing is omitted, and so is what is
    /// neither file nor directory.
    ///
    /// # Errors
    /// The kernel's: not a directory, no permission.
    pub fn read(
        self,
        entries_max: usize,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> io::Result<(Vec<DirectoryEntry>, bool)> {
        let stream = DirStream::open(self.fd)?;
        let mut entries = Vec::new();
        while let Some(name) = stream.next()? {
            if matches!(name.to_bytes(), b"." | b"..") || !wanted(name.to_bytes()) {
                continue;
            }
            if entries.len() == entries_max {
                return Ok((entries, true));
            }
            // An entry that was removed meanwhile is skipped.
            let Ok(mut found) = look(stream.fd(), &name, libc::AT_SYMLINK_NOFOLLOW) else { continue };
            if kind(&found) == libc::S_IFLNK {
                match follow(self.root.as_raw_fd(), self.links, &self.path, name.to_bytes()) {
                    Ok(target) => found = target,
                    Err(_) => continue,
                }
            }
            let is_dir = kind(&found) == libc::S_IFDIR;
            if is_dir || kind(&found) == libc::S_IFREG {
                let (len, modified_s) = (found.stx_size, found.stx_mtime.tv_sec);
                entries.push(DirectoryEntry { name: name.into_bytes(), is_dir, len, modified_s });
            }
        }
        Ok((entries, false))
    }
}

fn kind(found: &libc::statx) -> libc::mode_t {
    libc::mode_t::from(found.stx_mode) & libc::S_IFMT
}

fn look(fd: RawFd, name: &CStr, flags: libc::c_int) -> io::Result<libc::statx> {
    let mut raw = MaybeUninit::<libc::statx>::zeroed();
    let mask = libc::STATX_TYPE | libc::STATX_SIZE | libc::STATX_MTIME;
    // SAFETY: the name is NUL-terminated; the kernel fills the struct, which was zeroed and lives across the
    // call.
    unsafe {
        let flags = flags | libc::AT_STATX_DONT_SYNC;
        sys::check(libc::statx(fd, name.as_ptr(), flags, mask, raw.as_mut_ptr()))?;
        Ok(raw.assume_init())
    }
}

/// The target of a link, if it leads where links may lead.
fn follow(root: RawFd, links: Links, path: &[u8], name: &[u8]) -> io::Result<libc::statx> {
    let path = CString::new([path, b"/", name].concat())?;
    // SAFETY: the struct is plain numbers; the path is NUL-terminated and both live across the call, to which
    // the struct's true size is passed. A result >= 0 is a new descriptor.
    let fd = unsafe {
        let mut how: libc::open_how = std::mem::zeroed();
        how.flags = (libc::O_PATH | libc::O_CLOEXEC) as u64;
        how.resolve = links.resolve_flags();
        let size = size_of::<libc::open_how>();
        let fd = libc::syscall(libc::SYS_openat2, root, path.as_ptr(), &raw const how, size);
        OwnedFd::from_raw_fd(sys::check(fd as libc::c_int)?)
    };
    look(fd.as_raw_fd(), c"", libc::AT_EMPTY_PATH)
}

/// A directory stream of the C library. INVARIANT: open until dropped, used by one thread.
struct DirStream(NonNull<libc::DIR>);

impl DirStream {
    fn open(fd: OwnedFd) -> io::Result<Self> {
        // SAFETY: the descriptor is open and ours.
        let stream = unsafe { libc::fdopendir(fd.as_raw_fd()) };
        let stream = NonNull::new(stream).ok_or_else(io::Error::last_os_error)?;
        // The stream closes it from here on.
        let _ = fd.into_raw_fd();
        Ok(Self(stream))
    }

    fn fd(&self) -> RawFd {
        // SAFETY: the stream is open.
        unsafe { libc::dirfd(self.0.as_ptr()) }
    }

    fn next(&self) -> io::Result<Option<CString>> {
        // SAFETY: the stream is open and no other thread reads it. The entry is valid until the next call,
        // its name is NUL-terminated, and it is copied here. errno is this thread's own.
        unsafe {
            *libc::__errno_location() = 0;
            let entry = libc::readdir64(self.0.as_ptr());
            if entry.is_null() {
                let error = io::Error::last_os_error();
                return if error.raw_os_error() == Some(0) { Ok(None) } else { Err(error) };
            }
            Ok(Some(CStr::from_ptr((&raw const (*entry).d_name).cast()).to_owned()))
        }
    }
}

impl Drop for DirStream {
    fn drop(&mut self) {
        // SAFETY: the stream is open, and this is its last use.
        unsafe { libc::closedir(self.0.as_ptr()) };
    }
}
