//! The objects of RFC 8555 §7.1 as far as the client reads them, and problem documents (RFC 9457). Plain
//! data.

use std::fmt;

use serde::Deserialize;

/// The directory: the URLs of the CA's resources (RFC 8555 §7.1.1).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AcmeDirectory {
    /// `newNonce`.
    pub new_nonce: String,
    /// `newAccount`.
    pub new_account: String,
    /// `newOrder`.
    pub new_order: String,
    /// `renewalInfo` (RFC 9773), if the CA supports it.
    #[serde(default)]
    pub renewal_info: Option<String>,
    /// Metadata of the CA.
    #[serde(default)]
    pub meta: Meta,
}

/// Metadata of a CA.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta {
    /// URL of the terms of service.
    #[serde(default)]
    pub terms_of_service: Option<String>,
    /// Whether external account binding is required.
    #[serde(default)]
    pub external_account_required: bool,
}

/// An order (RFC 8555 §7.1.3).
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Order {
    /// Its status.
    pub status: OrderStatus,
    /// URLs of its authorizations.
    #[serde(default)]
    pub authorizations: Vec<String>,
    /// URL to finalize the order with the certificate signing request.
    pub finalize: String,
    /// URL of the certificate, once the order is valid.
    #[serde(default)]
    pub certificate: Option<String>,
    /// Why it became invalid.
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
    /// Authorizations are not complete.
    Pending,
    /// The certificate signing request is expected.
    Ready,
    /// The CA is issuing the certificate.
    Processing,
    /// The certificate is issued.
    Valid,
    /// It failed.
    Invalid,
}

/// An authorization (RFC 8555 §7.1.4).
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Authorization {
    /// The name, without the wildcard's `*.`.
    pub identifier: Identifier,
    /// Its status.
    pub status: AuthorizationStatus,
    /// Its challenges; one of them has to be completed.
    #[serde(default)]
    pub challenges: Vec<Challenge>,
}

/// An identifier of type `dns`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Identifier {
    /// The name, in ASCII.
    pub value: String,
}

/// The status of an authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum AuthorizationStatus {
    /// A challenge has to be completed.
    Pending,
    /// Validated.
    Valid,
    /// A challenge failed.
    Invalid,
    /// Deactivated by the account.
    Deactivated,
    /// Expired.
    Expired,
    /// Revoked by the CA.
    Revoked,
}

/// A challenge (RFC 8555 §7.1.5).
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Challenge {
    /// Its type, such as `http-01`.
    #[serde(rename = "type")]
    pub kind: String,
    /// URL to which the client responds.
    pub url: String,
    /// The token; challenges of unknown types may have none.
    #[serde(default)]
    pub token: String,
    /// Why it became invalid.
    #[serde(default)]
    pub error: Option<AcmeProblem>,
}

/// The renewal information of a certificate (RFC 9773 §4.2).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RenewalInfo {
    /// The window in which to renew.
    pub suggested_window: Window,
}

/// A window, with times as RFC 3339 writes them.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Window {
    /// Its start.
    pub start: String,
    /// Its end.
    pub end: String,
}

/// A problem document of a CA (RFC 8555 §6.7).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct AcmeProblem {
    /// The error type, such as `urn:ietf:params:acme:error:rateLimited`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Human-readable explanation.
    #[serde(default)]
    pub detail: String,
    /// Subproblems, one per identifier.
    #[serde(default)]
    pub subproblems: Vec<Subproblem>,
}

/// The problem with one identifier.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Subproblem {
    /// Human-readable explanation.
    #[serde(default)]
    pub detail: String,
    /// The identifier.
    #[serde(default)]
    pub identifier: Option<NamedIdentifier>,
}

/// The identifier of a subproblem.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct NamedIdentifier {
    /// In ASCII.
    #[serde(default)]
    pub value: String,
}

impl AcmeProblem {
    /// Whether it is of this error type (RFC 8555 §6.7), such as `badNonce`.
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
