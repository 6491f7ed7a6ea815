//! Compresses uncompressed text files once, on a thread beside the workers, and keeps the result for all of
//! them.
//!
//! ```text
//! core ── Job (bytes, slot) ──► bounded queue ──► one thread, nice 19 ── forms ──► slot, read by the core
//!                                                    └─ store: by file, bounded by bytes
//! ```
//!
//! A core never waits: it puts the job into the queue if there is room, and checks the slot with later
//! requests. No lock is shared with it. Meanwhile the file is served uncompressed.

#[cfg(feature = "compress")]
mod compress;
#[cfg(not(feature = "compress"))]
#[path = "no_compress.rs"]
mod compress;
mod store;

use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::{fmt, panic, thread};

use bytes::Bytes;

pub(super) use self::store::Prepared;
use self::store::{FileKey, PreparedStore};
use crate::observe::log;
use crate::ring::{Metadata, yield_to_workers};

/// Smaller files are not compressed: the savings do not make up for the additional fields, and the response
/// fits one packet or two either way.
pub(super) const PREPARED_FILE_BYTES_MIN: u64 = 1024;

/// Files that wait to be compressed; beyond it, a file is requested again after a later check. They
/// hold up to [`FilesOptions::cached_file_bytes_max`](super::FilesOptions) each: 16 MiB by default.
const QUEUE_MAX: usize = 32;

/// The store of compressed files, shared by every core that has a clone of it.
///
/// Dropping the last clone ends its thread, which is started with the first file.
#[derive(Clone)]
pub struct Assets {
    inner: Option<Arc<AssetsInner>>,
}

struct AssetsInner {
    bytes_max: u64,
    /// `None` where no thread could be started.
    jobs: OnceLock<Option<SyncSender<CompressionJob>>>,
    /// Bytes of all prepared forms that are still referenced.
    held: Arc<AtomicU64>,
}

/// The result of a job.
pub(super) enum PreparationOutcome {
    Prepared(Arc<Prepared>),
    /// There was no room. It may be requested again later.
    Declined,
}

/// The place for the outcome of a job.
pub(super) type PreparedSlot = Arc<OnceLock<PreparationOutcome>>;

struct CompressionJob {
    key: FileKey,
    body: Bytes,
    slot: PreparedSlot,
}

impl Assets {
    /// Default of [`new`](Self::new)'s bound: the compressed text of most sites, several times over.
    pub const BYTES_MAX: u64 = 64 * 1024 * 1024;

    /// Keeps at most `bytes_max` bytes of compressed files, over all cores together. Compressing itself takes
    /// some ten mebibytes more, one file at a time, and what is being sent stays until it has left.
    /// Without the feature `compress` nothing is compressed.
    pub fn new(bytes_max: u64) -> Self {
        if cfg!(not(feature = "compress")) {
            return Self::off();
        }
        let (jobs, held) = (OnceLock::new(), Arc::new(AtomicU64::new(0)));
        Self { inner: Some(Arc::new(AssetsInner { bytes_max, jobs, held })) }
    }

    /// Compresses nothing.
    pub fn off() -> Self {
        Self { inner: None }
    }

    /// Most bytes of compressed files; `None` where nothing is compressed.
    pub fn bytes_max(&self) -> Option<u64> {
        self.inner.as_ref().map(|inner| inner.bytes_max)
    }

    /// Whether anything is compressed at all.
    pub(super) fn is_on(&self) -> bool {
        self.inner.is_some()
    }

    /// Asks for the coded forms of a file. `None` when there is no room in the queue.
    pub(super) fn ask(&self, metadata: &Metadata, body: Bytes) -> Option<PreparedSlot> {
        let inner = self.inner.as_ref()?;
        let jobs = inner.jobs.get_or_init(|| start(inner.bytes_max, inner.held.clone())).as_ref()?;
        let slot = PreparedSlot::default();
        let job = CompressionJob { key: FileKey::of(metadata), body, slot: slot.clone() };
        jobs.try_send(job).ok().map(|()| slot)
    }
}

/// Equal if their bounds are: the content of a store is not configuration.
impl PartialEq for Assets {
    fn eq(&self, other: &Self) -> bool {
        let bound = |assets: &Self| assets.inner.as_ref().map(|inner| inner.bytes_max);
        bound(self) == bound(other)
    }
}

impl Eq for Assets {}

impl Default for Assets {
    /// [`new`](Self::new) with [`BYTES_MAX`](Self::BYTES_MAX).
    fn default() -> Self {
        Self::new(Self::BYTES_MAX)
    }
}

impl fmt::Debug for Assets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.inner {
            Some(inner) => write!(f, "Assets({} bytes)", inner.bytes_max),
            None => f.write_str("Assets(off)"),
        }
    }
}

fn start(bytes_max: u64, held: Arc<AtomicU64>) -> Option<SyncSender<CompressionJob>> {
    let (sender, jobs) = sync_channel(QUEUE_MAX);
    let thread = thread::Builder::new().name("quoit-assets".into());
    match thread.spawn(move || work(&jobs, PreparedStore::new(bytes_max, held))) {
        Ok(_) => Some(sender),
        Err(error) => {
            log::line(format_args!("files are served uncompressed: no thread to compress them: {error}"));
            None
        }
    }
}

fn work(jobs: &Receiver<CompressionJob>, mut store: PreparedStore) {
    if let Err(error) = yield_to_workers() {
        log::line(format_args!("files are compressed at the expense of requests: {error}"));
    }
    while let Ok(CompressionJob { key, body, slot }) = jobs.recv() {
        // The core may have evicted the file: a flood of files that are requested once ends here.
        if Arc::strong_count(&slot) == 1 {
            continue;
        }
        let outcome = match store.find(&key) {
            Some(prepared) => PreparationOutcome::Prepared(prepared),
            None => match panic::catch_unwind(|| compress::forms(&body)) {
                Ok(forms) => store.insert(key, forms),
                Err(_) => store.insert(key, Vec::new()),
            },
        };
        // It was empty: only this thread fills slots, and each once.
        let _ = slot.set(outcome);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::time::{Duration, Instant};

    use super::*;

    fn metadata(inode: u64, len: usize) -> Metadata {
        let (is_file, is_dir) = (true, false);
        let (modified_s, modified_ns, changed_ns, device) = (0, 0, 0, 0);
        Metadata { len: len as u64, modified_s, modified_ns, changed_ns, inode, device, is_file, is_dir }
    }

    fn wait(slot: &PreparedSlot) -> Option<Arc<Prepared>> {
        let began = Instant::now();
        loop {
            match slot.get() {
                Some(PreparationOutcome::Prepared(prepared)) => return Some(prepared.clone()),
                Some(PreparationOutcome::Declined) => return None,
                None => thread::sleep(Duration::from_millis(1)),
            }
            assert!(began.elapsed() < Duration::from_secs(20), "the slot stays empty");
        }
    }

    #[test]
    fn two_cores_share_what_one_asked_for() {
        let assets = Assets::default();
        let body = Bytes::from("all work and no play ".repeat(100));
        let first = wait(&assets.ask(&metadata(1, body.len()), body.clone()).unwrap()).unwrap();
        let second = wait(&assets.clone().ask(&metadata(1, body.len()), body.clone()).unwrap()).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        let other = wait(&assets.ask(&metadata(2, body.len()), body).unwrap()).unwrap();
        assert!(!Arc::ptr_eq(&first, &other));
        assert_eq!(first.forms.len(), 3);
    }

    #[test]
    fn a_flood_is_bounded_in_queue_and_memory() {
        let assets = Assets::new(20_000);
        // Text that does not compress to nothing.
        let mut state = 1_u64;
        let mut text = || -> Bytes {
            let digits = (0..8000).map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                b'0' + (state >> 60) as u8 % 10
            });
            digits.collect::<Vec<_>>().into()
        };
        let mut slots = Vec::new();
        let mut refused = 0;
        for inode in 0..300 {
            match assets.ask(&metadata(inode, 8000), text()) {
                Some(slot) => slots.push(slot),
                None => refused += 1,
            }
        }
        assert!(refused > 0, "the queue has an end");
        let held: Vec<_> = slots.iter().filter_map(wait).collect();
        let bytes: usize = held.iter().flat_map(|p| &p.forms).map(|(_, form)| form.len()).sum();
        assert!(!held.is_empty() && bytes <= 20_000, "{bytes} bytes are held");
        let inner = assets.inner.as_ref().unwrap();
        assert!(inner.held.load(Ordering::Relaxed) <= 20_000);
        // Let go of, they make room for others.
        drop((held, slots));
        assert!(wait(&assets.ask(&metadata(1000, 8000), text()).unwrap()).is_some());
    }

    #[test]
    fn what_nobody_waits_for_is_not_made() {
        let assets = Assets::default();
        let body = Bytes::from("x".repeat(400_000));
        let slot = assets.ask(&metadata(1, body.len()), body.clone()).unwrap();
        for inode in 2..20 {
            drop(assets.ask(&metadata(inode, body.len()), body.clone()));
        }
        wait(&slot).unwrap();
        wait(&assets.ask(&metadata(99, body.len()), body).unwrap()).unwrap();
        let held = assets.inner.as_ref().unwrap().held.load(Ordering::Relaxed);
        assert!(held < 8000, "two of twenty: {held}");
    }

    #[test]
    fn off_is_off() {
        assert!(!Assets::off().is_on());
        assert!(Assets::off().ask(&metadata(1, 2000), Bytes::from(vec![b'x'; 2000])).is_none());
    }
}
