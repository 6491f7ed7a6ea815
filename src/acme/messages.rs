//! The objects of RFC 8555 §7.1 as far as a client reads them, and problem documents (RFC 9457). Plain data.

use std::fmt;

use serde::Deserialize;

/// Where to ask for what (RFC 8555 §7.1.1).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AcmeDirectory {
    /// For nonces.
    pub new_nonce: String,
    /// For an account.
    pub new_account: String,
    /// For a certificate.
    pub new_order: String,
    /// When to renew (RFC 9773), if the CA says so.
    #[serde(default)]
    pub renewal_info: Option<String>,
    /// What the CA is about.
    #[serde(default)]
    pub meta: Meta,
}

/// What a CA says of itself.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta {
    /// URL of the terms that its users accept.
    #[serde(default)]
    pub terms_of_service: Option<String>,
    /// Whether accounts must be bound to one outside ACME.
    #[serde(default)]
    pub external_account_required: bool,
}

/// An order (RFC 8555 §7.1.3).
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Order {
    /// How far it is.
    pub status: OrderStatus,
    /// URLs of what must be proved.
    #[serde(default)]
    pub authorizations: Vec<String>,
    /// Where the request for the certificate goes.
    pub finalize: String,
    /// Where the certificate is, once the order is valid.
    #[serde(default)]
    pub certificate: Option<String>,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<AcmeProblem>,
}

/// ```text
/// pending ──► ready ──► processing ──► valid
///    └──────────┴───────────┴───────► invalid
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum OrderStatus {
    /// Authorizations are missing.
    Pending,
    /// The request for the certificate is missing.
    Ready,
    /// The CA works.
    Processing,
    /// The certificate is there.
    Valid,
    /// It failed.
    Invalid,
}

/// What must be proved of one name (RFC 8555 §7.1.4).
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Authorization {
    /// The name, without the wildcard's `*.`.
    pub identifier: Identifier,
    /// How far it is.
    pub status: AuthorizationStatus,
    /// The ways to prove it.
    #[serde(default)]
    pub challenges: Vec<Challenge>,
}

/// A name.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Identifier {
    /// In ASCII.
    pub value: String,
}

/// How far an authorization is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum AuthorizationStatus {
    /// A challenge must be answered.
    Pending,
    /// Proved.
    Valid,
    /// A challenge failed.
    Invalid,
    /// Given up by its account.
    Deactivated,
    /// Its time is over.
    Expired,
    /// Taken back by the CA.
    Revoked,
}

/// One way to prove it (RFC 8555 §7.1.5).
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Challenge {
    /// Such as `http-01`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where to say that the answer stands.
    pub url: String,
    /// What the answer is made of; kinds we do not know may have none.
    #[serde(default)]
    pub token: String,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<AcmeProblem>,
}

/// When a certificate should be renewed (RFC 9773 §4.2).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RenewalInfo {
    /// At some moment in it.
    pub suggested_window: Window,
}

/// From when to when, as RFC 3339 writes it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Window {
    /// The first moment.
    pub start: String,
    /// The last one.
    pub end: String,
}

/// What a CA says is wrong (RFC 8555 §6.7).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct AcmeProblem {
    /// Such as `urn:ietf:params:acme:error:rateLimited`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// For people.
    #[serde(default)]
    pub detail: String,
    /// The same for single names.
    #[serde(default)]
    pub subproblems: Vec<Subproblem>,
}

/// What is wrong with one name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Subproblem {
    /// For people.
    #[serde(default)]
    pub detail: String,
    /// The name.
    #[serde(default)]
    pub identifier: Option<NamedIdentifier>,
}

/// The name of a subproblem.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct NamedIdentifier {
    /// In ASCII.
    #[serde(default)]
    pub value: String,
}

impl AcmeProblem {
    /// Whether it is of this kind (RFC 8555 §6.7), such as `badNonce`.
    pub fn is(&self, kind: &str) -> bool {
        self.kind.strip_prefix("urn:ietf:params:acme:error:") == Some(kind)
    }
}

impl fmt::Display for AcmeProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.strip_prefix("urn:ietf:params:acme:error:").unwrap_or(&self.kind);
        let kind = if kind.is_empty() { "no reason" } else { kind };
        write!(f, "{kind}")?;
        if !self.detail.is_empty() {
            write!(f, " ({})", self.detail.trim())?;
        }
        for part in &self.subproblems {
            let name = part.identifier.as_ref().map_or("", |identifier| &identifier.value);
            write!(f, "; {name}: {}", part.detail)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_say_what_is_known() {
        let problem: AcmeProblem = serde_json::from_str(
            r#"{"type":"urn:ietf:params:acme:error:compound","detail":"two names",
                "subproblems":[{"type":"x","detail":"no","identifier":{"type":"dns","value":"a.example"}}]}"#,
        )
        .unwrap();
        assert_eq!(problem.to_string(), "compound (two names); a.example: no");
        assert!(problem.is("compound") && !problem.is("badNonce"));
        assert_eq!(serde_json::from_str::<AcmeProblem>("{}").unwrap().to_string(), "no reason");
    }
}
