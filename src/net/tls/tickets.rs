//! Session tickets (RFC 8446 §4.6.1, RFC 5077): stateless, so that every core can resume any session, and
//! sealed with keys that are rotated.
//!
//! A key seals for six hours and opens for six more. An attacker with a stolen key could decrypt recorded
//! sessions that were resumed in that time, so keys exist only in memory.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{error::Unspecified, rand};
use rustls::pki_types::CertificateDer;
use rustls::server::ProducesTickets;
use rustls::server::danger::ClientCertVerifier;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};

use super::client_auth::Verifier;
use super::hello::Fields;

/// How long a key seals tickets. Nonces are random: at 100,000 tickets a second, two of them collide within
/// this time with a probability of one in 30 billion.
pub(super) const SEALING: Duration = Duration::from_secs(6 * 60 * 60);

/// Ticket lifetime sent to the client: how long a key opens tickets after it has stopped sealing.
const LIFETIME: Duration = SEALING;

/// Bytes of the name that identifies the key of a ticket.
const NAME_BYTES: usize = 8;
const TAG_BYTES: usize = 16;

/// Ticket keys of a server, shared by its cores and kept when certificates are replaced.
pub(super) struct TicketKeys {
    pair: ArcSwap<KeyRotation>,
}

/// Seals and opens tickets for one client verifier. A ticket with a client's certificate opens only while
/// that is valid: otherwise the handshake is a full one, in which the client may present a newer one.
#[derive(Debug)]
pub(super) struct Ticketer {
    keys: Arc<TicketKeys>,
    verifier: Arc<dyn ClientCertVerifier>,
    time: Arc<dyn TimeProvider>,
    /// Authenticated with every ticket: a hash of the client verifier. After it changes, a client has to
    /// present its certificate again.
    binding: [u8; 32],
}

struct KeyRotation {
    current: TicketKey,
    previous: Option<TicketKey>,
    /// When the current key becomes the previous one.
    ends: Instant,
}

#[derive(Clone)]
struct TicketKey {
    name: [u8; NAME_BYTES],
    key: Arc<RandomizedNonceKey>,
}

impl TicketKey {
    fn new() -> Result<Self, Unspecified> {
        let mut bytes = [0; 32];
        let mut name = [0; NAME_BYTES];
        rand::fill(&mut bytes)?;
        rand::fill(&mut name)?;
        Ok(Self { name, key: Arc::new(RandomizedNonceKey::new(&AES_256_GCM, &bytes)?) })
    }
}

impl TicketKeys {
    pub(super) fn new(now: Instant) -> Result<Self, Unspecified> {
        let pair = KeyRotation { current: TicketKey::new()?, previous: None, ends: now + SEALING };
        Ok(Self { pair: ArcSwap::from_pointee(pair) })
    }

    /// The keys for `now`; the first caller after the end of the period rotates them.
    fn at(&self, now: Instant) -> Option<arc_swap::Guard<Arc<KeyRotation>>> {
        let pair = self.pair.load();
        if now < pair.ends {
            return Some(pair);
        }
        // After a long idle period the current key may be as old as the previous one may become.
        let previous = (now < pair.ends + SEALING).then(|| pair.current.clone());
        let next = KeyRotation { current: TicketKey::new().ok()?, previous, ends: now + SEALING };
        self.pair.compare_and_swap(&pair, Arc::new(next));
        Some(self.pair.load())
    }

    /// Layout: name, nonce, sealed bytes, tag.
    fn seal(&self, now: Instant, binding: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        let pair = self.at(now)?;
        let mut ticket = Vec::with_capacity(NAME_BYTES + NONCE_LEN + plain.len() + TAG_BYTES);
        ticket.extend_from_slice(&pair.current.name);
        ticket.extend_from_slice(&[0; NONCE_LEN]);
        ticket.extend_from_slice(plain);
        let sealed = &mut ticket[NAME_BYTES + NONCE_LEN..];
        let (nonce, tag) = pair.current.key.seal_in_place_separate_tag(Aad::from(binding), sealed).ok()?;
        ticket[NAME_BYTES..NAME_BYTES + NONCE_LEN].copy_from_slice(nonce.as_ref());
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn open(&self, now: Instant, binding: &[u8], ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME_BYTES>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let pair = self.at(now)?;
        let key = [Some(&pair.current), pair.previous.as_ref()];
        let key = key.into_iter().flatten().find(|key| key.name == *name)?;
        let mut plain = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = key.key.open_in_place(nonce, Aad::from(binding), &mut plain).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }
}

impl Ticketer {
    pub(super) fn new(keys: Arc<TicketKeys>, verifier: &Verifier) -> Self {
        let time = Arc::new(DefaultTimeProvider);
        Self { keys, verifier: verifier.verifier.clone(), time, binding: verifier.binding }
    }

    /// With another clock.
    #[cfg(test)]
    pub(super) fn with_time(self, time: Arc<dyn TimeProvider>) -> Self {
        Self { time, ..self }
    }

    /// Whether the client of this session would be let in now. A session that cannot be read is not resumed.
    fn lets_in(&self, session: &[u8]) -> bool {
        if !self.verifier.offer_client_auth() {
            return true;
        }
        let (Some(chain), Some(now)) = (client_chain(session), self.time.current_time()) else {
            return false;
        };
        match chain.split_first() {
            None => !self.verifier.client_auth_mandatory(),
            Some((leaf, issuers)) => self.verifier.verify_client_cert(leaf, issuers, now).is_ok(),
        }
    }
}

/// The client's certificates in a session as rustls stores it (`ServerSessionValue`); empty if it has none.
/// rustls has no accessor for them; a layout that changes shows in the tests, and then nothing is resumed.
fn client_chain(session: &[u8]) -> Option<Vec<CertificateDer<'_>>> {
    let mut fields = Fields(session);
    if fields.number(1)? == 1 {
        let _server_name = fields.vector(1)?;
    }
    // Version and cipher suite.
    fields.bytes(2 + 2)?;
    let _secret = fields.vector(1)?;
    let _extended_master_secret = fields.bytes(1)?;
    let mut chain = Vec::new();
    if fields.number(1)? == 1 {
        let mut certificates = fields.vector(3)?;
        while !certificates.is_empty() {
            chain.push(certificates.vector(3)?.0.into());
        }
    }
    Some(chain)
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME.as_secs() as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.keys.seal(Instant::now(), &self.binding, plain)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let session = self.keys.open(Instant::now(), &self.binding, ticket)?;
        self.lets_in(&session).then_some(session)
    }
}

/// Keys must not be logged.
impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_ticket_opens_for_as_long_as_it_says_and_no_longer_than_twice_that() {
        let start = Instant::now();
        let keys = TicketKeys::new(start).unwrap();
        let first = keys.seal(start, b"", b"session").unwrap();
        let last = keys.seal(start + SEALING - SECOND, b"", b"session").unwrap();
        assert_ne!(first, last, "a nonce of its own");
        for passed in [Duration::ZERO, SEALING, 2 * SEALING - 2 * SECOND] {
            assert_eq!(keys.open(start + passed, b"", &last).as_deref(), Some(&b"session"[..]), "{passed:?}");
        }
        // The rotation in the last check expires six hours later.
        assert_eq!(keys.open(start + 2 * SEALING + SECOND, b"", &first), None);
        assert_eq!(keys.open(start + 2 * SEALING + SECOND, b"", &last), None);
    }

    #[test]
    fn after_a_long_silence_no_old_key_opens() {
        let start = Instant::now();
        let keys = TicketKeys::new(start).unwrap();
        let ticket = keys.seal(start, b"", b"session").unwrap();
        assert_eq!(keys.open(start + 2 * SEALING, b"", &ticket), None);
    }

    #[test]
    fn nothing_else_opens() {
        let now = Instant::now();
        let keys = TicketKeys::new(now).unwrap();
        let ticket = keys.seal(now, b"one", b"session").unwrap();
        assert_eq!(keys.open(now, b"other", &ticket), None, "another binding");
        assert_eq!(TicketKeys::new(now).unwrap().open(now, b"one", &ticket), None, "another server's");
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(keys.open(now, b"one", &changed), None, "bit in byte {at}");
            assert_eq!(keys.open(now, b"one", &ticket[..at]), None, "cut at {at}");
        }
        assert!(keys.open(now, b"one", &ticket).is_some());
    }
}
