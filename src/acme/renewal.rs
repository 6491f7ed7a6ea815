//! The renewal thread: determines when a certificate is due, obtains it, has it presented, and retries later
//! after a failure. Serving is not affected.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::certificate::RenewalFacts;
use super::client::{self, AcmeClient};
use super::error::AcmeError;
use super::jws::{AccountKey, Binding};
use super::names::Names;
use super::order::Means;
use super::pace::{Clock, Stopped};
use super::proof::{ChallengeType, Front};
use super::schedule::{self, Backoff};
use super::state::{StateDir, StoredAccount, StoredCertificate};
use super::transport::Transport;
use crate::net::tls;
use crate::observe::log;

/// The wall clock may jump: no sleep is longer than this.
const SLEEP_MAX: Duration = Duration::from_secs(60 * 60);

/// How often the renewal window is requested, and the bounds of the `Retry-After` that the CA may send
/// instead (RFC 9773 §4.3).
const ADVICE_EVERY: Duration = Duration::from_secs(6 * 60 * 60);
const ADVICE_EVERY_MIN: Duration = Duration::from_secs(60);
const ADVICE_EVERY_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Configuration and dependencies of the renewals.
pub(super) struct Keeper {
    /// URL of the CA's directory.
    pub directory: String,
    /// Contact address of the account.
    pub contact: Option<String>,
    /// External account binding.
    pub binding: Option<Binding>,
    /// The challenge type.
    pub challenge: ChallengeType,
    /// Delays between attempts after failures.
    pub backoff: Backoff,
    /// The state directory.
    pub state: Arc<StateDir>,
    /// The listeners.
    pub front: Arc<dyn Front>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Creates the transport to the CA; called for each attempt.
    pub transport: Box<dyn Fn() -> Box<dyn Transport> + Send>,
}

/// One certificate.
struct RenewalJob {
    names: Names,
    facts: Option<RenewalFacts>,
    /// Consecutive failures.
    failures: u32,
    /// When to renew, as currently planned.
    renew_at: SystemTime,
    /// When to request the renewal window from the CA.
    ask_at: Option<SystemTime>,
}

impl RenewalJob {
    fn next(&self) -> SystemTime {
        self.ask_at.map_or(self.renew_at, |ask_at| ask_at.min(self.renew_at))
    }
}

impl Keeper {
    /// Renews these certificates until the clock is stopped.
    pub(super) fn run(self, certificates: Vec<Names>) {
        let mut jobs: Vec<RenewalJob> = certificates.into_iter().map(|names| self.look(names)).collect();
        while let Some(job) = jobs.iter_mut().min_by_key(|job| job.next()) {
            let wait = job.next().duration_since(self.clock.now()).unwrap_or_default();
            let slept = if wait.is_zero() { Ok(()) } else { self.clock.sleep(wait.min(SLEEP_MAX)) };
            if slept == Err(Stopped) || self.clock.is_stopped() {
                return;
            }
            if self.clock.now() >= job.next() && self.attend(job) == Err(Stopped) {
                return;
            }
        }
    }

    /// Loads the stored certificate at the start, and determines when it is due.
    fn look(&self, names: Names) -> RenewalJob {
        let now = self.clock.now();
        let mut job = RenewalJob { names, facts: None, failures: 0, renew_at: now, ask_at: None };
        match self.state.certificate(job.names.first()) {
            Ok(StoredCertificate::Found(facts)) => {
                if let Err(error) = self.state.forget_finished_order(job.names.first()) {
                    log_line(&job.names, &error.to_string());
                }
                let missing = job.names.as_slice().iter().any(|name| !facts.names.contains(name));
                self.plan(&mut job, facts);
                if missing {
                    log_line(&job.names, "the stored certificate is for other names; getting a new one");
                    job.renew_at = now;
                } else if job.renew_at <= now {
                    log_line(&job.names, "the stored certificate is due; renewing");
                } else {
                    self.say_plan(&job, "using the stored certificate");
                }
            }
            Ok(StoredCertificate::None) => log_line(&job.names, "no certificate yet; getting one"),
            Ok(StoredCertificate::Damaged(why)) => {
                log_line(&job.names, &format!("the stored certificate is damaged: {why}; getting another"));
            }
            Err(error) => log_line(&job.names, &error.to_string()),
        }
        job
    }

    fn plan(&self, job: &mut RenewalJob, facts: RenewalFacts) {
        job.renew_at = schedule::renewal(facts.not_before, facts.not_after, chance());
        job.ask_at = facts.renewal_id.is_some().then(|| self.clock.now());
        job.failures = 0;
        job.facts = Some(facts);
    }

    fn say_plan(&self, job: &RenewalJob, what: &str) {
        let Some(facts) = &job.facts else { return };
        let (until, renewal) = (date(facts.not_after), date(job.renew_at));
        log_line(&job.names, &format!("{what}; valid until {until}, renewal planned for {renewal}"));
    }

    fn attend(&self, job: &mut RenewalJob) -> Result<(), Stopped> {
        let now = self.clock.now();
        if job.ask_at.is_some_and(|ask_at| ask_at <= now) {
            self.ask(job);
        }
        if job.renew_at > now {
            return Ok(());
        }
        match self.obtain(job) {
            Ok(facts) => {
                self.plan(job, facts);
                self.publish(job);
            }
            Err(error) if error.is_stopped() => return Err(Stopped),
            Err(error) => self.put_off(job, &error),
        }
        Ok(())
    }

    fn publish(&self, job: &RenewalJob) {
        match self.front.reload() {
            Ok(()) => self.say_plan(job, "got a certificate and presenting it"),
            Err(error) => log_line(&job.names, &AcmeError::Publish(error).to_string()),
        }
    }

    fn put_off(&self, job: &mut RenewalJob, error: &AcmeError) {
        job.failures += 1;
        let now = self.clock.now();
        let wait = self.backoff.after(job.failures, error.retry_after(), chance());
        job.renew_at = now + wait;
        job.ask_at = None;
        let meanwhile = match &job.facts {
            None => "until there is a certificate, TLS for these names fails".to_owned(),
            Some(facts) if facts.not_after <= now => {
                format!("the certificate is over since {}", date(facts.not_after))
            }
            Some(facts) => format!("serving goes on with the certificate until {}", date(facts.not_after)),
        };
        let failures = job.failures;
        let wait = span(wait);
        log_line(&job.names, &format!("failure {failures}: {error}; {meanwhile}; trying again in {wait}"));
    }

    /// Requests the renewal window from the CA. A failure is ignored, because a default plan exists.
    fn ask(&self, job: &mut RenewalJob) {
        job.ask_at = None;
        let Some(facts) = &job.facts else { return };
        let Some(id) = &facts.renewal_id else { return };
        let told = self.connect().and_then(|mut client| client.renewal_info(id));
        let every = match told {
            Ok(None) => return,
            Err(_) => ADVICE_EVERY,
            Ok(Some(told)) => {
                let window = &told.object.suggested_window;
                if let (Some(start), Some(end)) =
                    (schedule::rfc3339(&window.start), schedule::rfc3339(&window.end))
                {
                    let (from, to) = (facts.not_before, facts.not_after);
                    let at = schedule::suggested(from, to, (start, end), chance());
                    // The time was already drawn from the window if the plan lies in it.
                    if !(start..=end).contains(&job.renew_at) {
                        job.renew_at = at;
                    }
                }
                told.retry_after.unwrap_or(ADVICE_EVERY)
            }
        };
        let every = every.clamp(ADVICE_EVERY_MIN, ADVICE_EVERY_MAX);
        job.ask_at = Some(self.clock.now() + every);
    }

    fn obtain(&self, job: &RenewalJob) -> Result<RenewalFacts, AcmeError> {
        match self.obtain_as(job) {
            // The CA does not know the account, or the state directory was used with another CA: same key,
            // new account.
            Err(error) if error.is_problem("accountDoesNotExist") => {
                if let Some(account) = self.state.account()? {
                    self.state.save_account(&StoredAccount { url: None, ..account })?;
                }
                self.obtain_as(job)
            }
            result => result,
        }
    }

    fn obtain_as(&self, job: &RenewalJob) -> Result<RenewalFacts, AcmeError> {
        let stored = self.state.account()?;
        let mut client = self.connect()?;
        let (key, url) = self.account(&mut client, stored)?;
        let account = client::Account { key: &key, url: &url };
        let replaces = job.facts.as_ref().and_then(|facts| facts.renewal_id.as_deref());
        let replaces = replaces.filter(|_| client.directory().renewal_info.is_some()).map(str::to_owned);
        let mut means = Means {
            client: &mut client,
            account,
            state: &self.state,
            challenge: &self.challenge,
            front: &*self.front,
            clock: &*self.clock,
        };
        means.obtain(job.names.as_slice(), replaces.as_deref())
    }

    /// The stored account, or a new one. The key is stored before it is sent to the CA: after a crash in
    /// between, the CA finds the same account by that key.
    fn account(
        &self,
        client: &mut AcmeClient,
        stored: Option<StoredAccount>,
    ) -> Result<(AccountKey, String), AcmeError> {
        let key = match stored {
            Some(StoredAccount { key, url: Some(url) }) => return Ok((key, url)),
            Some(StoredAccount { key, url: None }) => key,
            None => {
                let account = StoredAccount { key: AccountKey::generate(), url: None };
                self.state.save_account(&account)?;
                account.key
            }
        };
        let url = client.account(&key, self.contact.as_deref(), self.binding.as_ref())?;
        if let Some(terms) = &client.directory().meta.terms_of_service {
            log::line(format_args!("acme: account {url}, under the terms of {terms}"));
        }
        let account = StoredAccount { key, url: Some(url.clone()) };
        self.state.save_account(&account)?;
        Ok((account.key, url))
    }

    fn connect(&self) -> Result<AcmeClient, AcmeError> {
        AcmeClient::connect((self.transport)(), self.clock.clone(), &self.directory)
    }
}

fn log_line(names: &Names, text: &str) {
    log::line(format_args!("acme: {names}: {text}"));
}

fn date(time: SystemTime) -> String {
    tls::date(time)
}

/// A duration for log lines, in its largest unit.
fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// A random number in 0..1; 0.5 if the system has no random numbers.
fn chance() -> f64 {
    let mut bytes = [0; 4];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_ne_bytes(bytes)) / (f64::from(u32::MAX) + 1.0),
        Err(_) => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_their_largest_unit() {
        let told = [59, 119, 120, 7199, 7200, 172_800].map(|seconds| span(Duration::from_secs(seconds)));
        assert_eq!(told, ["59 s", "119 s", "2 min", "119 min", "2 h", "2 days"]);
    }

    #[test]
    fn chance_is_in_its_bounds_and_varies() {
        let drawn: Vec<f64> = (0..20).map(|_| chance()).collect();
        assert!(drawn.iter().all(|chance| (0.0..1.0).contains(chance)), "{drawn:?}");
        assert!(drawn.iter().any(|chance| *chance != drawn[0]));
    }
}
