//! Addresses of names, looked up again and again: hosts by the system (`getaddrinfo`: files, DNS, whatever it
//! is configured for), which does not tell how long an answer holds; services, and hosts of upstreams with
//! a name server of their own, by [`dns`], which does.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::pin::pin;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::dns;
use super::wanted::{Answer, Found, Wanted, usable};
use crate::observe::log;
use crate::ring::Ring;
use crate::upstream::state::UpstreamState;

/// Time between two look-ups by the system. Its resolver or cache answers most of them; with more, changes
/// would be noticed later than most names' lifetimes allow.
const INTERVAL: Duration = Duration::from_secs(5);

/// After a failure, while no address is known.
const RETRY: Duration = Duration::from_millis(500);

/// A resolver that does not answer: then the look-up counts as failed, and its answer is taken when it comes.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The addresses of one name.
#[derive(Debug)]
pub(crate) struct NameState {
    wanted: Wanted,
    found: ArcSwap<Vec<Found>>,
    /// Look-ups that have ended.
    ended: AtomicU64,
    failure: Mutex<Option<String>>,
    users: Mutex<Vec<Weak<UpstreamState>>>,
}

impl NameState {
    /// Of a host, by the system.
    pub(crate) fn new(host: &str, port: u16) -> Self {
        Self::of(Wanted { name: host.to_owned(), port: Some(port), resolver: None })
    }

    pub(crate) fn of(wanted: Wanted) -> Self {
        Self {
            wanted,
            found: ArcSwap::default(),
            ended: AtomicU64::default(),
            failure: Mutex::default(),
            users: Mutex::default(),
        }
    }

    pub(crate) fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// The addresses of the latest look-up that succeeded, sorted.
    pub(crate) fn found(&self) -> Arc<Vec<Found>> {
        self.found.load_full()
    }

    /// Whether the first look-up is not over yet.
    pub(crate) fn is_pending(&self) -> bool {
        self.ended.load(Acquire) == 0
    }

    /// Why the latest look-up failed.
    #[cfg(test)]
    fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells this upstream of changes from now on.
    pub(crate) fn add_user(&self, upstream: &Arc<UpstreamState>) {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        users.retain(|user| user.strong_count() > 0);
        let user = Arc::downgrade(upstream);
        if !users.iter().any(|known| known.ptr_eq(&user)) {
            users.push(user);
        }
    }

    /// Looks the name up on this thread.
    pub(crate) fn look_up_now(&self) {
        self.take(look_up_wanted(&self.wanted).map(|answer| answer.found));
    }

    /// Sets the addresses, where another looks them up than the thread that watches.
    pub(crate) fn set(&self, addresses: Vec<SocketAddr>) {
        self.take(Ok(addresses.into_iter().map(Found::from).collect()));
    }

    /// Takes the outcome of a look-up. After a failure the addresses stay: they may still work.
    pub(super) fn take(&self, outcome: io::Result<Vec<Found>>) {
        let known = self.found();
        let (found, failure) = match outcome {
            Ok(found) => (Some(found), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let is_news = {
            let mut before = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *before, failure.clone()).is_some() != failure.is_some()
        };
        if let (true, Some(why)) = (is_news, &failure) {
            let rest = match known.len() {
                0 => "it has no address, and its endpoints get no requests".to_owned(),
                count => format!("its {count} known addresses stay in use"),
            };
            let name = &self.wanted.name;
            log::line(format_args!("the upstream host {name} cannot be looked up ({why}): {rest}"));
        }
        let changed = found.filter(|found| *found != *known);
        let has_changed = changed.is_some();
        if let Some(found) = changed {
            self.found.store(Arc::new(found));
        }
        let is_first = self.ended.fetch_add(1, Release) == 0;
        if has_changed || is_first {
            let users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
            users.iter().filter_map(Weak::upgrade).for_each(|user| user.changed());
        }
    }
}

/// Looks a name up at intervals, as long as it is used.
pub(super) async fn watch(name: Weak<NameState>, ring: Ring) {
    watch_by(name, ring, TIMEOUT, look_up_wanted).await;
}

async fn watch_by(
    name: Weak<NameState>,
    ring: Ring,
    timeout: Duration,
    look_up: impl Fn(&Wanted) -> io::Result<Answer> + Clone + Send + 'static,
) {
    loop {
        let Some(state) = name.upgrade() else { return };
        let (wanted, look_up) = (state.wanted.clone(), look_up.clone());
        let mut looking = pin!(ring.blocking(move || look_up(&wanted)));
        let answer = match ring.within(timeout, looking.as_mut()).await {
            Some(answer) => answer,
            None => {
                state.take(Err(io::ErrorKind::TimedOut.into()));
                // No second one beside it: a resolver that hangs would take a thread for each, of which other
                // names need some.
                looking.await
            }
        };
        let valid = answer.as_ref().map_or(INTERVAL, |answer| answer.valid);
        state.take(answer.map(|answer| answer.found));
        let pause = if state.found().is_empty() { RETRY } else { valid };
        // Not held meanwhile, so that a name without users is forgotten.
        drop(state);
        ring.sleep(pause).await;
    }
}

/// Looks it up on this thread.
///
/// # Errors
/// There is nothing, or no server answers.
pub(crate) fn look_up_wanted(wanted: &Wanted) -> io::Result<Answer> {
    match wanted {
        Wanted { name, port: Some(port), resolver } if resolver.is_none() || is_local(name) => {
            let found = look_up(name, *port)?.into_iter().map(Found::from).collect();
            Ok(Answer { found, valid: INTERVAL })
        }
        _ => dns::look_up(wanted),
    }
}

/// `localhost` is 127.0.0.1: it has two addresses on most machines, and servers for development listen on
/// one.
pub(crate) fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if is_local(host) {
        return Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))]);
    }
    let mut addresses: Vec<_> = (host, port).to_socket_addrs()?.collect();
    addresses.sort_unstable();
    addresses.dedup();
    let used = usable(addresses);
    if used.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(used) }
}

fn is_local(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;
    use crate::upstream::moment::Epoch;

    fn upstream() -> Arc<UpstreamState> {
        Arc::new(UpstreamState::new("a", Epoch::new(Instant::now())))
    }

    fn addr(last: u8) -> Found {
        SocketAddr::from(([10, 0, 0, last], 80)).into()
    }

    #[test]
    fn changes_are_told_and_failures_change_nothing() {
        let upstream = upstream();
        let name = NameState::new("a.test", 80);
        name.add_user(&upstream);
        name.add_user(&upstream);
        assert!(name.is_pending() && name.found().is_empty());
        name.take(Ok(vec![addr(1), addr(2)]));
        assert!(!name.is_pending());
        assert_eq!((upstream.changes(), name.found().len()), (1, 2));
        name.take(Ok(vec![addr(1), addr(2)]));
        name.take(Err(io::ErrorKind::TimedOut.into()));
        assert_eq!((upstream.changes(), name.found().len()), (1, 2));
        assert!(name.failure().is_some());
        name.take(Ok(vec![addr(2)]));
        assert_eq!((upstream.changes(), name.failure()), (2, None));
    }

    #[test]
    fn the_first_failure_ends_the_wait() {
        let (upstream, name) = (upstream(), NameState::new("a.test", 80));
        name.add_user(&upstream);
        name.take(Err(io::ErrorKind::NotFound.into()));
        assert!(!name.is_pending());
        assert_eq!(upstream.changes(), 1);
    }

    #[test]
    fn a_resolver_that_hangs_has_one_thread_and_is_heard_when_it_answers() {
        crate::harness::on_core(async |core| {
            let (release, hanging) = mpsc::channel::<()>();
            let (hanging, calls) = (Arc::new(Mutex::new(hanging)), Arc::new(AtomicU64::new(0)));
            let counted = calls.clone();
            let hang = move |_: &Wanted| {
                counted.fetch_add(1, Release);
                let _ = hanging.lock().unwrap().recv();
                Ok(Answer { found: vec![addr(1)], valid: INTERVAL })
            };
            let (name, ring) = (Arc::new(NameState::new("a.test", 80)), core.ring);
            let watching = watch_by(Arc::downgrade(&name), ring.clone(), Duration::from_millis(1), hang);
            ring.spawn(watching, |_| {});
            while name.failure().is_none() {
                ring.sleep(Duration::from_millis(1)).await;
            }
            ring.sleep(RETRY + Duration::from_millis(200)).await;
            assert_eq!((calls.load(Acquire), name.found().len()), (1, 0));
            release.send(()).unwrap();
            while name.found().is_empty() {
                ring.sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(name.failure(), None);
        });
    }

    #[test]
    fn localhost_and_numbers_need_no_resolver() {
        assert_eq!(look_up("localhost", 80).unwrap(), [SocketAddr::from(([127, 0, 0, 1], 80))]);
        assert_eq!(look_up("127.0.0.2", 80).unwrap(), [SocketAddr::from(([127, 0, 0, 2], 80))]);
        assert!(look_up("no.such.name.invalid", 80).is_err());
    }
}
