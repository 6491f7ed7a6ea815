//! Answers HTTP-01 challenges on every listener: requests for a pending token are answered before other
//! filters run.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::http::method::Method;
use crate::net::tls::{Challenges, HTTP_CHALLENGE_PREFIX};
use crate::service::{Filter, Request, Response};

/// Answers the challenges of a certificate authority (RFC 8555 §8.3). Belongs outside of redirects and
/// authentication; requests for unknown tokens pass on.
#[derive(Clone)]
pub struct AcmeChallenges {
    challenges: Arc<Challenges>,
}

impl AcmeChallenges {
    /// Answers the tokens in `challenges`.
    pub fn new(challenges: Arc<Challenges>) -> Self {
        Self { challenges }
    }
}

/// Equal if they share one set of challenges; equal contents do not suffice.
impl PartialEq for AcmeChallenges {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.challenges, &other.challenges)
    }
}

impl Eq for AcmeChallenges {}

/// Without the tokens, which are secret until the authority requests them.
impl fmt::Debug for AcmeChallenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AcmeChallenges")
    }
}

impl Filter for AcmeChallenges {
    fn before(&self, request: &mut Request) -> ControlFlow<Response> {
        let head = request.head();
        let Some(token) = head.path().strip_prefix(HTTP_CHALLENGE_PREFIX) else {
            return ControlFlow::Continue(());
        };
        let reads = matches!(head.method(), Method::Get | Method::Head);
        match self.challenges.key_authorization(token).filter(|_| reads) {
            Some(answer) => ControlFlow::Break(Response::text(answer.as_bytes().to_vec())),
            None => ControlFlow::Continue(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::{Call, on_core};
    use crate::service::Router;

    #[test]
    fn tokens_that_are_awaited_are_answered_before_all_else() {
        on_core(async |_core| {
            let challenges = Arc::new(Challenges::default());
            let routes = Router::new()
                .filter(AcmeChallenges::new(challenges.clone()))
                .filter(crate::filter::HttpsRedirect::to_port(443))
                .get("/", async || "inside")
                .build()
                .unwrap();
            let path = "/.well-known/acme-challenge/t0ken";
            let get = async || Call::new("GET", path).header("Host", "a.example").send(&routes).await;
            assert_eq!(get().await.status(), 308, "the token is unknown");
            challenges.put_token("t0ken", "t0ken.thumbprint");
            let response = get().await;
            assert_eq!((response.status(), response.text()), (200, "t0ken.thumbprint"));
            let posted = Call::new("POST", path).header("Host", "a.example").send(&routes).await;
            assert_eq!(posted.status(), 308);
            let other = Call::new("GET", "/.well-known/acme-challenge/t0ken/x").header("Host", "a.example");
            assert_eq!(other.send(&routes).await.status(), 308);
            challenges.remove_token("t0ken");
            assert_eq!(get().await.status(), 308);
        });
    }
}
