//! All upstreams of a server: where the cores, the thread that watches and the administrator's commands find
//! them.

use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

use super::moment::Epoch;
use super::options::{UpstreamOptions, UpstreamProtocol, UpstreamTls};
use super::state::{EndpointState, UpstreamState, locked};
use super::status::UpstreamStatus;
use super::tls::{ClientTls, TlsConfigs};
use super::watch::{NameState, Wanted, Watcher};

/// All upstreams of a server, by name, and the thread that watches them. Held weakly, so that a plan finds
/// the state of what the plan before it has too, and that of others goes with it.
#[derive(Debug)]
pub struct Upstreams {
    epoch: Epoch,
    // All locked only while a service is built, a host is asked for the first time on a core, a list of
    // addresses changes, or an administrator asks.
    known: Mutex<Vec<Weak<UpstreamState>>>,
    names: Mutex<Vec<Weak<NameState>>>,
    watcher: Mutex<Option<Arc<Watcher>>>,
    tls: Mutex<Vec<Weak<TlsConfigs>>>,
}

impl Default for Upstreams {
    fn default() -> Self {
        let epoch = Epoch::new(Instant::now());
        Self {
            epoch,
            known: Mutex::default(),
            names: Mutex::default(),
            watcher: Mutex::default(),
            tls: Mutex::default(),
        }
    }
}

impl Upstreams {
    /// The state of the upstream with this name.
    pub(crate) fn upstream(&self, name: &str) -> Arc<UpstreamState> {
        let mut known = locked(&self.known);
        known.retain(|state| state.strong_count() > 0);
        let found = known.iter().find_map(|state| state.upgrade().filter(|state| state.name() == name));
        found.unwrap_or_else(|| {
            let state = Arc::new(UpstreamState::new(name, self.epoch));
            known.push(Arc::downgrade(&state));
            state
        })
    }

    /// All upstreams, in the order in which they became known.
    pub(crate) fn all(&self) -> Vec<Arc<UpstreamState>> {
        locked(&self.known).iter().filter_map(Weak::upgrade).collect()
    }

    /// The addresses of a name, which are looked up from now on.
    pub(crate) fn name(&self, wanted: Wanted) -> Arc<NameState> {
        let mut names = locked(&self.names);
        names.retain(|name| name.strong_count() > 0);
        let found = names.iter().find_map(|name| name.upgrade().filter(|name| *name.wanted() == wanted));
        found.unwrap_or_else(|| {
            let name = Arc::new(NameState::of(wanted));
            names.push(Arc::downgrade(&name));
            match self.watcher() {
                Some(watcher) => watcher.look_up(&name),
                None => name.look_up_now(),
            }
            name
        })
    }

    /// What connections with these options are secured with, made now unless it is known and its files have
    /// not changed.
    ///
    /// # Errors
    /// What to change.
    pub(crate) fn tls(&self, options: &UpstreamOptions) -> Result<Option<Arc<ClientTls>>, String> {
        let Some(tls) = &options.tls else { return Ok(None) };
        let configs = self.tls_configs(tls, options.protocol)?;
        Ok(Some(Arc::new(ClientTls::new(tls, configs))))
    }

    /// What [`tls`](Self::tls) is made of, which is found there as long as it is held.
    ///
    /// # Errors
    /// What to change.
    pub(crate) fn tls_configs(
        &self,
        tls: &UpstreamTls,
        protocol: UpstreamProtocol,
    ) -> Result<Arc<TlsConfigs>, String> {
        TlsConfigs::find(&mut locked(&self.tls), tls, protocol)
    }

    /// The watching thread, started now if there is none.
    pub(crate) fn watcher(&self) -> Option<Arc<Watcher>> {
        let mut watcher = locked(&self.watcher);
        if watcher.as_ref().is_none_or(|watcher| !watcher.is_alive()) {
            *watcher = Watcher::start();
        }
        watcher.clone()
    }

    /// What is known of every upstream now, by name.
    pub fn status(&self, now: Instant) -> Vec<UpstreamStatus> {
        let mut all: Vec<_> = self.all().iter().map(|state| UpstreamStatus::of(state, now)).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Gives an endpoint no more requests, or gives it requests again. What is open goes on. `endpoint` is as
    /// it is configured, or as the status shows it; `upstream` none: in all upstreams. Returns how many there
    /// are.
    pub fn set_drained(&self, upstream: Option<&str>, endpoint: &str, drained: bool, now: Instant) -> usize {
        self.each(upstream, endpoint, |of, state| of.set_drained(state, drained, of.moment(now)))
    }

    /// Sets the weight of an endpoint in place of the configured one, or removes it; as with
    /// [`set_drained`](Self::set_drained). A weight of 0 drains.
    pub fn set_weight(&self, upstream: Option<&str>, endpoint: &str, weight: Option<u32>) -> usize {
        self.each(upstream, endpoint, |of, state| of.set_weight(state, weight))
    }

    fn each(
        &self,
        upstream: Option<&str>,
        endpoint: &str,
        act: impl Fn(&UpstreamState, &EndpointState),
    ) -> usize {
        let mut count = 0;
        for of in self.all().iter().filter(|of| upstream.is_none_or(|name| name == of.name())) {
            for state in of.endpoints() {
                let id = state.id();
                if id.to_string() == endpoint || id.configured.to_string() == endpoint {
                    act(of, &state);
                    count += 1;
                }
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::super::moment::Moment;
    use super::super::state::tests::id;
    use super::*;

    #[test]
    fn a_state_lives_as_long_as_it_is_used() {
        let upstreams = Upstreams::default();
        let upstream = upstreams.upstream("a");
        assert!(Arc::ptr_eq(&upstream, &upstreams.upstream("a")));
        assert!(!Arc::ptr_eq(&upstream, &upstreams.upstream("b")));
        let first = upstream.endpoint(&id("127.0.0.1:1"), Moment(1));
        assert!(Arc::ptr_eq(&first, &upstream.endpoint(&id("127.0.0.1:1"), Moment(2))));
        assert!(!Arc::ptr_eq(&first, &upstream.endpoint(&id("127.0.0.1:2"), Moment(2))));
        assert_eq!(upstream.endpoints().len(), 1);
        drop(first);
        assert_eq!((upstream.endpoints().len(), upstreams.all().len()), (0, 1));
    }

    #[test]
    fn an_administrator_drains_and_weighs() {
        let upstreams = Upstreams::default();
        let (one, other) = (upstreams.upstream("one"), upstreams.upstream("other"));
        let a = one.endpoint(&id("127.0.0.1:1"), Moment(1));
        let (b, c) =
            (other.endpoint(&id("127.0.0.1:1"), Moment(1)), other.endpoint(&id("127.0.0.1:2"), Moment(1)));
        let now = Instant::now();
        assert_eq!(upstreams.set_drained(None, "127.0.0.1:1", true, now), 2);
        assert_eq!(upstreams.set_drained(Some("one"), "127.0.0.1:1", false, now), 1);
        assert_eq!(upstreams.set_drained(Some("one"), "127.0.0.1:2", true, now), 0);
        assert_eq!([&a, &b, &c].map(|state| state.is_drained()), [false, true, false]);
        assert_eq!(upstreams.set_weight(None, "127.0.0.1:2", Some(3)), 1);
        assert_eq!((c.weight_set(), other.changes(), one.changes()), (Some(3), 2, 2));
        upstreams.set_weight(None, "127.0.0.1:2", None);
        assert_eq!(c.weight_set(), None);
    }
}
