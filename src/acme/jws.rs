//! Signed requests (RFC 7515 as RFC 8555 §6.2 restricts it): the account's key, its thumbprint, and external
//! account binding. Does not interpret URLs and stores nothing.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// Encodes bytes as JOSE does (RFC 7515 §2).
pub(super) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The key of an account: ECDSA on P-256 (ES256), which every CA supports.
pub(super) struct AccountKey {
    pair: EcdsaKeyPair,
    pkcs8: Vec<u8>,
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountKey({})", self.thumbprint())
    }
}

/// Bytes that are not a valid account key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoKey;

/// How the signer is identified (RFC 8555 §6.2): by its key before there is an account, by the account's URL
/// afterwards.
#[derive(Clone, Copy, Debug)]
pub(super) enum Signer<'a> {
    /// `jwk`.
    Key,
    /// `kid`.
    Account(&'a str),
}

impl AccountKey {
    /// Generates a key.
    ///
    /// # Panics
    /// The system has no random numbers.
    pub(super) fn generate() -> Self {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .expect("the system has random numbers");
        Self::from_pkcs8(pkcs8.as_ref()).expect("it was made for this algorithm")
    }

    /// Parses a key written by [`pkcs8`](Self::pkcs8).
    ///
    /// # Errors
    /// It is not a P-256 key.
    pub(super) fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, NoKey> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map_err(|_| NoKey)?;
        Ok(Self { pair, pkcs8: pkcs8.to_vec() })
    }

    /// The private key as PKCS #8: secret.
    pub(super) fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The public key (RFC 7517), with its members in the order of the thumbprint.
    fn jwk(&self) -> String {
        // An uncompressed point: 4, x, y.
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, base64url(x), base64url(y))
    }

    /// The thumbprint (RFC 7638).
    pub(super) fn thumbprint(&self) -> String {
        base64url(digest(&SHA256, self.jwk().as_bytes()))
    }

    /// The key authorization for a challenge (RFC 8555 §8.1).
    pub(super) fn authorize(&self, token: &str) -> String {
        format!("{token}.{}", self.thumbprint())
    }

    /// The body of a request to `url`; an empty `payload` is a POST-as-GET (RFC 8555 §6.3).
    pub(super) fn sign(&self, signer: Signer<'_>, nonce: &str, url: &str, payload: &str) -> String {
        let mut protected = json!({"alg": "ES256", "nonce": nonce, "url": url});
        match signer {
            Signer::Key => protected["jwk"] = self.jwk_value(),
            Signer::Account(account) => protected["kid"] = account.into(),
        }
        envelope(&protected, payload, |input| {
            let signed = self.pair.sign(&SystemRandom::new(), input);
            signed.expect("the system has random numbers").as_ref().to_vec()
        })
        .to_string()
    }

    fn jwk_value(&self) -> Value {
        serde_json::from_str(&self.jwk()).expect("it was written as JSON")
    }

    /// The external account binding for this key (RFC 8555 §7.3.4).
    pub(super) fn bind(&self, binding: &Binding, new_account_url: &str) -> Value {
        let protected = json!({"alg": "HS256", "kid": binding.key_id, "url": new_account_url});
        let key = hmac::Key::new(hmac::HMAC_SHA256, &binding.key);
        envelope(&protected, &self.jwk(), |input| hmac::sign(&key, input).as_ref().to_vec())
    }
}

/// The flattened JSON serialization (RFC 7515 §7.2.2).
fn envelope(protected: &Value, payload: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> Value {
    let protected = base64url(protected.to_string());
    let payload = base64url(payload);
    let signature = base64url(sign(format!("{protected}.{payload}").as_bytes()));
    json!({"protected": protected, "payload": payload, "signature": signature})
}

/// The credentials for external account binding, as the CA issues them.
#[derive(Clone, PartialEq, Eq)]
pub struct Binding {
    /// The key identifier.
    pub key_id: String,
    key: Vec<u8>,
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Binding({}, …)", self.key_id)
    }
}

impl Binding {
    /// From the key identifier and the key in base64url, with or without padding.
    ///
    /// # Errors
    /// The key is not in base64url, or empty.
    pub fn new(key_id: &str, key: &str) -> Result<Self, NoKey> {
        let key = URL_SAFE_NO_PAD.decode(key.trim().trim_end_matches('=')).map_err(|_| NoKey)?;
        if key.is_empty() || key_id.is_empty() {
            return Err(NoKey);
        }
        Ok(Self { key_id: key_id.to_owned(), key })
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    fn decoded(value: &Value, name: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(value[name].as_str().unwrap()).unwrap()
    }

    #[test]
    fn requests_carry_what_the_rfc_asks_for() {
        let key = AccountKey::generate();
        let text = key.sign(Signer::Account("https://ca/acct/1"), "n0nce", "https://ca/order", "{\"a\":1}");
        let jws: Value = serde_json::from_str(&text).unwrap();
        let protected: Value = serde_json::from_slice(&decoded(&jws, "protected")).unwrap();
        let expected = json!({
            "alg": "ES256", "kid": "https://ca/acct/1", "nonce": "n0nce", "url": "https://ca/order"
        });
        assert_eq!(protected, expected);
        assert_eq!(decoded(&jws, "payload"), b"{\"a\":1}");
        let input = format!("{}.{}", jws["protected"].as_str().unwrap(), jws["payload"].as_str().unwrap());
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.pair.public_key().as_ref());
        public.verify(input.as_bytes(), &decoded(&jws, "signature")).unwrap();
        assert!(public.verify(b"another", &decoded(&jws, "signature")).is_err());

        let first: Value = serde_json::from_str(&key.sign(Signer::Key, "n", "u", "")).unwrap();
        let protected: Value = serde_json::from_slice(&decoded(&first, "protected")).unwrap();
        assert_eq!((&protected["jwk"]["kty"], &protected["kid"]), (&json!("EC"), &Value::Null));
        assert_eq!(first["payload"], "", "a read has an empty payload, not {{}}");
    }

    #[test]
    fn thumbprints_are_those_of_rfc_7638() {
        // The members in lexicographic order, without white space.
        let key = AccountKey::generate();
        let jwk = key.jwk();
        assert!(jwk.starts_with(r#"{"crv":"P-256","kty":"EC","x":""#) && !jwk.contains(' '), "{jwk}");
        assert_eq!(key.thumbprint().len(), 43);
        assert_eq!(key.authorize("token"), format!("token.{}", key.thumbprint()));
        let again = AccountKey::from_pkcs8(key.pkcs8()).unwrap();
        assert_eq!(again.thumbprint(), key.thumbprint());
        assert_eq!(AccountKey::from_pkcs8(b"no key").err(), Some(NoKey));
    }

    #[test]
    fn bindings_are_signed_with_the_shared_key() {
        let binding = Binding::new("kid-1", "AAECAw==").unwrap();
        assert_eq!(binding.key, [0, 1, 2, 3]);
        let key = AccountKey::generate();
        let jws = key.bind(&binding, "https://ca/new-acct");
        assert_eq!(decoded(&jws, "payload"), key.jwk().as_bytes());
        let input = format!("{}.{}", jws["protected"].as_str().unwrap(), jws["payload"].as_str().unwrap());
        let shared = hmac::Key::new(hmac::HMAC_SHA256, &[0, 1, 2, 3]);
        hmac::verify(&shared, input.as_bytes(), &decoded(&jws, "signature")).unwrap();
        assert!(Binding::new("kid", "not base64!").is_err() && Binding::new("kid", "").is_err());
        assert!(!format!("{binding:?}").contains("[0, 1"), "secrets are not shown");
    }
}
