//! Password hashes: kinds, cost limits, verification. Slow on purpose, and so never called on a core.

use std::fmt;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordVerifier as _};
use bcrypt::HashParts;
use sha_crypt::ShaCrypt;

/// Rounds of bcrypt, as a power of two: 14 takes about a second, each further one twice as long. A file must
/// not make the server work for minutes per request.
const BCRYPT_COST_MAX: u32 = 15;

/// Rounds of SHA-512 crypt; a million take about a second.
const SHA512_ROUNDS_MAX: u32 = 2_000_000;

/// Memory, in KiB, and passes of Argon2id. Those that run at a time share this memory (`pool`).
pub(super) const ARGON2_KIB_MAX: u32 = 256 * 1024;
const ARGON2_PASSES_MAX: u32 = 32;

/// Characters of a SHA-512 crypt's hash and of its salt.
const SHA512_CHARS: usize = 86;
const SHA512_SALT_MAX: usize = 16;

/// A hash that can be verified within the cost limits.
#[derive(Debug)]
pub(super) enum Hash {
    Bcrypt(Box<str>),
    Sha512(Box<str>),
    /// With its memory in KiB.
    Argon2id(Box<str>, u32),
}

/// Why a hash is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HashError {
    /// A broken scheme, or plain text; its name.
    Weak(&'static str),
    /// An unsupported scheme.
    Unsupported,
    /// A known scheme, malformed.
    Malformed(&'static str),
    /// It would take too long, or too much memory: the parameter, and its maximum.
    TooCostly(&'static str, u32),
}

impl fmt::Display for HashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Weak(what) => {
                write!(f, "{what} passwords are insecure; make the entry anew with `htpasswd -B FILE NAME`")
            }
            Self::Unsupported => f.write_str(
                "hashes are bcrypt ($2y$), SHA-512 crypt ($6$) or Argon2id ($argon2id$); make the entry anew \
                 with `htpasswd -B FILE NAME`",
            ),
            Self::Malformed(kind) => write!(
                f,
                "this begins like {kind} and is not a whole hash; make the entry anew with `htpasswd -B FILE \
                 NAME`"
            ),
            Self::TooCostly(what, most) => write!(
                f,
                "{what} is above {most}, and every login would keep a thread busy for long; make the entry \
                 anew with a lower cost"
            ),
        }
    }
}

impl Hash {
    pub(super) fn parse(text: &str) -> Result<Self, HashError> {
        match text {
            _ if ["$2y$", "$2b$", "$2a$"].iter().any(|prefix| text.starts_with(prefix)) => parse_bcrypt(text),
            _ if text.starts_with("$6$") => parse_sha512(text),
            _ if text.starts_with("$argon2id$") => parse_argon2id(text),
            _ if text.starts_with("$apr1$") || text.starts_with("$1$") => Err(HashError::Weak("MD5")),
            _ if text.starts_with("{SHA}") => Err(HashError::Weak("SHA-1")),
            _ if text.starts_with('$') => Err(HashError::Unsupported),
            _ if text.len() == 13 => Err(HashError::Weak("DES crypt or plain")),
            _ => Err(HashError::Weak("plain")),
        }
    }

    /// Memory of a verification, in KiB, where it is worth counting.
    pub(super) fn memory_kib(&self) -> u32 {
        match self {
            Self::Bcrypt(_) | Self::Sha512(_) => 0,
            Self::Argon2id(_, kib) => *kib,
        }
    }

    /// Whether the password matches. Takes milliseconds to a second.
    pub(super) fn verify(&self, password: &[u8]) -> bool {
        match self {
            Self::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
            Self::Sha512(hash) => ShaCrypt::SHA512.verify_password(password, &**hash).is_ok(),
            Self::Argon2id(hash, _) => PasswordHash::new(hash)
                .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok()),
        }
    }
}

fn parse_bcrypt(text: &str) -> Result<Hash, HashError> {
    let parts: HashParts = text.parse().map_err(|_| HashError::Malformed("bcrypt"))?;
    match parts.get_cost() {
        4..=BCRYPT_COST_MAX => Ok(Hash::Bcrypt(text.into())),
        ..4 => Err(HashError::Malformed("bcrypt")),
        _ => Err(HashError::TooCostly("the cost of bcrypt", BCRYPT_COST_MAX)),
    }
}

fn parse_sha512(text: &str) -> Result<Hash, HashError> {
    const MALFORMED: HashError = HashError::Malformed("SHA-512 crypt");
    let mut parts: Vec<&str> = text.split('$').skip(2).collect();
    if let Some(rounds) = parts.first().and_then(|part| part.strip_prefix("rounds=")) {
        let rounds: u32 = rounds.parse().map_err(|_| MALFORMED)?;
        if rounds > SHA512_ROUNDS_MAX {
            return Err(HashError::TooCostly("the number of rounds", SHA512_ROUNDS_MAX));
        }
        if rounds < 1000 {
            return Err(MALFORMED);
        }
        parts.remove(0);
    }
    let is_text = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'/');
    match parts[..] {
        [salt, hash] if salt.len() <= SHA512_SALT_MAX && hash.len() == SHA512_CHARS && is_text(hash) => {
            Ok(Hash::Sha512(text.into()))
        }
        _ => Err(MALFORMED),
    }
}

fn parse_argon2id(text: &str) -> Result<Hash, HashError> {
    const MALFORMED: HashError = HashError::Malformed("Argon2id");
    let hash = PasswordHash::new(text).map_err(|_| MALFORMED)?;
    let params = Params::try_from(&hash).map_err(|_| MALFORMED)?;
    if hash.algorithm != Algorithm::Argon2id.ident() || hash.salt.is_none() || hash.hash.is_none() {
        return Err(MALFORMED);
    }
    if params.m_cost() > ARGON2_KIB_MAX {
        return Err(HashError::TooCostly("the memory of Argon2id in KiB", ARGON2_KIB_MAX));
    }
    if params.t_cost() > ARGON2_PASSES_MAX {
        return Err(HashError::TooCostly("the number of passes of Argon2id", ARGON2_PASSES_MAX));
    }
    Ok(Hash::Argon2id(text.into(), params.m_cost()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `secret` in each kind, at the lowest cost.
    const BCRYPT: &str = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
    const SHA512: &str = "$6$rounds=1000$saltsalt$LAV5VE5Y7w1d73x1mFNspYWUpazfmwv2SoepNXNKJ/otop/Zok96Hr8Q13\
        LEv0DRY/x8v0/crpIjl8NJSAqXV/";

    fn argon2id() -> String {
        use argon2::PasswordHasher as _;
        let argon2 =
            Argon2::new(Algorithm::Argon2id, argon2::Version::V0x13, Params::new(8, 1, 1, None).unwrap());
        argon2.hash_password_with_salt(b"secret", b"saltsalt").unwrap().to_string()
    }

    #[test]
    fn every_kind_tells_right_from_wrong() {
        for text in [BCRYPT, SHA512, &argon2id()] {
            let hash = Hash::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert!(hash.verify(b"secret"), "{text}");
            assert_eq!(hash.memory_kib(), if text.starts_with("$argon2id$") { 8 } else { 0 });
            for wrong in [&b""[..], b"Secret", b"secret ", b"secre"] {
                assert!(!hash.verify(wrong), "{text}");
            }
        }
    }

    #[test]
    fn what_protects_nobody_is_refused() {
        for text in [
            "secret",
            "",
            "$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/",
            "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
            "$1$x$y",
            "rqXexS6ZhobKA",
        ] {
            assert!(matches!(Hash::parse(text), Err(HashError::Weak(_))), "{text}");
        }
        for text in ["$5$saltsalt$x", "$7$x", "$argon2i$v=19$m=8,t=1,p=1$x$y", "$"] {
            assert_eq!(Hash::parse(text).unwrap_err(), HashError::Unsupported, "{text}");
        }
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let broken = [
            "$2y$",
            "$2y$04$short",
            "$2y$99$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WI",
            &SHA512[..60],
            "$6$rounds=7$s$",
            "$6$rounds=x$s$",
            "$6$",
            "$argon2id$",
            "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ",
        ];
        for text in broken {
            assert!(matches!(Hash::parse(text), Err(HashError::Malformed(_))), "{text}");
        }
    }

    #[test]
    fn what_costs_too_much_is_refused() {
        let dear = [
            BCRYPT.replace("$04$", "$16$"),
            SHA512.replace("rounds=1000", "rounds=999999999"),
            argon2id().replace("m=8", "m=4194304"),
            argon2id().replace("t=1", "t=1000"),
        ];
        for text in dear {
            assert!(matches!(Hash::parse(&text), Err(HashError::TooCostly(..))), "{text}");
        }
    }
}
