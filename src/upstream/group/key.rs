//! What of a request may decide about its endpoint.

use std::net::IpAddr;

use super::super::balance::hash::hash;
use super::super::options::{Balance, HashKey};
use crate::http::cookie;
use crate::service::Context;

/// What of a request may decide about its endpoint. Nothing is read of it unless the policy needs it.
#[derive(Clone, Copy, Debug, Default)]
pub struct PickKey<'a> {
    context: Option<&'a Context>,
    client: Option<IpAddr>,
}

impl<'a> PickKey<'a> {
    /// Of this request.
    pub fn of(context: &'a Context) -> Self {
        Self { context: Some(context), client: None }
    }

    /// The address of the client, where it is not that of the peer.
    pub fn client(self, client: Option<IpAddr>) -> Self {
        Self { client, ..self }
    }

    /// The request.
    pub fn context(&self) -> Option<&'a Context> {
        self.context
    }

    /// The hash of what this policy looks at; `None` if the request lacks it or it is empty.
    pub(super) fn hash(&self, balance: &Balance) -> Option<u64> {
        let (Balance::Hash(key) | Balance::Rendezvous(key)) = balance else { return None };
        let head = self.context?.head();
        match key {
            // Several fields with one name are one list (RFC 9110 §5.3).
            HashKey::Header(name) => {
                let mut values = head.fields_named(name);
                let first = values.next().filter(|value| !value.is_empty())?;
                Some(values.fold(hash(first), |hashed, value| hash(value) ^ hashed.rotate_left(7)))
            }
            HashKey::Cookie(name) => {
                let mut pairs = cookie::pairs(head.fields_named("cookie"));
                pairs.find(|(named, value)| named == name && !value.is_empty()).map(|(_, value)| hash(value))
            }
            HashKey::Path => {
                Some(head.path()).filter(|path| !path.is_empty()).map(|path| hash(path.as_bytes()))
            }
            HashKey::ClientAddress => {
                let peer = || self.context.and_then(|context| context.peer().addr()).map(|addr| addr.ip());
                match self.client.or_else(peer)?.to_canonical() {
                    IpAddr::V4(ip) => Some(hash(&ip.octets())),
                    IpAddr::V6(ip) => Some(hash(&ip.octets())),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeMap;

    use super::super::Tried;
    use super::super::lab::{Lab, digit, upstream};
    use super::*;
    use crate::harness::{Call, on_core};
    use crate::service::Router;

    #[test]
    fn keys_keep_their_endpoint_on_every_core() {
        on_core(async |core| {
            let long = "x".repeat(8000);
            let keys = [
                HashKey::Header("X-User".into()),
                HashKey::Cookie("user".into()),
                HashKey::Path,
                HashKey::ClientAddress,
            ];
            let balances =
                keys.into_iter().flat_map(|key| [Balance::Hash(key.clone()), Balance::Rendezvous(key)]);
            for balance in balances {
                let mut options = upstream(&["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]);
                options.balance = balance;
                let lab = Lab::new(&options, 3, &core);
                let cores = lab.cores.clone();
                let turns = Cell::new(0);
                let service = Router::new().get("/{*rest}", async move |context: Context| {
                    turns.set(turns.get() + 1);
                    let client = context.head().field("x-client").map(|text| text[0]);
                    let client = client.map(|last| IpAddr::from([10, 0, 0, last]));
                    let key = PickKey::of(&context).client(client);
                    let pick = cores[turns.get() % 3].pick(&key, &Tried::default(), lab.now).unwrap();
                    digit(&pick).to_string()
                });
                let service = service.build().unwrap();
                let mut seen = BTreeMap::<String, usize>::new();
                for number in 0..60_u8 {
                    let user = if number == 7 { long.clone() } else { format!("u{number}") };
                    let (path, cookie) = (format!("/{number}"), format!("a=1; user={number}; b=2"));
                    let client = char::from(b'!' + number);
                    let call = || {
                        let call = Call::get(&path).header("X-User", &user).header("Cookie", &cookie);
                        call.header("X-Client", &client.to_string())
                    };
                    let first = call().send(&service).await.text().to_owned();
                    for _ in 0..4 {
                        assert_eq!(call().send(&service).await.text(), first, "{}", options.balance);
                    }
                    *seen.entry(first).or_default() += 1;
                }
                assert!(seen.len() == 3, "{}: {seen:?}", options.balance);
                // Missing or empty: spread. A path is never missing.
                if !options.balance.to_string().ends_with("path") {
                    let mut spread = BTreeMap::<String, usize>::new();
                    for _ in 0..60 {
                        let call = Call::get("/").header("X-User", "").header("Cookie", "user=");
                        *spread.entry(call.send(&service).await.text().to_owned()).or_default() += 1;
                    }
                    assert!(spread.len() == 3, "{}: {spread:?}", options.balance);
                }
            }
        });
    }
}
