//! Basic authentication (RFC 7617) with a file that `htpasswd` writes.
//!
//! Hashes are slow on purpose, so they are computed by a few threads of the process, and users who were right
//! a short time ago need none: a flood of guesses delays only those who are new. An unknown name takes as
//! long as a known one. The file is checked every second while there are requests; a new version with a
//! mistake is logged and not used.

mod asker;
mod back_off;
mod hash;
mod pool;
mod users;
mod verdicts;

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use thiserror::Error;

use self::asker::Asker;
use self::pool::{Guess, Job};
pub use self::users::UsersError;
use self::users::{Users, UsersVersion};
use self::verdicts::Verdicts;
use crate::filter::User;
use crate::http::message::RequestHead;
use crate::http::message::{FieldError, push_field};
use crate::http::status::Status;
use crate::observe::log;
use crate::ring::Ring;
use crate::service::{Around, IntoResponse as _, Next, Peer, Problem, Request, Response};

/// How often the file is checked while there are requests: the delay until the removal of a user applies.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The response to a client that has to back off is held for its wait, and for so long at most: one that
/// tries again at once costs the core less.
const HELD_MAX: Duration = Duration::from_secs(1);

/// Bytes of a name and its password together. More is implausible, and some hashes take longer for it.
const CREDENTIALS_BYTES_MAX: usize = 512;

const REALM: &str = "restricted";

/// As clients send it, with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The users that may authenticate. Holds no secret: the hashes stay in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicAuthOptions {
    /// The file of users, as `htpasswd -B` writes it.
    pub users: PathBuf,
    /// The text that clients show in their password prompt. Default `restricted`.
    pub realm: String,
}

impl BasicAuthOptions {
    /// For the users of this file, with the default realm.
    pub fn new(users: impl Into<PathBuf>) -> Self {
        Self { users: users.into(), realm: REALM.to_owned() }
    }

    /// Whether the filter could be made now. Reads the file, and needs no core.
    ///
    /// # Errors
    /// As [`BasicAuth::with_options`].
    pub fn check(&self) -> Result<(), BasicAuthError> {
        push_field(&mut Vec::new(), "WWW-Authenticate", self.realm.as_bytes())?;
        Users::load(&self.users)?;
        Ok(())
    }
}

/// Why options for Basic authentication are refused.
#[derive(Debug, Error)]
pub enum BasicAuthError {
    /// The file of users.
    #[error(transparent)]
    Users(#[from] UsersError),
    /// The realm cannot be sent.
    #[error("the realm has a control character")]
    Realm(#[from] FieldError),
}

/// Lets requests with valid credentials pass, and answers others 401.
///
/// Passwords are sent in plain text: without TLS, this does not protect against eavesdroppers.
#[derive(Debug)]
pub struct BasicAuth {
    path: PathBuf,
    users: RefCell<Arc<Users>>,
    version: Cell<UsersVersion>,
    looked_at: Cell<Option<Instant>>,
    /// The version on disk is invalid, which was logged.
    failing: Cell<bool>,
    logs_changes: bool,
    /// Whether a request checks the file.
    looking: Cell<bool>,
    verdicts: RefCell<Verdicts>,
    /// The `WWW-Authenticate` line.
    challenge: Vec<u8>,
    ring: RingHandle,
}

/// The ring, without its state in `Debug`.
struct RingHandle(Ring);

impl std::fmt::Debug for RingHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ring")
    }
}

/// Marks that a request checks the file, until it is dropped.
struct Looking<'a>(&'a Cell<bool>);

impl<'a> Looking<'a> {
    fn begin(looking: &'a Cell<bool>) -> Option<Self> {
        (!looking.replace(true)).then(|| Self(looking))
    }
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// The result of checking credentials.
enum Checked {
    Right,
    Wrong,
    /// Too many others wait.
    Busy,
    /// The client has sent too many wrong ones, and has to wait.
    BackOff(Duration),
}

impl BasicAuth {
    /// For the users of a file, read here and now. Entries are `NAME:HASH` with bcrypt (`$2y$`), SHA-512
    /// crypt (`$6$`) or Argon2id (`$argon2id$`). The realm is `restricted`. bcrypt reads the first 72 bytes
    /// of a password alone; for longer ones use another.
    ///
    /// # Errors
    /// The file and line, the mistake, and the remedy; passwords in plain text, MD5 and SHA-1 are mistakes.
    pub fn load(ring: &Ring, path: impl Into<PathBuf>) -> Result<Self, UsersError> {
        let path = path.into();
        let (users, version) = Users::load(&path)?;
        // Below a directory of this core it would be served.
        ring.keep_back(&path);
        let auth = Self {
            path,
            users: RefCell::new(Arc::new(users)),
            version: Cell::new(version),
            looked_at: Cell::new(None),
            failing: Cell::new(false),
            logs_changes: true,
            looking: Cell::new(false),
            verdicts: RefCell::default(),
            challenge: Vec::new(),
            ring: RingHandle(ring.clone()),
        };
        Ok(auth.realm(REALM).expect("letters alone"))
    }

    /// With these options; reads the file here and now.
    ///
    /// # Errors
    /// As [`load`](Self::load); a realm with a control character.
    pub fn with_options(ring: &Ring, options: &BasicAuthOptions) -> Result<Self, BasicAuthError> {
        Ok(Self::load(ring, &options.users)?.realm(&options.realm)?)
    }

    /// With another realm: the text that clients show in their password prompt.
    ///
    /// # Errors
    /// A control character.
    pub fn realm(mut self, realm: &str) -> Result<Self, FieldError> {
        let quoted = realm.replace('\\', "\\\\").replace('"', "\\\"");
        let value = format!("Basic realm=\"{quoted}\", charset=\"UTF-8\"");
        self.challenge.clear();
        push_field(&mut self.challenge, "WWW-Authenticate", value.as_bytes())?;
        Ok(self)
    }

    /// Does not log that a new version of the file is refused: for all cores but one.
    pub fn silent(self) -> Self {
        Self { logs_changes: false, ..self }
    }

    fn refused(&self, detail: &'static str) -> Response {
        let mut response = Problem::new(Status::UNAUTHORIZED).detail(detail).into_response();
        response.add_lines(&self.challenge);
        response
    }

    /// Reads the file again if it has changed. One request a second waits for the check.
    async fn refresh(&self) {
        let now = self.ring.0.now();
        if self.looked_at.get().is_some_and(|last| now.saturating_duration_since(last) < LOOK_EVERY) {
            return;
        }
        // One at a time: on a file system that hangs, others go on with the users that were read.
        let Some(_looking) = Looking::begin(&self.looking) else { return };
        self.looked_at.set(Some(now));
        let (path, known, failing) = (self.path.clone(), self.version.get(), self.failing.get());
        let look = move || (failing || UsersVersion::now(&path) != Some(known)).then(|| Users::load(&path));
        match self.ring.0.blocking(look).await {
            None => {}
            Some(Ok((users, version))) => {
                let was_failing = self.failing.replace(false);
                if self.version.replace(version) != version {
                    *self.users.borrow_mut() = Arc::new(users);
                    self.verdicts.borrow_mut().clear();
                }
                if self.logs_changes {
                    let again = if was_failing { " again" } else { "" };
                    log::line(format_args!("{}: the users were read{again}", self.path.display()));
                }
            }
            Some(Err(error)) => {
                let is_news = !self.failing.replace(true);
                if is_news && self.logs_changes {
                    log::line(format_args!("{error}; the users that were read before stay in force"));
                }
            }
        }
    }

    /// Checks credentials: by what is known, or by their hash.
    async fn check(&self, peer: Peer, name: &str, password: Vec<u8>) -> Checked {
        let (ring, users) = (&self.ring.0, self.users.borrow().clone());
        let address = peer.addr().map(|client| client.ip());
        let asker = Asker::new(users.scope(), address);
        let key = verdicts::key(asker, name, &password);
        let known = self.verdicts.borrow_mut().get(&key, ring.now());
        match known {
            Some(true) => return Checked::Right,
            Some(false) => return Checked::Wrong,
            None if pool::is_known(&key, ring.now()) => {
                self.verdicts.borrow_mut().insert(key, true, ring.now());
                return Checked::Right;
            }
            None => {}
        }
        let guess = match address {
            Some(_) if !pool::was_right(&key) => Guess::begin(asker, name, key, ring.now()).map(Some),
            // Clients of a Unix socket are not told apart.
            _ => Ok(None),
        };
        let guess = match guess {
            Ok(guess) => guess,
            Err(wait) => {
                ring.sleep(wait.min(HELD_MAX)).await;
                return Checked::BackOff(wait);
            }
        };
        let (asked, name_asked, since) = (users.clone(), name.into(), ring.now());
        let verify =
            move |reply| pool::verify(asker, Job { users: asked, name: name_asked, password, reply, since });
        let fits = ring.reply(verify).await;
        if let Some(guess) = guess {
            guess.end(fits);
        }
        let Some(fits) = fits else { return Checked::Busy };
        let now = ring.now();
        if Arc::ptr_eq(&users, &self.users.borrow()) {
            self.verdicts.borrow_mut().insert(key, fits, now);
            if fits {
                pool::remember(key, now);
            }
        }
        if fits { Checked::Right } else { Checked::Wrong }
    }
}

impl Around for BasicAuth {
    async fn call<'a>(&'a self, request: Request, next: Next<'a>) -> Response {
        self.refresh().await;
        let Some((name, password)) = credentials(request.head()) else {
            return self.refused("this needs a name and a password");
        };
        match self.check(request.peer(), &name, password).await {
            Checked::Right => {
                request.context().insert(User::new(name));
                next.run(request).await
            }
            Checked::Wrong => self.refused("name and password do not fit"),
            Checked::Busy => Problem::new(Status::SERVICE_UNAVAILABLE)
                .detail("too many passwords are being checked; try again in a moment")
                .header("Retry-After", "1")
                .into_response(),
            Checked::BackOff(wait) => {
                let seconds = wait.as_secs() + 1;
                Problem::new(Status::TOO_MANY_REQUESTS)
                    .detail("too many wrong passwords for this name; wait before the next one")
                    .header("Retry-After", &seconds.to_string())
                    .into_response()
            }
        }
    }
}

/// The credentials of a request with exactly one valid `Authorization` field.
fn credentials(head: &RequestHead) -> Option<(Box<str>, Vec<u8>)> {
    let mut fields = head.fields_named("authorization");
    let (Some(value), None) = (fields.next(), fields.next()) else { return None };
    let (scheme, encoded) = value.split_at(value.iter().position(|&byte| byte == b' ')?);
    if !scheme.eq_ignore_ascii_case(b"basic") || encoded.len() > 2 * CREDENTIALS_BYTES_MAX {
        return None;
    }
    let mut decoded = BASE64.decode(encoded.trim_ascii()).ok()?;
    if decoded.len() > CREDENTIALS_BYTES_MAX || decoded.iter().any(u8::is_ascii_control) {
        return None;
    }
    let colon = decoded.iter().position(|&byte| byte == b':')?;
    let password = decoded.split_off(colon + 1);
    decoded.truncate(colon);
    Some((String::from_utf8(decoded).ok()?.into_boxed_str(), password))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h1::RequestDecoder;

    use crate::http::message::HeadLimits;

    fn said(lines: &str) -> Option<(String, String)> {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let mut head = RequestHead::new();
        RequestDecoder::new().handle_bytes(text.as_bytes(), &HeadLimits::default(), &mut head).unwrap();
        let (name, password) = credentials(&head)?;
        Some((name.into(), String::from_utf8_lossy(&password).into_owned()))
    }

    #[test]
    fn credentials_are_read() {
        for (lines, name, password) in [
            ("Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n", "Aladdin", "open sesame"),
            ("authorization: basic   QWxhZGRpbjpvcGVuIHNlc2FtZQ\r\n", "Aladdin", "open sesame"),
            ("Authorization: BASIC dGVzdDoxMjPCow==\r\n", "test", "123£"),
            ("Authorization: Basic YTpiOmM=\r\n", "a", "b:c"),
            ("Authorization: Basic Og==\r\n", "", ""),
        ] {
            assert_eq!(said(lines), Some((name.into(), password.into())), "{lines}");
        }
    }

    #[test]
    fn what_is_not_whole_or_said_twice_is_nothing() {
        let long = format!("Authorization: Basic {}\r\n", BASE64.encode("a:".to_owned() + &"x".repeat(600)));
        for lines in [
            "",
            "Authorization: Basic\r\n",
            "Authorization: Basic !!!!\r\n",
            "Authorization: Bearer YTpi\r\n",
            "Authorization: BasicYTpi\r\n",
            "Authorization: Basic YWI=\r\n",
            "Authorization: Basic YQo6Yg==\r\n",
            "Authorization: Basic /zpi\r\n",
            "Authorization: Basic YTpi\r\nAuthorization: Basic YTpi\r\n",
            "Authorization: Basic YTpi, Basic YTpi\r\n",
            &long,
        ] {
            assert_eq!(said(lines), None, "{lines}");
        }
    }
}
