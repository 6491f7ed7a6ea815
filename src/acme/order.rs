//! One order, from its creation or from the state that a crash has left, to a stored certificate.
//!
//! ```text
//! new ─► validate each name ─► ready ─► finalize ─► processing ─► valid ─► download, check, store
//! ```

use std::time::Duration;

use super::certificate;
use super::client::{Account, AcmeClient, Polled};
use super::error::AcmeError;
use super::jws::base64url;
use super::messages::{AcmeProblem, AuthorizationStatus, Order, OrderStatus};
use super::pace::Clock;
use super::proof::{self, ChallengeType, Front};
use super::state::{Pending, StateDir};

/// How long the CA may take for one step. Let's Encrypt takes seconds; queues of other CAs, minutes.
const STEP_TIME_MAX: Duration = Duration::from_secs(10 * 60);

/// Polling interval when the CA sends no `Retry-After`: doubled each time, from the first to the last.
const LOOK_FIRST: Duration = Duration::from_millis(250);
const LOOK_LAST: Duration = Duration::from_secs(10);

/// Longest `Retry-After` honoured while polling.
const LOOK_ASKED_MAX: Duration = Duration::from_secs(60);

/// The dependencies of an order.
pub(super) struct Means<'a> {
    /// The client.
    pub client: &'a mut AcmeClient,
    /// The account.
    pub account: Account<'a>,
    /// The state directory.
    pub state: &'a StateDir,
    /// The challenge type.
    pub challenge: &'a ChallengeType,
    /// The listeners that answer challenges.
    pub front: &'a dyn Front,
    /// The clock.
    pub clock: &'a dyn Clock,
}

impl Means<'_> {
    /// Obtains a certificate for these names and stores it. `replaces` identifies the one that it replaces.
    ///
    /// # Errors
    /// The failure. An order that may still succeed is stored and resumed by the next attempt.
    pub(super) fn obtain(
        &mut self,
        names: &[String],
        replaces: Option<&str>,
    ) -> Result<certificate::RenewalFacts, AcmeError> {
        let (pending, mut order) = match self.resume(names)? {
            Some(found) => found,
            None => self.begin(names, replaces)?,
        };
        let finished = self.finish(names, &pending, &mut order);
        if let Err(error) = &finished
            && !is_worth_keeping(error, order.status)
        {
            self.state.forget_order(&names[0])?;
        }
        finished
    }

    /// The order that an earlier attempt has stored, if the CA still has it and it can still succeed.
    fn resume(&mut self, names: &[String]) -> Result<Option<(Pending, Order)>, AcmeError> {
        let Some(pending) = self.state.pending(names, self.account.key)? else { return Ok(None) };
        match self.client.order(self.account, &pending.order) {
            Ok(Polled { object, .. }) if object.status != OrderStatus::Invalid => Ok(Some((pending, object))),
            Err(error) if error.is_passing() || error.is_stopped() => Err(error),
            _ => {
                self.state.forget_order(&names[0])?;
                Ok(None)
            }
        }
    }

    fn begin(&mut self, names: &[String], replaces: Option<&str>) -> Result<(Pending, Order), AcmeError> {
        let ordered = match self.client.new_order(self.account, names, replaces) {
            // RFC 9773 §5: the predecessor may have been replaced already, or belong to another account.
            Err(AcmeError::Refused { retry_after: None, problem, .. })
                if replaces.is_some() && !problem.is("rateLimited") =>
            {
                self.client.new_order(self.account, names, None)
            }
            ordered => ordered,
        };
        let (url, order) = ordered?;
        let pending = Pending { order: url, key: certificate::new_key() };
        self.state.save_pending(names, &pending, self.account.key)?;
        Ok((pending, order))
    }

    /// Completes the order; `order` holds its latest state also after an error.
    fn finish(
        &mut self,
        names: &[String],
        pending: &Pending,
        order: &mut Order,
    ) -> Result<certificate::RenewalFacts, AcmeError> {
        if order.status == OrderStatus::Pending {
            for url in order.authorizations.clone() {
                self.prove(&url, names)?;
            }
            *order = self.await_order(&pending.order, |status| status != OrderStatus::Pending)?;
        }
        if order.status == OrderStatus::Ready {
            let csr = base64url(certificate::request(names, &pending.key)?);
            match self.client.finalize(self.account, order, &csr) {
                // An earlier attempt has reached the CA; its reply was lost.
                Err(error) if error.is_problem("orderNotReady") => {}
                result => result?,
            }
            *order = self.await_order(&pending.order, |status| {
                matches!(status, OrderStatus::Valid | OrderStatus::Invalid)
            })?;
        }
        if order.status == OrderStatus::Processing {
            *order = self.await_order(&pending.order, |status| status != OrderStatus::Processing)?;
        }
        let Some(url) = order.certificate.clone().filter(|_| order.status == OrderStatus::Valid) else {
            return Err(AcmeError::NotProved {
                domain: names.join(", "),
                kind: self.challenge.name(),
                problem: order.error.clone().unwrap_or_default(),
            });
        };
        let chain = self.client.certificate(self.account, &url)?;
        let facts = certificate::check(chain.as_bytes(), &pending.key, names, self.clock.now())?;
        self.state.save_certificate(&names[0], &pending.key, &chain)?;
        Ok(facts)
    }

    /// Completes one authorization.
    fn prove(&mut self, url: &str, names: &[String]) -> Result<(), AcmeError> {
        let authorization = self.client.authorization(self.account, url)?.object;
        if authorization.status == AuthorizationStatus::Valid {
            return Ok(());
        }
        let domain = authorization.identifier.value;
        let what = "authorization";
        // The name is passed to a command: only ordered names are accepted.
        if !names.iter().any(|name| name.strip_prefix("*.").unwrap_or(name) == domain) {
            return Err(AcmeError::Malformed { what, why: "it is for a name that was not ordered".into() });
        }
        let kind = self.challenge.name();
        let Some(challenge) = authorization.challenges.iter().find(|challenge| challenge.kind == kind) else {
            let offered = authorization.challenges.into_iter().map(|challenge| challenge.kind).collect();
            return Err(AcmeError::NotOffered { domain, wanted: kind, offered });
        };
        if !is_token(&challenge.token) {
            return Err(AcmeError::Malformed { what, why: "its token is none".into() });
        }
        let key = self.account.key;
        let _proof = proof::present(self.challenge, &domain, &challenge.token, key, self.front, self.clock)?;
        self.client.answered(self.account, &challenge.url)?;
        let verdict = self.look_until("proof", |means| {
            let told = means.client.authorization(means.account, url)?;
            let open = told.object.status == AuthorizationStatus::Pending;
            Ok(if open { Look::Again(told.retry_after) } else { Look::Done(told.object) })
        })?;
        if verdict.status == AuthorizationStatus::Valid {
            return Ok(());
        }
        let problem = verdict.challenges.into_iter().find_map(|challenge| challenge.error);
        Err(AcmeError::NotProved { domain, kind, problem: problem.unwrap_or_default() })
    }

    fn await_order(&mut self, url: &str, is_done: fn(OrderStatus) -> bool) -> Result<Order, AcmeError> {
        self.look_until("order", |means| {
            let told = means.client.order(means.account, url)?;
            let done = is_done(told.object.status);
            Ok(if done { Look::Done(told.object) } else { Look::Again(told.retry_after) })
        })
    }

    fn look_until<T>(
        &mut self,
        what: &'static str,
        mut look: impl FnMut(&mut Self) -> Result<Look<T>, AcmeError>,
    ) -> Result<T, AcmeError> {
        let mut waited = Duration::ZERO;
        let mut pause = LOOK_FIRST;
        loop {
            let asked = match look(self)? {
                Look::Done(found) => return Ok(found),
                Look::Again(asked) => asked.unwrap_or_default().min(LOOK_ASKED_MAX),
            };
            if waited >= STEP_TIME_MAX {
                return Err(AcmeError::TooSlow { what, waited });
            }
            let time = pause.max(asked);
            self.clock.sleep(time)?;
            waited += time;
            pause = (pause * 2).min(LOOK_LAST);
        }
    }
}

enum Look<T> {
    Done(T),
    Again(Option<Duration>),
}

/// RFC 8555 §8: base64url only. The token becomes a part of URLs and an argument of commands.
fn is_token(token: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !token.is_empty() && token.len() <= 512 && token.bytes().all(allowed)
}

/// Whether the next attempt resumes the order: the order itself has not failed, but the connection has, or
/// the server is stopping.
fn is_worth_keeping(error: &AcmeError, status: OrderStatus) -> bool {
    match error {
        AcmeError::Refused { problem, .. } => is_passing_problem(problem),
        AcmeError::Certificate(_) | AcmeError::NotProved { .. } | AcmeError::NotOffered { .. } => false,
        _ => status != OrderStatus::Invalid,
    }
}

fn is_passing_problem(problem: &AcmeProblem) -> bool {
    ["rateLimited", "serverInternal", "badNonce"].iter().any(|kind| problem.is(kind))
        || problem.kind.is_empty()
}
