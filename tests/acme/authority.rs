//! A certificate authority for tests: RFC 8555 as a state machine, requests in and answers out. It checks all
//! that a real one does (signatures, nonces, URLs, states, requests for certificates) and issues real
//! certificates; how challenges are looked at is handed in. Has no sockets.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, IsCa, Issuer, KeyPair,
    SanType,
};
use serde_json::{Value, json};

/// What the authority looks at to believe a name.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    /// `http-01`, `tls-alpn-01`, `dns-01`.
    pub(crate) kind: &'static str,
    /// Without the wildcard.
    pub(crate) domain: String,
    pub(crate) token: String,
    pub(crate) key_authorization: String,
}

pub(crate) type Look = Box<dyn FnMut(&Probe) -> Result<(), String> + Send>;

/// What goes wrong, once, at the next request to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// The nonce is refused although it is good.
    BadNonce,
    /// The server is ill; before it has done anything.
    Ill(u16),
    /// Too many requests, with this `Retry-After`.
    RateLimited(u64),
    /// The connection ends; after the request was acted on.
    Reset,
}

/// A reply; none is a connection that ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

struct Order {
    account: usize,
    names: Vec<String>,
    authorizations: Vec<usize>,
    replaces: Option<String>,
    /// Looks for which it is still `processing`.
    processing: u32,
    certificate: Option<String>,
    error: Option<Value>,
}

struct Authorization {
    domain: String,
    wildcard: bool,
    token: String,
    /// Looks for which it is still `pending` after its challenge.
    hidden: u32,
    verdict: Option<Result<(), (&'static str, String)>>,
}

struct Account {
    jwk: Value,
    contact: Value,
}

pub(crate) struct Authority {
    /// `https://host:port`, without a path.
    pub(crate) base: String,
    pub(crate) issuer: Issuer<'static, KeyPair>,
    pub(crate) root_pem: String,
    nonces: HashSet<String>,
    counter: u64,
    accounts: Vec<Account>,
    orders: Vec<Order>,
    authorizations: Vec<Authorization>,
    /// How long certificates live.
    pub(crate) lifetime: Duration,
    pub(crate) now: SystemTime,
    /// Looks that an order is `processing` for, and an authorization `pending` after its challenge.
    pub(crate) slowness: u32,
    /// Kinds of challenges that are offered.
    pub(crate) offered: Vec<&'static str>,
    /// A key that accounts must be bound with.
    pub(crate) binding: Option<(String, Vec<u8>)>,
    /// The window that is suggested for renewals, if any (RFC 9773).
    pub(crate) window: Option<(String, String)>,
    /// Goes wrong at the next request to an endpoint of this name.
    pub(crate) mishaps: VecDeque<(&'static str, Mishap)>,
    /// The endpoints that were asked, in order.
    pub(crate) asked: Vec<String>,
    /// What was replaced by orders (RFC 9773 §5).
    pub(crate) replaced: Vec<String>,
    look: Look,
}

type Refusal = (u16, &'static str, String);

fn refuse<T>(status: u16, kind: &'static str, detail: impl Into<String>) -> Result<T, Refusal> {
    Err((status, kind, detail.into()))
}

impl Authority {
    pub(crate) fn new(base: &str, look: Look) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut root = CertificateParams::new(Vec::<String>::new()).unwrap();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.distinguished_name.push(DnType::CommonName, "authority of a test");
        let root_pem = root.self_signed(&key).unwrap().pem();
        Self {
            base: base.to_owned(),
            issuer: Issuer::new(root, key),
            root_pem,
            nonces: HashSet::new(),
            counter: 0,
            accounts: Vec::new(),
            orders: Vec::new(),
            authorizations: Vec::new(),
            lifetime: Duration::from_secs(90 * 86_400),
            now: SystemTime::now(),
            slowness: 0,
            offered: vec!["http-01", "dns-01", "tls-alpn-01"],
            binding: None,
            window: None,
            mishaps: VecDeque::new(),
            asked: Vec::new(),
            replaced: Vec::new(),
            look,
        }
    }

    pub(crate) fn accounts(&self) -> usize {
        self.accounts.len()
    }

    pub(crate) fn contact(&self) -> &Value {
        &self.accounts[0].contact
    }

    pub(crate) fn certificates(&self) -> usize {
        self.orders.iter().filter(|order| order.certificate.is_some()).count()
    }

    pub(crate) fn orders(&self) -> usize {
        self.orders.len()
    }

    /// Forgets every account.
    pub(crate) fn forget_accounts(&mut self) {
        self.accounts.clear();
    }

    /// Answers a request; nothing if the connection is to end without an answer.
    pub(crate) fn handle(&mut self, method: &str, path: &str, body: &[u8]) -> Option<Answer> {
        let endpoint = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        self.asked.push(endpoint.to_owned());
        let mishap = match self.mishaps.front() {
            Some((at, _)) if *at == endpoint => self.mishaps.pop_front().map(|(_, mishap)| mishap),
            _ => None,
        };
        let reset = mishap == Some(Mishap::Reset);
        let mut answer = self.answer(method, path, body, mishap).unwrap_or_else(|(status, kind, detail)| {
            let kind = format!("urn:ietf:params:acme:error:{kind}");
            let body = json!({"type": kind, "detail": detail, "status": status}).to_string();
            let mut fields = vec![("Content-Type".to_owned(), "application/problem+json".to_owned())];
            if let Some(seconds) = detail.strip_prefix("come back in ") {
                fields.push(("Retry-After".to_owned(), seconds.to_owned()));
            }
            Answer { status, fields, body: body.into_bytes() }
        });
        if method != "GET" {
            self.counter += 1;
            let nonce = BASE64.encode(digest(&SHA256, format!("{}{:p}", self.counter, self).as_bytes()));
            answer.fields.push(("Replay-Nonce".to_owned(), nonce.clone()));
            self.nonces.insert(nonce);
        }
        (!reset).then_some(answer)
    }

    fn answer(
        &mut self,
        method: &str,
        path: &str,
        body: &[u8],
        mishap: Option<Mishap>,
    ) -> Result<Answer, Refusal> {
        match mishap {
            Some(Mishap::Ill(status)) => return refuse(status, "serverInternal", "ill"),
            Some(Mishap::RateLimited(seconds)) => {
                return refuse(429, "rateLimited", format!("come back in {seconds}"));
            }
            _ => {}
        }
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (method, &parts[..]) {
            ("GET", ["dir"]) => return Ok(self.directory()),
            ("HEAD", ["new-nonce"]) => return Ok(Answer { status: 200, ..Answer::default() }),
            ("GET", ["renewal-info", _]) => return self.renewal_info(),
            ("POST", _) => {}
            _ => return refuse(405, "malformed", "no such thing"),
        }
        let (signer, payload) = self.verify(path, body, mishap == Some(Mishap::BadNonce))?;
        if parts[..] == ["new-acct"] {
            return self.new_account(signer, &payload);
        }
        let Signer::Account(account) = signer else {
            return refuse(400, "malformed", "this must be signed by an account");
        };
        let number =
            |text: &str| text.parse::<usize>().map_err(|_| (404, "malformed", "no number".to_owned()));
        match parts[..] {
            ["new-order"] => self.new_order(account, &payload),
            ["order", id] => self.order(account, number(id)?),
            ["authz", id] => self.authorization(number(id)?),
            ["chall", id, kind] => self.challenge(account, number(id)?, kind, &payload),
            ["finalize", id] => self.finalize(account, number(id)?, &payload),
            ["cert", id] => self.certificate(number(id)?),
            _ => refuse(404, "malformed", "no such thing"),
        }
    }

    fn directory(&self) -> Answer {
        let url = |path: &str| format!("{}/{path}", self.base);
        let mut directory = json!({
            "newNonce": url("new-nonce"), "newAccount": url("new-acct"), "newOrder": url("new-order"),
            "revokeCert": url("revoke"), "keyChange": url("key"),
            "meta": {"termsOfService": "https://ca.example/terms",
                "externalAccountRequired": self.binding.is_some()},
        });
        if self.window.is_some() {
            directory["renewalInfo"] = url("renewal-info").into();
        }
        object(200, &directory)
    }

    fn renewal_info(&self) -> Result<Answer, Refusal> {
        let Some((start, end)) = &self.window else { return refuse(404, "malformed", "none") };
        let mut answer = object(200, &json!({"suggestedWindow": {"start": start, "end": end}}));
        answer.fields.push(("Retry-After".into(), "21600".into()));
        Ok(answer)
    }

    fn verify(&mut self, path: &str, body: &[u8], refuse_nonce: bool) -> Result<(Signer, Value), Refusal> {
        let malformed = |what: &str| (400, "malformed", what.to_owned());
        let jws: Value = serde_json::from_slice(body).map_err(|_| malformed("no JSON"))?;
        let text = |name: &str| jws[name].as_str().ok_or_else(|| malformed(name));
        let decode = |name: &str| BASE64.decode(text(name)?).map_err(|_| malformed(name));
        let protected: Value =
            serde_json::from_slice(&decode("protected")?).map_err(|_| malformed("protected"))?;
        if protected["alg"] != "ES256" {
            return refuse(400, "badSignatureAlgorithm", "ES256 alone");
        }
        if protected["url"] != format!("{}{path}", self.base) {
            return refuse(401, "unauthorized", "signed for another URL");
        }
        let nonce = protected["nonce"].as_str().unwrap_or_default();
        if !self.nonces.remove(nonce) || refuse_nonce {
            return refuse(400, "badNonce", "used, or never given out");
        }
        let (jwk, signer) = match (&protected["jwk"], &protected["kid"]) {
            (jwk @ Value::Object(_), Value::Null) => (jwk.clone(), Signer::Key(jwk.clone())),
            (Value::Null, Value::String(kid)) => {
                let id = kid.strip_prefix(&format!("{}/acct/", self.base)).and_then(|id| id.parse().ok());
                match id.and_then(|id: usize| Some((id, self.accounts.get(id)?))) {
                    Some((id, account)) => (account.jwk.clone(), Signer::Account(id)),
                    None => return refuse(400, "accountDoesNotExist", "no such account"),
                }
            }
            _ => return refuse(400, "malformed", "either jwk or kid"),
        };
        let mut point = vec![4];
        for part in ["x", "y"] {
            point.extend(BASE64.decode(jwk[part].as_str().unwrap_or("?")).map_err(|_| malformed("jwk"))?);
        }
        let input = format!("{}.{}", text("protected")?, text("payload")?);
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(input.as_bytes(), &decode("signature")?)
            .map_err(|_| malformed("the signature is wrong"))?;
        let payload = decode("payload")?;
        let payload = if payload.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&payload).map_err(|_| malformed("payload"))?
        };
        Ok((signer, payload))
    }

    fn new_account(&mut self, signer: Signer, payload: &Value) -> Result<Answer, Refusal> {
        let Signer::Key(jwk) = signer else { return refuse(400, "malformed", "new accounts sign with jwk") };
        if payload["termsOfServiceAgreed"] != true {
            return refuse(403, "userActionRequired", "agree to the terms");
        }
        if let Some((key_id, key)) = &self.binding {
            check_binding(&payload["externalAccountBinding"], key_id, key, &jwk, &self.base)?;
        }
        let known = self.accounts.iter().position(|account| account.jwk == jwk);
        let id = known.unwrap_or_else(|| {
            self.accounts.push(Account { jwk, contact: payload["contact"].clone() });
            self.accounts.len() - 1
        });
        let status = if known.is_some() { 200 } else { 201 };
        Ok(object(status, &json!({"status": "valid"})).at(format!("{}/acct/{id}", self.base)))
    }

    fn new_order(&mut self, account: usize, payload: &Value) -> Result<Answer, Refusal> {
        let identifiers = payload["identifiers"].as_array().cloned().unwrap_or_default();
        let names: Vec<String> =
            identifiers.iter().filter_map(|one| Some(one["value"].as_str()?.to_owned())).collect();
        if names.is_empty() || identifiers.iter().any(|one| one["type"] != "dns") {
            return refuse(400, "malformed", "no names");
        }
        let replaces = payload["replaces"].as_str().map(str::to_owned);
        if let Some(replaces) = &replaces {
            if self.orders.iter().any(|order| order.replaces.as_ref() == Some(replaces)) {
                return refuse(409, "alreadyReplaced", "replaced");
            }
            self.replaced.push(replaces.clone());
        }
        let mut authorizations = Vec::new();
        for name in &names {
            authorizations.push(self.authorizations.len());
            self.authorizations.push(Authorization {
                domain: name.strip_prefix("*.").unwrap_or(name).to_owned(),
                wildcard: name.starts_with("*."),
                token: BASE64.encode(digest(&SHA256, format!("{name}{}", self.counter).as_bytes())),
                hidden: 0,
                verdict: None,
            });
        }
        let order =
            Order { account, names, authorizations, replaces, processing: 0, certificate: None, error: None };
        self.orders.push(order);
        let id = self.orders.len() - 1;
        Ok(object(201, &self.show(id)).at(format!("{}/order/{id}", self.base)))
    }

    fn status(&self, id: usize) -> &'static str {
        let order = &self.orders[id];
        let verdicts = order.authorizations.iter().map(|&id| &self.authorizations[id]);
        if verdicts.clone().any(|one| matches!(&one.verdict, Some(Err(_)) if one.hidden == 0)) {
            return "invalid";
        }
        let all = verdicts.clone().all(|one| one.verdict == Some(Ok(())) && one.hidden == 0);
        match &order.certificate {
            _ if order.error.is_some() => "invalid",
            Some(_) if order.processing > 0 => "processing",
            Some(_) => "valid",
            None if all => "ready",
            None => "pending",
        }
    }

    fn show(&self, id: usize) -> Value {
        let order = &self.orders[id];
        let url = |path: &str, id: usize| format!("{}/{path}/{id}", self.base);
        let authorizations: Vec<String> = order.authorizations.iter().map(|&id| url("authz", id)).collect();
        let status = self.status(id);
        let mut shown = json!({
            "status": status, "authorizations": authorizations, "finalize": url("finalize", id),
        });
        if status == "valid" {
            shown["certificate"] = url("cert", id).into();
        }
        if let Some(error) = &order.error {
            shown["error"] = error.clone();
        }
        shown
    }

    fn order(&mut self, account: usize, id: usize) -> Result<Answer, Refusal> {
        if self.orders.get(id).is_none_or(|order| order.account != account) {
            return refuse(404, "malformed", "no such order");
        }
        let shown = self.show(id);
        let order = &mut self.orders[id];
        order.processing = order.processing.saturating_sub(1);
        Ok(object(200, &shown))
    }

    fn authorization(&mut self, id: usize) -> Result<Answer, Refusal> {
        let base = self.base.clone();
        let offered = self.offered.clone();
        let Some(one) = self.authorizations.get_mut(id) else {
            return refuse(404, "malformed", "no such authorization");
        };
        let (status, error) = match &one.verdict {
            Some(_) if one.hidden > 0 => ("pending", None),
            None => ("pending", None),
            Some(Ok(())) => ("valid", None),
            Some(Err((kind, detail))) => ("invalid", Some((*kind, detail.clone()))),
        };
        one.hidden = one.hidden.saturating_sub(1);
        let kinds = offered.iter().filter(|&&kind| !one.wildcard || kind == "dns-01");
        let challenges: Vec<Value> = kinds
            .map(|&kind| {
                let mut shown = json!({"type": kind, "url": format!("{base}/chall/{id}/{kind}"),
                    "token": one.token, "status": "pending"});
                if let Some((failed, detail)) = &error
                    && *failed == kind
                {
                    shown["error"] = json!({"type": "urn:ietf:params:acme:error:incorrectResponse",
                        "detail": detail});
                }
                shown
            })
            .collect();
        let shown = json!({"status": status, "identifier": {"type": "dns", "value": one.domain},
            "wildcard": one.wildcard, "challenges": challenges});
        Ok(object(200, &shown))
    }

    fn challenge(
        &mut self,
        account: usize,
        id: usize,
        kind: &str,
        payload: &Value,
    ) -> Result<Answer, Refusal> {
        if *payload != json!({}) {
            return refuse(400, "malformed", "a challenge is answered with {}");
        }
        let known = ["http-01", "dns-01", "tls-alpn-01"].into_iter().find(|known| *known == kind);
        let (Some(kind), Some(one)) = (known, self.authorizations.get_mut(id)) else {
            return refuse(404, "malformed", "no such challenge");
        };
        let thumbprint = thumbprint(&self.accounts[account].jwk);
        let probe = Probe {
            kind,
            domain: one.domain.clone(),
            token: one.token.clone(),
            key_authorization: format!("{}.{thumbprint}", one.token),
        };
        one.verdict = Some((self.look)(&probe).map_err(|why| (kind, why)));
        one.hidden = self.slowness;
        Ok(object(200, &json!({"type": kind, "status": "processing", "token": one.token})))
    }

    fn finalize(&mut self, account: usize, id: usize, payload: &Value) -> Result<Answer, Refusal> {
        if self.orders.get(id).is_none_or(|order| order.account != account) {
            return refuse(404, "malformed", "no such order");
        }
        if self.status(id) != "ready" {
            return refuse(403, "orderNotReady", self.status(id));
        }
        let bad = |why: String| (400, "badCSR", why);
        let csr = BASE64.decode(payload["csr"].as_str().unwrap_or("?")).map_err(|e| bad(e.to_string()))?;
        let mut request = CertificateSigningRequestParams::from_der(&csr.as_slice().into())
            .map_err(|error| bad(error.to_string()))?;
        let asked: HashSet<String> = request
            .params
            .subject_alt_names
            .iter()
            .map(|name| match name {
                SanType::DnsName(name) => name.to_string(),
                other => format!("{other:?}"),
            })
            .collect();
        let order = &mut self.orders[id];
        if asked != order.names.iter().cloned().collect() {
            return Err(bad(format!("it is for {asked:?}")));
        }
        request.params.not_before = self.now.into();
        request.params.not_after = (self.now + self.lifetime).into();
        request.params.use_authority_key_identifier_extension = true;
        request.params.serial_number = Some((id as u64 + 1).to_be_bytes().to_vec().into());
        let leaf = request.signed_by(&self.issuer).map_err(|error| bad(error.to_string()))?;
        order.certificate = Some(leaf.pem() + &self.root_pem);
        order.processing = self.slowness;
        Ok(object(200, &self.show(id)))
    }

    fn certificate(&self, id: usize) -> Result<Answer, Refusal> {
        match self.orders.get(id).and_then(|order| order.certificate.as_ref()) {
            Some(chain) if self.status(id) == "valid" => Ok(Answer {
                status: 200,
                fields: vec![("Content-Type".into(), "application/pem-certificate-chain".into())],
                body: chain.clone().into_bytes(),
            }),
            _ => refuse(404, "malformed", "no such certificate"),
        }
    }
}

enum Signer {
    Key(Value),
    Account(usize),
}

impl Answer {
    fn at(mut self, url: String) -> Self {
        self.fields.push(("Location".into(), url));
        self
    }
}

fn object(status: u16, value: &Value) -> Answer {
    let fields = vec![("Content-Type".into(), "application/json".into())];
    Answer { status, fields, body: value.to_string().into_bytes() }
}

/// RFC 7638, from the members in their order.
fn thumbprint(jwk: &Value) -> String {
    let part = |name: &str| jwk[name].to_string();
    let text =
        format!(r#"{{"crv":{},"kty":{},"x":{},"y":{}}}"#, part("crv"), part("kty"), part("x"), part("y"));
    BASE64.encode(digest(&SHA256, text.as_bytes()))
}

fn check_binding(jws: &Value, key_id: &str, key: &[u8], jwk: &Value, base: &str) -> Result<(), Refusal> {
    let wrong = || (403, "externalAccountRequired", "the binding is wrong or missing".to_owned());
    let decode = |name: &str| BASE64.decode(jws[name].as_str().ok_or_else(wrong)?).map_err(|_| wrong());
    let protected: Value = serde_json::from_slice(&decode("protected")?).map_err(|_| wrong())?;
    let bound: Value = serde_json::from_slice(&decode("payload")?).map_err(|_| wrong())?;
    let input = format!(
        "{}.{}",
        jws["protected"].as_str().ok_or_else(wrong)?,
        jws["payload"].as_str().ok_or_else(wrong)?
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let signed = hmac::verify(&key, input.as_bytes(), &decode("signature")?).is_ok();
    let expected = json!({"alg": "HS256", "kid": key_id, "url": format!("{base}/new-acct")});
    if signed && protected == expected && bound == *jwk { Ok(()) } else { Err(wrong()) }
}
