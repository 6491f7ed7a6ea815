//! Addresses of names, looked up again and again: by the system (`getaddrinfo`: files, DNS, whatever it is
//! configured for), which does not tell how long an answer is valid.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::pin::pin;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::observe::log;
use crate::ring::Ring;
use crate::upstream::state::UpstreamState;

/// Time between two look-ups. The system's resolver or its cache answers most of them; with more, changes
/// would be noticed later than most names' lifetimes allow.
const INTERVAL: Duration = Duration::from_secs(5);

/// After a failure, while no address is known.
const RETRY: Duration = Duration::from_millis(500);

/// A resolver that does not answer: then the look-up counts as failed, and its answer is taken when it comes.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Addresses of one name that are used. More come from mistakes, and each costs checks and connections.
const ADDRESSES_MAX: usize = 256;

/// The addresses of one host, for one port.
#[derive(Debug)]
pub(crate) struct NameState {
    host: String,
    port: u16,
    addresses: ArcSwap<Vec<SocketAddr>>,
    /// Look-ups that have ended.
    ended: AtomicU64,
    failure: Mutex<Option<String>>,
    users: Mutex<Vec<Weak<UpstreamState>>>,
}

impl NameState {
    pub(crate) fn new(host: &str, port: u16) -> Self {
        Self {
            host: host.to_owned(),
            port,
            addresses: ArcSwap::default(),
            ended: AtomicU64::default(),
            failure: Mutex::default(),
            users: Mutex::default(),
        }
    }

    pub(crate) fn is(&self, host: &str, port: u16) -> bool {
        self.host == host && self.port == port
    }

    /// The addresses of the latest look-up that succeeded, sorted.
    pub(crate) fn addresses(&self) -> Arc<Vec<SocketAddr>> {
        self.addresses.load_full()
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
        self.take(look_up(&self.host, self.port));
    }

    /// Sets the addresses, where another looks them up than the thread that watches.
    pub(crate) fn set(&self, addresses: Vec<SocketAddr>) {
        self.take(Ok(addresses));
    }

    /// Takes the outcome of a look-up. After a failure the addresses stay: they may still work.
    pub(super) fn take(&self, outcome: io::Result<Vec<SocketAddr>>) {
        let known = self.addresses();
        let (addresses, failure) = match outcome {
            Ok(addresses) => (Some(addresses), None),
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
            log::line(format_args!("the upstream host {} cannot be looked up ({why}): {rest}", self.host));
        }
        let changed = addresses.filter(|addresses| *addresses != *known);
        let has_changed = changed.is_some();
        if let Some(addresses) = changed {
            self.addresses.store(Arc::new(addresses));
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
    watch_by(name, ring, TIMEOUT, look_up).await;
}

async fn watch_by(
    name: Weak<NameState>,
    ring: Ring,
    timeout: Duration,
    look_up: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Clone + Send + 'static,
) {
    loop {
        let Some(state) = name.upgrade() else { return };
        let (host, port) = (state.host.clone(), state.port);
        let look_up = look_up.clone();
        let mut looking = pin!(ring.blocking(move || look_up(&host, port)));
        let found = match ring.within(timeout, looking.as_mut()).await {
            Some(found) => found,
            None => {
                state.take(Err(io::ErrorKind::TimedOut.into()));
                // No second one beside it: a resolver that hangs would take a thread for each, of which other
                // names need some.
                looking.await
            }
        };
        state.take(found);
        let pause = if state.addresses().is_empty() { RETRY } else { INTERVAL };
        // Not held meanwhile, so that a name without users is forgotten.
        drop(state);
        ring.sleep(pause).await;
    }
}

/// `localhost` is 127.0.0.1: it has two addresses on most machines, and servers for development listen on
/// one.
pub(crate) fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))]);
    }
    let mut addresses: Vec<_> = (host, port).to_socket_addrs()?.collect();
    addresses.sort_unstable();
    addresses.dedup();
    let mut reachable = addresses.clone();
    let (has_v4, has_v6) = (has_route(&addresses, false), has_route(&addresses, true));
    reachable.retain(|addr| if addr.is_ipv4() { has_v4 } else { has_v6 });
    // Without any route the error of the connection is the clearest.
    let mut used = if reachable.is_empty() { addresses } else { reachable };
    used.truncate(ADDRESSES_MAX);
    if used.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(used) }
}

/// Whether this machine has a route to the first of these addresses of a family: many have none for IPv6, and
/// names have addresses of both. A datagram socket that is connected sends nothing.
fn has_route(addresses: &[SocketAddr], v6: bool) -> bool {
    let Some(first) = addresses.iter().find(|addr| addr.is_ipv6() == v6) else { return false };
    let unspecified: IpAddr = if v6 { [0_u16; 8].into() } else { [0, 0, 0, 0].into() };
    UdpSocket::bind((unspecified, 0)).and_then(|socket| socket.connect(first)).is_ok()
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

    fn addr(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 80))
    }

    #[test]
    fn changes_are_told_and_failures_change_nothing() {
        let upstream = upstream();
        let name = NameState::new("a.test", 80);
        name.add_user(&upstream);
        name.add_user(&upstream);
        assert!(name.is_pending() && name.addresses().is_empty());
        name.take(Ok(vec![addr(1), addr(2)]));
        assert!(!name.is_pending());
        assert_eq!((upstream.changes(), name.addresses().len()), (1, 2));
        name.take(Ok(vec![addr(1), addr(2)]));
        name.take(Err(io::ErrorKind::TimedOut.into()));
        assert_eq!((upstream.changes(), name.addresses().len()), (1, 2));
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
            let hang = move |_: &str, _| {
                counted.fetch_add(1, Release);
                let _ = hanging.lock().unwrap().recv();
                Ok(vec![addr(1)])
            };
            let (name, ring) = (Arc::new(NameState::new("a.test", 80)), core.ring);
            let watching = watch_by(Arc::downgrade(&name), ring.clone(), Duration::from_millis(1), hang);
            ring.spawn(watching, |_| {});
            while name.failure().is_none() {
                ring.sleep(Duration::from_millis(1)).await;
            }
            ring.sleep(RETRY + Duration::from_millis(200)).await;
            assert_eq!((calls.load(Acquire), name.addresses().len()), (1, 0));
            release.send(()).unwrap();
            while name.addresses().is_empty() {
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
