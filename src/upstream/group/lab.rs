//! Groups for tests: one upstream on several cores that are one, with a clock of the test's.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::options::UpstreamOptions;
use super::{Group, NoEndpoint, Outcome, Pick, PickKey, Tried};
use crate::http::status::Status;
use crate::service::CoreContext;

pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const OK: Outcome = Outcome::Response(Status::OK);

pub(super) fn upstream(addresses: &[&str]) -> UpstreamOptions {
    UpstreamOptions::new("a", addresses).unwrap()
}

/// Groups of several cores, with one clock.
pub(super) struct Lab {
    pub(super) cores: Vec<Rc<Group>>,
    pub(super) now: Instant,
}

impl Lab {
    pub(super) fn new(options: &UpstreamOptions, cores: usize, core: &CoreContext) -> Self {
        let options = Arc::new(options.clone());
        let groups = (0..cores).map(|_| Group::new(&options, core).unwrap());
        Self { cores: groups.collect(), now: core.ring.now() }
    }

    pub(super) fn later(&mut self, time: Duration) {
        self.now += time;
    }

    pub(super) fn pick(&self) -> Result<Pick, NoEndpoint> {
        self.cores[0].pick(&PickKey::default(), &Tried::default(), self.now)
    }

    /// One request whose outcome depends on its endpoint's last digit; returns that.
    pub(super) fn request(&self, core: usize, outcome: impl Fn(u8) -> (Outcome, Duration)) -> u8 {
        let pick = self.cores[core].pick(&PickKey::default(), &Tried::default(), self.now);
        let mut pick = pick.expect("an endpoint");
        let digit = digit(&pick);
        let (outcome, latency) = outcome(digit);
        pick.record(outcome, latency, self.now);
        digit
    }

    /// How many of so many requests, one after the other and spread over the cores, go to each endpoint.
    pub(super) fn shares(
        &self,
        count: usize,
        outcome: impl Fn(u8) -> (Outcome, Duration),
    ) -> BTreeMap<u8, usize> {
        let mut shares = BTreeMap::new();
        for request in 0..count {
            *shares.entry(self.request(request % self.cores.len(), &outcome)).or_default() += 1;
        }
        shares
    }
}

pub(super) fn digit(pick: &Pick) -> u8 {
    *pick.endpoint().options().address.to_string().as_bytes().last().unwrap() - b'0'
}

pub(super) fn good(_: u8) -> (Outcome, Duration) {
    (OK, MS)
}
