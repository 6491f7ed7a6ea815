//! Wake-ups of a core's tasks from other threads: by the core's number to the set of its woken tasks, and by
//! an event from any wait. The set and the register of cores have locks, which the core itself takes only
//! after the event: wake-ups on a core never come here.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::wake::WakeUp;

/// The cores of this process that can be woken, by number.
static CORES: RwLock<BTreeMap<u16, Arc<Shared>>> = RwLock::new(BTreeMap::new());

struct Shared {
    /// Each task once, so that no thread can make it longer than the core's tasks are many.
    woken: Mutex<BTreeSet<u32>>,
    wake: WakeUp,
}

/// Wakes a task of another thread's core, if that core still exists.
#[cold]
pub(super) fn ring(core: u16, task: u32) {
    let cores = CORES.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(shared) = cores.get(&core) {
        shared.woken.lock().unwrap_or_else(PoisonError::into_inner).insert(task);
        shared.wake.raise();
    }
}

/// A core's own end; while it exists the core has its number.
pub(super) struct Doorbell {
    core: u16,
    shared: Arc<Shared>,
}

impl Doorbell {
    /// For a core that sleeps on `parked`.
    ///
    /// # Errors
    /// The kernel's, when it has no descriptors; when all numbers are taken.
    pub(super) fn new(parked: impl AsFd) -> io::Result<Self> {
        let shared = Arc::new(Shared { woken: Mutex::default(), wake: WakeUp::new()? });
        shared.wake.attach(parked)?;
        let mut cores = CORES.write().unwrap_or_else(PoisonError::into_inner);
        // From 1, so that no task's number together with its core's is 0.
        let free = (1..=u16::MAX).find(|core| !cores.contains_key(core));
        let core = free.ok_or_else(|| io::Error::other("65,535 rings are the most"))?;
        cores.insert(core, shared.clone());
        drop(cores);
        Ok(Self { core, shared })
    }

    pub(super) fn core(&self) -> u16 {
        self.core
    }

    /// Readable after a wake-up.
    pub(super) fn event(&self) -> &WakeUp {
        &self.shared.wake
    }

    /// The tasks that were woken since the last call.
    pub(super) fn answer(&self) -> BTreeSet<u32> {
        self.shared.wake.clear();
        std::mem::take(&mut *self.shared.woken.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Doorbell {
    fn drop(&mut self) {
        CORES.write().unwrap_or_else(PoisonError::into_inner).remove(&self.core);
    }
}
