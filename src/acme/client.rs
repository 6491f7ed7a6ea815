//! Requests of RFC 8555, one method each: signed, with a fresh nonce, and retried where the RFC or a
//! transient failure allows. The order of the requests is up to `order`.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::json;

use super::error::AcmeError;
use super::jws::{AccountKey, Binding, Signer};
use super::messages::{AcmeDirectory, AcmeProblem, Authorization, Order, RenewalInfo};
use super::pace::Clock;
use super::schedule::retry_after;
use super::transport::{AcmeReply, AcmeRequest, Transport};
use crate::http::method::Method;

/// Consecutive `badNonce` errors after which the client gives up. Servers behind load balancers send some.
const BAD_NONCES_MAX: u32 = 10;

/// Retries of a request after a transient failure, and the pause before each; longer outages are left to the
/// backoff between attempts.
const PASSING_MAX: u32 = 2;
const PASSING_PAUSE: Duration = Duration::from_secs(1);

/// An ACME client of one CA.
pub(super) struct AcmeClient {
    transport: Box<dyn Transport>,
    clock: Arc<dyn Clock>,
    directory: AcmeDirectory,
    nonce: Option<String>,
}

/// The account that signs a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account<'a> {
    /// Its key.
    pub key: &'a AccountKey,
    /// Its URL.
    pub url: &'a str,
}

/// An object that the client polls, with the delay that the CA requests.
#[derive(Debug)]
pub(super) struct Polled<T> {
    /// The object.
    pub object: T,
    /// `Retry-After`.
    pub retry_after: Option<Duration>,
}

impl AcmeClient {
    /// Reads the directory.
    ///
    /// # Errors
    /// The URL serves no directory.
    pub(super) fn connect(
        transport: Box<dyn Transport>,
        clock: Arc<dyn Clock>,
        directory_url: &str,
    ) -> Result<Self, AcmeError> {
        let directory = AcmeDirectory {
            new_nonce: String::new(),
            new_account: String::new(),
            new_order: String::new(),
            renewal_info: None,
            meta: Default::default(),
        };
        let mut client = Self { transport, clock, directory, nonce: None };
        let reply = client.get("directory", directory_url)?;
        client.directory = parse("directory", &reply)?;
        Ok(client)
    }

    /// The directory object.
    pub(super) fn directory(&self) -> &AcmeDirectory {
        &self.directory
    }

    /// The URL of the key's account, which is created if there is none (RFC 8555 §7.3).
    ///
    /// # Errors
    /// The CA requires external account binding, or refuses.
    pub(super) fn account(
        &mut self,
        key: &AccountKey,
        contact: Option<&str>,
        binding: Option<&Binding>,
    ) -> Result<String, AcmeError> {
        let url = self.directory.new_account.clone();
        let mut payload = json!({"termsOfServiceAgreed": true});
        if let Some(address) = contact {
            payload["contact"] = json!([format!("mailto:{address}")]);
        }
        if let Some(binding) = binding {
            payload["externalAccountBinding"] = key.bind(binding, &url);
        } else if self.directory.meta.external_account_required {
            return Err(AcmeError::BindingMissing);
        }
        let reply = self.post("account", key, Signer::Key, &url, &payload.to_string())?;
        location("account", &reply)
    }

    /// Creates an order (RFC 8555 §7.4): its URL and the order. `replaces` identifies the certificate that it
    /// replaces (RFC 9773 §5).
    ///
    /// # Errors
    /// The CA refuses.
    pub(super) fn new_order(
        &mut self,
        account: Account<'_>,
        names: &[String],
        replaces: Option<&str>,
    ) -> Result<(String, Order), AcmeError> {
        let identifiers: Vec<_> = names.iter().map(|name| json!({"type": "dns", "value": name})).collect();
        let mut payload = json!({"identifiers": identifiers});
        if let Some(replaces) = replaces {
            payload["replaces"] = replaces.into();
        }
        let url = self.directory.new_order.clone();
        let reply = self.post_as("order", account, &url, &payload.to_string())?;
        Ok((location("order", &reply)?, parse("order", &reply)?))
    }

    /// Reads an order.
    ///
    /// # Errors
    /// The CA does not return one.
    pub(super) fn order(&mut self, account: Account<'_>, url: &str) -> Result<Polled<Order>, AcmeError> {
        let reply = self.post_as("order", account, url, "")?;
        self.polled("order", &reply)
    }

    /// Reads an authorization.
    ///
    /// # Errors
    /// The CA does not return one.
    pub(super) fn authorization(
        &mut self,
        account: Account<'_>,
        url: &str,
    ) -> Result<Polled<Authorization>, AcmeError> {
        let reply = self.post_as("authorization", account, url, "")?;
        self.polled("authorization", &reply)
    }

    /// Tells the CA that the challenge can be validated (RFC 8555 §7.5.1).
    ///
    /// # Errors
    /// The CA refuses.
    pub(super) fn answered(&mut self, account: Account<'_>, challenge_url: &str) -> Result<(), AcmeError> {
        self.post_as("challenge", account, challenge_url, "{}").map(drop)
    }

    /// Finalizes the order with the certificate signing request.
    ///
    /// # Errors
    /// The CA refuses.
    pub(super) fn finalize(
        &mut self,
        account: Account<'_>,
        order: &Order,
        csr: &str,
    ) -> Result<(), AcmeError> {
        let payload = json!({"csr": csr}).to_string();
        self.post_as("request for the certificate", account, &order.finalize, &payload).map(drop)
    }

    /// The certificate and its chain, as PEM.
    ///
    /// # Errors
    /// The CA refuses.
    pub(super) fn certificate(&mut self, account: Account<'_>, url: &str) -> Result<String, AcmeError> {
        let what = "certificate";
        let reply = self.post_as(what, account, url, "")?;
        String::from_utf8(reply.body).map_err(|error| AcmeError::Malformed { what, why: error.to_string() })
    }

    /// The renewal window of the certificate with this id; `None` if the CA offers none.
    ///
    /// # Errors
    /// The CA refuses.
    pub(super) fn renewal_info(&mut self, id: &str) -> Result<Option<Polled<RenewalInfo>>, AcmeError> {
        let Some(base) = &self.directory.renewal_info else { return Ok(None) };
        let url = format!("{}/{id}", base.trim_end_matches('/'));
        let reply = self.get("renewal information", &url)?;
        self.polled("renewal information", &reply).map(Some)
    }

    fn polled<T: DeserializeOwned>(
        &self,
        what: &'static str,
        reply: &AcmeReply,
    ) -> Result<Polled<T>, AcmeError> {
        Ok(Polled { object: parse(what, reply)?, retry_after: self.retry_after(reply) })
    }

    fn retry_after(&self, reply: &AcmeReply) -> Option<Duration> {
        retry_after(reply.field("retry-after")?, self.clock.now())
    }

    fn get(&mut self, what: &'static str, url: &str) -> Result<AcmeReply, AcmeError> {
        self.persist(|client| client.exchange(what, &AcmeRequest { method: Method::Get, url, body: &[] }))
    }

    fn post_as(
        &mut self,
        what: &'static str,
        account: Account<'_>,
        url: &str,
        payload: &str,
    ) -> Result<AcmeReply, AcmeError> {
        self.post(what, account.key, Signer::Account(account.url), url, payload)
    }

    fn post(
        &mut self,
        what: &'static str,
        key: &AccountKey,
        signer: Signer<'_>,
        url: &str,
        payload: &str,
    ) -> Result<AcmeReply, AcmeError> {
        let mut refused = 0;
        loop {
            let result = self.persist(|client| {
                let nonce = client.take_nonce()?;
                let body = key.sign(signer, &nonce, url, payload);
                client.exchange(what, &AcmeRequest { method: Method::Post, url, body: body.as_bytes() })
            });
            match result {
                // RFC 8555 §6.5: the error carries a nonce for the retry.
                Err(error) if error.is_problem("badNonce") && refused < BAD_NONCES_MAX => refused += 1,
                result => return result,
            }
        }
    }

    /// Retries transient failures.
    fn persist(
        &mut self,
        mut action: impl FnMut(&mut Self) -> Result<AcmeReply, AcmeError>,
    ) -> Result<AcmeReply, AcmeError> {
        let mut tries = 0;
        loop {
            match action(self) {
                Err(error) if error.is_passing() && tries < PASSING_MAX => {
                    tries += 1;
                    self.clock.sleep(PASSING_PAUSE * tries)?;
                }
                result => return result,
            }
        }
    }

    fn take_nonce(&mut self) -> Result<String, AcmeError> {
        if let Some(nonce) = self.nonce.take() {
            return Ok(nonce);
        }
        let what = "nonce";
        let url = self.directory.new_nonce.clone();
        self.exchange(what, &AcmeRequest { method: Method::Head, url: &url, body: &[] })?;
        self.nonce.take().ok_or_else(|| AcmeError::Malformed { what, why: "it brings none".into() })
    }

    /// One request and its reply; keeps the nonce of the reply.
    fn exchange(&mut self, what: &'static str, request: &AcmeRequest<'_>) -> Result<AcmeReply, AcmeError> {
        let reply = self.transport.exchange(request)?;
        // RFC 8555 §6.5.1: base64url only; any other value is ignored.
        let is_nonce = |text: &&str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if let Some(nonce) = reply.field("replay-nonce").filter(is_nonce) {
            self.nonce = Some(nonce.to_owned());
        }
        if reply.is_success() {
            return Ok(reply);
        }
        let problem: AcmeProblem = serde_json::from_slice(&reply.body).unwrap_or_default();
        let retry_after = self.retry_after(&reply);
        Err(AcmeError::Refused { what, status: reply.status, problem, retry_after })
    }
}

fn parse<T: DeserializeOwned>(what: &'static str, reply: &AcmeReply) -> Result<T, AcmeError> {
    serde_json::from_slice(&reply.body).map_err(|error| AcmeError::Malformed { what, why: error.to_string() })
}

fn location(what: &'static str, reply: &AcmeReply) -> Result<String, AcmeError> {
    let found = reply.field("location").map(str::to_owned);
    found.ok_or_else(|| AcmeError::Malformed { what, why: "it has no Location".into() })
}
