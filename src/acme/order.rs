//! One order from its beginning, or from where a crash has left it, to a stored certificate.
//!
//! ```text
//! new ─► prove each name ─► ready ─► hand in the request ─► processing ─► valid ─► fetch, check, keep
//! ```

use std::time::Duration;

use super::certificate;
use super::client::{Account, AcmeClient, Polled};
use super::error::AcmeError;
use super::jws::base64url;
use super::messages::{AuthorizationStatus, Order, OrderStatus, AcmeProblem};
use super::pace::Clock;
use super::proof::{self, Front, ChallengeType};
use super::state::{Pending, StateDir};

/// How long a CA may work on one step. Let's Encrypt takes seconds; queues of others, minutes.
const STEP_TIME_MAX: Duration = Duration::from_secs(10 * 60);

/// How long to wait between looks when the CA does not say: twice as long each time, from the first to the
/// last.
const LOOK_FIRST: Duration = Duration::from_millis(250);
const LOOK_LAST: Duration = Duration::from_secs(10);

/// The most of what a CA may ask for between two looks.
const LOOK_ASKED_MAX: Duration = Duration::from_secs(60);

/// What an order needs.
pub(super) struct Means<'a> {
    /// The conversation.
    pub client: &'a mut AcmeClient,
    /// Who orders.
    pub account: Account<'a>,
    /// Where things are kept.
    pub state: &'a StateDir,
    /// How names are proved.
    pub method: &'a ChallengeType,
    /// Where.
    pub front: &'a dyn Front,
    /// Time.
    pub clock: &'a dyn Clock,
}

impl Means<'_> {
    /// Gets a certificate for these names and keeps it. `replaces` names the one it follows.
    ///
    /// # Errors
    /// What went wrong. An order that may still succeed is kept and taken up by the next attempt.
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

    /// The order that an earlier attempt has left, if the CA still has it and it can still succeed.
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
            // RFC 9773 §5: the predecessor may have been replaced already, or be none of this account's.
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

    /// Leaves the order as it is then in `order`, whatever the end.
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
                // A try before this one has reached the CA; its reply was lost.
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
                kind: self.method.name(),
                problem: order.error.clone().unwrap_or_default(),
            });
        };
        let chain = self.client.certificate(self.account, &url)?;
        let facts = certificate::check(chain.as_bytes(), &pending.key, names, self.clock.now())?;
        self.state.save_certificate(&names[0], &pending.key, &chain)?;
        Ok(facts)
    }

    /// Proves what one authorization asks for.
    fn prove(&mut self, url: &str, names: &[String]) -> Result<(), AcmeError> {
        let authorization = self.client.authorization(self.account, url)?.object;
        if authorization.status == AuthorizationStatus::Valid {
            return Ok(());
        }
        let domain = authorization.identifier.value;
        let what = "authorization";
        // It goes to a command: only what we ordered.
        if !names.iter().any(|name| name.strip_prefix("*.").unwrap_or(name) == domain) {
            return Err(AcmeError::Malformed { what, why: "it is for a name that was not ordered".into() });
        }
        let kind = self.method.name();
        let Some(challenge) = authorization.challenges.iter().find(|challenge| challenge.kind == kind) else {
            let offered = authorization.challenges.into_iter().map(|challenge| challenge.kind).collect();
            return Err(AcmeError::NotOffered { domain, wanted: kind, offered });
        };
        if !is_token(&challenge.token) {
            return Err(AcmeError::Malformed { what, why: "its token is none".into() });
        }
        let key = self.account.key;
        let _proof = proof::present(self.method, &domain, &challenge.token, key, self.front, self.clock)?;
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

/// RFC 8555 §8: base64url alone. It becomes a part of URLs and an argument of commands.
fn is_token(token: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !token.is_empty() && token.len() <= 512 && token.bytes().all(allowed)
}

/// Whether the order is taken up again by the next attempt: it has not failed, the line did, or we end.
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
