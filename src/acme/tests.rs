//! Renewals against a test CA, with a simulated clock and a failing disk: years and crashes within
//! milliseconds. `tests/acme.rs` tests the sockets.

#[path = "../../tests/acme/authority.rs"]
mod authority;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::sign::CertifiedKey;

use self::authority::{Authority, Mishap, Probe};
use super::client::AcmeClient;
use super::jws::{AccountKey, Binding};
use super::names::Names;
use super::pace::{Clock, Stopped};
use super::proof::{ChallengeType, Front};
use super::renewal::Keeper;
use super::schedule::Backoff;
use super::state::{StateDir, StoredCertificate};
use super::transport::{AcmeReply, AcmeRequest, Transport, TransportError};
use crate::net::tls::TlsError;

const DAY: Duration = Duration::from_secs(86_400);
const BASE: &str = "https://ca.example";
/// More than any of these tests needs.
const REQUESTS_MAX: usize = 10_000;
const DIRECTORY: &str = "https://ca.example/dir";

/// Sleep returns at once and advances the time; at `end` the server stops.
struct Jumping {
    now: Mutex<SystemTime>,
    end: Mutex<SystemTime>,
    stopped: Mutex<bool>,
    sleeps: Mutex<Vec<Duration>>,
}

impl Clock for Jumping {
    fn now(&self) -> SystemTime {
        *self.now.lock().unwrap()
    }

    fn sleep(&self, time: Duration) -> Result<(), Stopped> {
        let mut now = self.now.lock().unwrap();
        if *now + time > *self.end.lock().unwrap() {
            *self.stopped.lock().unwrap() = true;
            return Err(Stopped);
        }
        *now += time;
        self.sleeps.lock().unwrap().push(time);
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        *self.stopped.lock().unwrap()
    }
}

/// The provisioned responses.
#[derive(Default)]
struct Listeners {
    tokens: Mutex<HashMap<String, String>>,
    certificates: Mutex<HashMap<String, Arc<CertifiedKey>>>,
    reloads: Mutex<u32>,
}

impl Front for Listeners {
    fn put_token(&self, token: &str, key_authorization: &str) {
        self.tokens.lock().unwrap().insert(token.to_owned(), key_authorization.to_owned());
    }

    fn remove_token(&self, token: &str) {
        self.tokens.lock().unwrap().remove(token).expect("it was put there");
    }

    fn put_certificate(&self, name: &str, certificate: Arc<CertifiedKey>) {
        self.certificates.lock().unwrap().insert(name.to_owned(), certificate);
    }

    fn remove_certificate(&self, name: &str) {
        self.certificates.lock().unwrap().remove(name).expect("it was put there");
    }

    fn reload(&self) -> Result<(), TlsError> {
        *self.reloads.lock().unwrap() += 1;
        Ok(())
    }
}

/// The test CA without a network.
struct Wire {
    authority: Arc<Mutex<Authority>>,
    clock: Arc<Jumping>,
}

impl Transport for Wire {
    fn exchange(&mut self, request: &AcmeRequest<'_>) -> Result<AcmeReply, TransportError> {
        let path = request.url.strip_prefix(BASE).expect("URLs of the authority alone");
        let mut authority = self.authority.lock().unwrap();
        assert!(authority.asked.len() < REQUESTS_MAX, "requests without end");
        authority.now = self.clock.now();
        let answer = authority.handle(request.method.as_str(), path, request.body);
        let broken = || TransportError::Broken { authority: BASE.into(), error: io::Error::other("reset") };
        let answer = answer.ok_or_else(broken)?;
        Ok(AcmeReply { status: answer.status, fields: answer.fields, body: answer.body })
    }
}

struct Lab {
    directory: tempfile::TempDir,
    authority: Arc<Mutex<Authority>>,
    listeners: Arc<Listeners>,
    clock: Arc<Jumping>,
    challenge: ChallengeType,
    binding: Option<Binding>,
    names: Names,
}

impl Lab {
    fn new() -> Self {
        Self::proving(ChallengeType::Http01)
    }

    fn proving(challenge: ChallengeType) -> Self {
        let listeners = Arc::new(Listeners::default());
        let seen = listeners.clone();
        let look = move |probe: &Probe| match probe.kind {
            "http-01" if seen.tokens.lock().unwrap().get(&probe.token) == Some(&probe.key_authorization) => {
                Ok(())
            }
            "tls-alpn-01" if seen.certificates.lock().unwrap().contains_key(&probe.domain) => Ok(()),
            kind => Err(format!("{kind} of {} is not answered", probe.domain)),
        };
        let now = Mutex::new(UNIX_EPOCH + 20_000 * DAY);
        let end = Mutex::new(UNIX_EPOCH + 20_001 * DAY);
        Self {
            directory: tempfile::tempdir().unwrap(),
            authority: Arc::new(Mutex::new(Authority::new(BASE, Box::new(look)))),
            listeners,
            clock: Arc::new(Jumping { now, end, stopped: Mutex::default(), sleeps: Mutex::default() }),
            challenge,
            binding: None,
            names: "a.example,www.a.example".parse().unwrap(),
        }
    }

    fn root(&self) -> &Path {
        self.directory.path()
    }

    fn state(&self) -> StateDir {
        StateDir::open(self.root(), DIRECTORY).unwrap()
    }

    /// Runs the renewals for this long.
    fn run_for(&self, time: Duration) {
        self.run_with(self.state(), time);
    }

    fn run_with(&self, state: StateDir, time: Duration) {
        *self.clock.end.lock().unwrap() = self.clock.now() + time;
        *self.clock.stopped.lock().unwrap() = false;
        let (authority, clock) = (self.authority.clone(), self.clock.clone());
        let wire = move || Wire { authority: authority.clone(), clock: clock.clone() };
        let keeper = Keeper {
            directory: DIRECTORY.into(),
            contact: Some("admin@a.example".into()),
            binding: self.binding.clone(),
            challenge: self.challenge.clone(),
            backoff: Backoff::default(),
            state: Arc::new(state),
            front: self.listeners.clone(),
            clock: self.clock.clone(),
            transport: Box::new(move || Box::new(wire())),
        };
        keeper.run(vec![self.names.clone()]);
        assert!(self.listeners.tokens.lock().unwrap().is_empty(), "answers are taken away");
        assert!(self.listeners.certificates.lock().unwrap().is_empty(), "answers are taken away");
    }

    fn authority(&self) -> std::sync::MutexGuard<'_, Authority> {
        self.authority.lock().unwrap()
    }

    /// Remaining validity of the stored certificate.
    fn left(&self) -> Option<Duration> {
        match self.state().certificate(self.names.first()).unwrap() {
            StoredCertificate::Found(facts) => facts.not_after.duration_since(self.clock.now()).ok(),
            StoredCertificate::None => None,
            StoredCertificate::Damaged(why) => panic!("{why}"),
        }
    }

    fn reloads(&self) -> u32 {
        *self.listeners.reloads.lock().unwrap()
    }

    /// Sleeps of at least a minute: those between attempts.
    fn waits(&self) -> Vec<u64> {
        let sleeps = self.clock.sleeps.lock().unwrap();
        sleeps.iter().map(Duration::as_secs).filter(|&seconds| seconds >= 60).collect()
    }
}

#[test]
fn a_certificate_is_got_at_the_start() {
    for challenge in [ChallengeType::Http01, ChallengeType::TlsAlpn01] {
        let lab = Lab::proving(challenge);
        lab.run_for(Duration::from_secs(30));
        assert_eq!(lab.left(), Some(90 * DAY));
        assert_eq!((lab.reloads(), lab.authority().certificates()), (1, 1));
        assert_eq!(lab.authority().contact().to_string(), r#"["mailto:admin@a.example"]"#);
    }
}

#[test]
fn years_pass_with_one_account_and_a_certificate_at_any_moment() {
    let lab = Lab::new();
    for day in 0..730 {
        lab.run_for(DAY);
        let left = lab.left().unwrap_or_default();
        assert!(left >= 28 * DAY, "{left:?} left on day {day}");
        *lab.clock.now.lock().unwrap() += Duration::from_secs(1);
    }
    let authority = lab.authority();
    assert_eq!(authority.accounts(), 1);
    // Each lives 57 to 60 of its 90 days.
    assert!((12..=13).contains(&authority.certificates()), "{}", authority.certificates());
}

#[test]
fn a_restart_uses_what_is_there() {
    let lab = Lab::new();
    lab.run_for(Duration::from_secs(30));
    let asked = lab.authority().asked.len();
    lab.run_for(DAY);
    assert_eq!((lab.authority().certificates(), lab.reloads()), (1, 1));
    let authority = lab.authority();
    // RFC 9773 is asked for, and not offered here.
    assert_eq!(authority.asked[asked..], ["dir"]);
}

#[test]
fn other_names_are_another_certificate() {
    let mut lab = Lab::new();
    lab.run_for(Duration::from_secs(30));
    lab.names = "a.example,b.example".parse().unwrap();
    lab.run_for(Duration::from_secs(30));
    assert_eq!(lab.authority().certificates(), 2);
    lab.names = "a.example".parse().unwrap();
    lab.run_for(Duration::from_secs(30));
    assert_eq!(lab.authority().certificates(), 2, "the one there is good for fewer names too");
}

#[test]
fn what_passes_is_tried_again_at_once() {
    let endpoints =
        ["dir", "new-nonce", "new-acct", "new-order", "authz", "chall", "order", "finalize", "cert"];
    for endpoint in endpoints {
        for mishap in [Mishap::Reset, Mishap::Ill(500), Mishap::Ill(503), Mishap::BadNonce] {
            let lab = Lab::new();
            lab.authority().mishaps.push_back((endpoint, mishap.clone()));
            lab.run_for(Duration::from_secs(59));
            assert!(lab.left() > Some(89 * DAY), "{mishap:?} at {endpoint}");
            assert!(lab.authority().mishaps.is_empty(), "{endpoint} was asked");
            assert_eq!(lab.authority().accounts(), 1);
        }
    }
    let lab = Lab::new();
    for _ in 0..8 {
        lab.authority().mishaps.push_back(("new-order", Mishap::BadNonce));
    }
    lab.run_for(Duration::from_secs(59));
    assert!(lab.left().is_some(), "even eight nonces in a row");
}

#[test]
fn slow_authorities_are_awaited() {
    let lab = Lab::new();
    lab.authority().slowness = 5;
    lab.run_for(Duration::from_secs(300));
    assert!(lab.left().is_some());
    assert_eq!(lab.authority().orders(), 1);
}

#[test]
fn an_authority_that_never_ends_is_given_up_and_its_order_taken_up_again() {
    let lab = Lab::new();
    lab.authority().slowness = 200;
    lab.run_for(Duration::from_secs(900));
    assert!(lab.left().is_none());
    lab.authority().slowness = 0;
    lab.run_for(DAY);
    assert!(lab.left().is_some());
    assert_eq!(lab.authority().orders(), 1, "the same one");
}

#[test]
fn failures_are_spaced_and_the_next_success_is_in_time() {
    let lab = Lab::new();
    lab.run_for(Duration::from_secs(30));
    // The CA fails from the day of renewal on, for three weeks.
    let ill: Vec<_> = (0..150).map(|_| ("dir", Mishap::Ill(500))).collect();
    *lab.clock.now.lock().unwrap() += 61 * DAY;
    lab.clock.sleeps.lock().unwrap().clear();
    lab.authority().mishaps.extend(ill);
    lab.run_for(23 * DAY);
    let tries = (150 - lab.authority().mishaps.len()) / 3;
    assert!((20..=32).contains(&tries), "{tries} tries: seven on the first day, then one a day");
    let waits = lab.waits();
    assert!((60..=75).contains(&waits[0]), "the first wait: {waits:?}");
    assert!((180..=225).contains(&waits[1]), "the second: {waits:?}");
    lab.authority().mishaps.clear();
    lab.run_for(2 * DAY);
    assert!(lab.left().unwrap() > 85 * DAY, "and still before the end of the old one");
}

#[test]
fn the_authoritys_word_on_when_to_come_back_is_honoured() {
    for endpoint in ["new-acct", "new-order", "finalize"] {
        let lab = Lab::new();
        lab.authority().mishaps.push_back((endpoint, Mishap::RateLimited(3 * 86_400)));
        lab.run_for(3 * DAY - Duration::from_secs(60));
        assert!(lab.left().is_none());
        let asked = lab.authority().asked.len();
        lab.run_for(Duration::from_secs(1));
        assert_eq!(lab.left(), Some(90 * DAY), "a restart may try at once");
        assert!(lab.authority().asked.len() > asked);
        assert!(lab.authority().orders() <= 1, "an order that was begun is finished");
    }
    let lab = Lab::new();
    lab.authority().mishaps.push_back(("new-order", Mishap::RateLimited(3 * 86_400)));
    lab.run_for(4 * DAY);
    assert!(lab.left().is_some());
    assert!(lab.waits().iter().sum::<u64>() >= 3 * 86_400);
}

#[test]
fn names_that_are_not_proved_cost_their_order() {
    let mut lab = Lab::new();
    // The CA offers a challenge type that this front does not answer.
    lab.authority().offered = vec!["dns-01"];
    lab.run_for(Duration::from_secs(30));
    assert!(lab.left().is_none());
    lab.authority().offered = vec!["http-01"];
    lab.run_for(Duration::from_secs(30));
    assert_eq!((lab.left(), lab.authority().orders()), (Some(90 * DAY), 2));

    lab = Lab::proving(ChallengeType::TlsAlpn01);
    lab.names = "b.example".parse().unwrap();
    let blind = |probe: &Probe| Err(format!("nobody is at {}", probe.domain));
    lab.authority = Arc::new(Mutex::new(Authority::new(BASE, Box::new(blind))));
    lab.run_for(Duration::from_secs(100));
    assert!(lab.left().is_none());
    assert_eq!(lab.authority().orders(), 2, "a failed order is not taken up again");
}

#[test]
fn a_forgotten_account_is_made_again_with_the_same_key() {
    let lab = Lab::new();
    lab.run_for(Duration::from_secs(30));
    lab.authority().forget_accounts();
    *lab.clock.now.lock().unwrap() += 61 * DAY;
    lab.run_for(Duration::from_secs(30));
    assert_eq!((lab.left(), lab.authority().accounts()), (Some(90 * DAY), 1));
}

#[test]
fn accounts_are_bound_where_that_is_demanded() {
    let mut lab = Lab::new();
    lab.authority().binding = Some(("kid-1".into(), vec![0, 1, 2, 3]));
    lab.run_for(Duration::from_secs(30));
    assert!(lab.left().is_none());
    let wire = Wire { authority: lab.authority.clone(), clock: lab.clock.clone() };
    let mut client = AcmeClient::connect(Box::new(wire), lab.clock.clone(), DIRECTORY).unwrap();
    let told = client.account(&AccountKey::generate(), None, None).unwrap_err().to_string();
    assert!(told.contains("--acme-eab"), "{told}");
    lab.binding = Some(Binding::new("kid-1", "AAECAw").unwrap());
    lab.run_for(Duration::from_secs(30));
    assert!(lab.left().is_some());
}

#[test]
fn the_authority_may_suggest_when_to_renew() {
    let lab = Lab::new();
    // Days 20 and 21 of the certificate's 90: revocation is imminent.
    lab.authority().window = Some(("2024-10-24T00:00:00Z".into(), "2024-10-25T00:00:00Z".into()));
    assert_eq!(super::schedule::rfc3339("2024-10-24T00:00:00Z"), Some(UNIX_EPOCH + 20_020 * DAY));
    lab.run_for(20 * DAY - Duration::from_secs(1));
    assert_eq!(lab.authority().certificates(), 1);
    lab.run_for(DAY + Duration::from_secs(7200));
    let authority = lab.authority();
    assert!(authority.certificates() >= 2);
    assert_eq!(authority.replaced.len() + 1, authority.orders(), "orders tell what they replace");
}

/// A crash loses at most the work since the last disk step; never an account or a presented certificate. The
/// disk is that of a first certificate and of its renewal.
#[test]
fn a_crash_at_any_step_is_survived() {
    for renewing in [false, true] {
        let mut crashes = 0;
        loop {
            let lab = Lab::new();
            if renewing {
                lab.run_for(Duration::from_secs(30));
                *lab.clock.now.lock().unwrap() += 61 * DAY;
            }
            let state = lab.state();
            let crash = state.crash().clone();
            crash.at(crashes);
            lab.run_with(state, Duration::from_secs(30));
            let crashed = crash.steps() > crashes;
            if renewing {
                assert!(lab.left().is_some(), "the old or the new, at step {crashes}");
            }
            lab.run_for(Duration::from_secs(30));
            assert_eq!(lab.left(), Some(90 * DAY), "step {crashes}");
            let authority = lab.authority();
            assert_eq!(authority.accounts(), 1, "step {crashes}");
            let wanted = 1 + usize::from(renewing);
            assert!((wanted..=wanted + 1).contains(&authority.orders()), "step {crashes}");
            drop(authority);
            let files = std::fs::read_dir(lab.root().join("ca.example_dir")).unwrap();
            let mut files: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
            files.sort();
            assert_eq!(files, ["a.example.pem", "account.json"], "nothing is left over");
            if !crashed {
                break;
            }
            crashes += 1;
        }
        // The account twice, order and certificate, with five steps each, and two for the removal of the
        // order.
        assert_eq!(crashes, if renewing { 12 } else { 22 });
    }
}
