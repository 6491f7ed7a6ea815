//! Files below a root: what may be opened, and that every byte comes.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use quoit::ring::{File, InCache, ReadNow, Ring, RingConfig, Root};

use crate::harness::*;

const BYTES: usize = 300_000;

/// A tree with everything in it, and something outside.
fn tree(directory: &Path) -> Root {
    let root = directory.join("root");
    fs::create_dir_all(root.join("inner")).expect("a directory");
    fs::write(directory.join("secret"), "outside").expect("a file");
    fs::write(root.join("file"), pattern(4, BYTES)).expect("a file");
    fs::write(root.join("empty"), "").expect("a file");
    fs::write(root.join("inner/deep"), "deep").expect("a file");
    symlink("file", root.join("link")).expect("a link");
    symlink("../file", root.join("inner/up")).expect("a link");
    symlink("../secret", root.join("out")).expect("a link");
    symlink("/etc/passwd", root.join("absolute")).expect("a link");
    symlink("loop", root.join("loop")).expect("a link");
    assert!(Command::new("mkfifo").arg(root.join("fifo")).status().expect("mkfifo").success());
    Root::open(&root).expect("a directory")
}

async fn read_to_end(file: &File, step: usize) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let piece = file.read_at(Vec::with_capacity(step), all.len() as u64).await.expect("readable");
        if piece.is_empty() {
            return all;
        }
        all.extend_from_slice(&piece);
    }
}

#[test]
fn opens_what_is_below_the_root_and_nothing_else() {
    on_ring_alone(RingConfig::default(), |ring| async move {
        let directory = tempfile::tempdir().expect("a directory");
        let root = tree(directory.path());
        let before = holdings(&ring);
        for path in ["file", "link", "inner/up", "inner/../file", "./file", "inner//../link"] {
            let file = ring.open(&root, path.as_bytes()).await.expect(path);
            assert_eq!(file.metadata().expect("an inode").len, BYTES as u64, "{path}");
        }
        for path in
            ["../secret", "inner/../../secret", "/etc/passwd", "/", "out", "absolute", "..", "inner/../.."]
        {
            let error = ring.open(&root, path.as_bytes()).await.map(drop).expect_err(path);
            assert_eq!(error.raw_os_error(), Some(libc::EXDEV), "{path}: {error}");
        }
        for (path, code) in [("absent", libc::ENOENT), ("file/x", libc::ENOTDIR), ("loop", libc::ELOOP)] {
            let error = ring.open(&root, path.as_bytes()).await.map(drop).expect_err(path);
            assert_eq!(error.raw_os_error(), Some(code), "{path}: {error}");
        }
        let error = ring.open(&root, b"fi\0le").await.map(drop).expect_err("a NUL");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        back_to(&ring, before).await;
    });
}

/// Nobody writes to the FIFO: an open that waited would wait for ever.
#[test]
fn a_fifo_is_opened_without_waiting() {
    on_ring(RingConfig::default(), |ring| async move {
        let directory = tempfile::tempdir().expect("a directory");
        let root = tree(directory.path());
        let file = ring.open(&root, b"fifo").await.expect("opened");
        let metadata = file.metadata().expect("an inode");
        assert!(!metadata.is_file && !metadata.is_dir);
    });
}

#[test]
fn metadata_tells_what_a_file_is() {
    on_ring(RingConfig::default(), |ring| async move {
        let directory = tempfile::tempdir().expect("a directory");
        let root = tree(directory.path());
        let when = UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789);
        let path = directory.path().join("root/file");
        fs::File::options().write(true).open(&path).expect("a file").set_modified(when).expect("a time");
        let file = ring.open(&root, b"file").await.expect("it exists");
        let is = file.metadata().expect("an inode");
        assert_eq!((is.len, is.modified_s, is.modified_ns), (BYTES as u64, 1_234_567_890, 123_456_789));
        assert!(is.is_file && !is.is_dir);
        let inner = ring.open(&root, b"inner").await.expect("it exists").metadata().expect("an inode");
        assert!(inner.is_dir && !inner.is_file && inner.inode != is.inode);
        // Replaced by rename: another inode. Written again: another change time.
        let again =
            || async { ring.open(&root, b"file").await.expect("it exists").metadata().expect("an inode") };
        // The kernel's clock for files has ticks.
        let written = loop {
            fs::write(&path, "shorter").expect("writable");
            let written = again().await;
            if written.changed_ns > is.changed_ns {
                break written;
            }
        };
        assert!(written.len == 7 && written.inode == is.inode);
        fs::write(directory.path().join("root/new"), "new").expect("a file");
        fs::rename(directory.path().join("root/new"), &path).expect("replaced");
        assert_ne!(again().await.inode, is.inode);
    });
}

#[test]
fn reads_reach_the_end_cached_or_not() {
    on_ring(RingConfig::default(), |ring| async move {
        let directory = tempfile::tempdir().expect("a directory");
        let root = tree(directory.path());
        let file = ring.open(&root, b"file").await.expect("it exists");
        for step in [1000, 4096, 65_537, 1 << 20] {
            assert!(read_to_end(&file, step).await == pattern(4, BYTES), "steps of {step}");
        }
        // Appended to what the buffer holds, and an end that is an end.
        let buffer = file.read_at(Vec::with_capacity(10), BYTES as u64 - 4).await.expect("readable");
        assert_eq!(buffer[..], pattern(4, BYTES)[BYTES - 4..]);
        let more = file.read_at(buffer.clone(), BYTES as u64).await.expect("readable");
        assert_eq!(more, buffer);
        let empty = ring.open(&root, b"empty").await.expect("it exists");
        assert_eq!(read_to_end(&empty, 100).await, b"");
        let directory_file = ring.open(&root, b"inner").await.expect("it exists");
        let error = directory_file.read_at(Vec::with_capacity(10), 0).await.expect_err("a directory");
        assert_eq!(error.raw_os_error(), Some(libc::EISDIR));
        cached(&ring, &root, &file).await;
    });
}

/// Without waiting, as far as the page cache goes; the rest with.
async fn cached(ring: &Ring, root: &Root, file: &File) {
    let mut all = Vec::new();
    let mut buffer = vec![0; 50_000];
    loop {
        match file.read_now(&mut buffer, all.len() as u64).expect("readable") {
            ReadNow::Bytes(0) => break,
            ReadNow::Bytes(n) => all.extend_from_slice(&buffer[..n]),
            ReadNow::Wait => {
                let piece =
                    file.read_at(Vec::with_capacity(50_000), all.len() as u64).await.expect("readable");
                assert!(!piece.is_empty());
                all.extend_from_slice(&piece);
            }
        }
    }
    assert!(all == pattern(4, BYTES));
    // The same bytes to a socket, without a copy; where the kernel can.
    let file = ring.open(root, b"file").await.expect("it exists");
    let (socket, mut stream) = tcp_pair(ring, None);
    let reader = peer(move || read_all(&mut stream, pattern(4, BYTES), 30_000, &mut Rng(8)));
    let direct = socket.nonblocking().expect("an option");
    let mut sent = 0;
    while sent < BYTES {
        let seen = file.in_cache(sent as u64, (BYTES - sent) as u64).expect("readable");
        let tried = match seen {
            InCache::All => file.send_cached(&direct, sent as u64, BYTES - sent),
            InCache::NotAll | InCache::Unknown => socket.try_send(&pattern(4, BYTES)[sent..]),
        };
        match tried {
            Ok(n) => sent += n,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                socket.writable().await.expect("the peer reads");
            }
        }
    }
    drop(direct);
    socket.shutdown_write();
    reader.join(ring).await;
    assert_eq!(socket.acknowledged(), BYTES as u64);
}
