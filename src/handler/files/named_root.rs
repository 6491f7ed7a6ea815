//! The root of a site, which is looked up again by its name, so that a deployment may switch a link or
//! replace the directory. Knows no requests.

use std::cell::{Cell, RefCell};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::ring::{Links, Ring, Root};

/// Age at which the name is looked up again. With the 900 ms of a cache entry, which may just have been
/// checked under the old root, a change is visible within a second.
const LOOK_AFTER: Duration = Duration::from_millis(50);

/// A directory by its name.
pub(super) struct NamedRoot {
    /// Absolute, so that it does not depend on a working directory that may be replaced itself. Links are not
    /// resolved: they are what a deployment switches.
    path: PathBuf,
    current: RefCell<Rc<Root>>,
    looked: Cell<Instant>,
}

impl NamedRoot {
    /// Opens the directory. Blocking: for start-up.
    pub(super) fn open(path: &Path, links: Links, now: Instant) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let root = Root::open(&path)?.with_links(links);
        Ok(Self { path, current: RefCell::new(Rc::new(root)), looked: Cell::new(now) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The root as it was last found.
    pub(super) fn current(&self) -> Rc<Root> {
        self.current.borrow().clone()
    }

    /// Whether this is still the root.
    pub(super) fn is_current(&self, root: &Rc<Root>) -> bool {
        Rc::ptr_eq(&self.current.borrow(), root)
    }

    /// Looks the name up if that is due, and returns whether it is another directory now; other requests
    /// meanwhile use the old one. While nothing has the name, as between the two steps of a replacement, the
    /// old directory stays the root.
    pub(super) async fn look(&self, ring: &Ring) -> bool {
        let now = ring.now();
        if now.saturating_duration_since(self.looked.get()) < LOOK_AFTER {
            return false;
        }
        self.looked.set(now);
        let known = self.current();
        match ring.open_replaced(&known, &self.path).await {
            Ok(Some(root)) if self.is_current(&known) => {
                *self.current.borrow_mut() = Rc::new(root);
                true
            }
            Ok(_) | Err(_) => false,
        }
    }
}
