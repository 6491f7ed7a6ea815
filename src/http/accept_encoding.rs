//! The Accept-Encoding field (RFC 9110 §12.5.3): selects the content coding of a response among those
//! available. Compresses nothing, and knows only the codings that the server sends.

use super::accept::{self, WEIGHT_MAX};

/// The content codings that the server sends (RFC 9110 §8.4.1, RFC 7932, RFC 8878).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Coding {
    /// No coding.
    Identity,
    /// `gzip`, which every client supports.
    Gzip,
    /// `zstd`.
    Zstd,
    /// `br`.
    Brotli,
}

impl Coding {
    /// All codings but identity, the preferred first: for text compressed in advance, brotli is the smallest
    /// and zstd next, and the cost of decoding hardly differs.
    pub const PREFERRED: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// The token of Content-Encoding; `identity` is never written there.
    pub fn token(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Brotli => "br",
        }
    }

    /// The coding of a token, compared without case; `x-gzip` is `gzip` (§8.4.1.3). `None` for others.
    pub fn of_token(token: &[u8]) -> Option<Self> {
        let is = |name: &str| token.eq_ignore_ascii_case(name.as_bytes());
        match token.len() {
            2 if is("br") => Some(Self::Brotli),
            4 if is("gzip") => Some(Self::Gzip),
            4 if is("zstd") => Some(Self::Zstd),
            6 if is("x-gzip") => Some(Self::Gzip),
            8 if is("identity") => Some(Self::Identity),
            _ => None,
        }
    }

    /// The file extension of the coded form of a file, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Identity => "",
            Self::Gzip => "gz",
            Self::Zstd => "zst",
            Self::Brotli => "br",
        }
    }
}

/// A weight in thousandths (§12.4.2): 0 is "not acceptable".
type Weight = u16;

/// The codings that a client accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AcceptEncoding {
    /// By coding; `None` where the client did not name it.
    named: [Option<Weight>; 4],
    /// The weight of `*`: of every coding that is not named.
    any: Option<Weight>,
}

impl AcceptEncoding {
    /// Parses the field over all its lines. If it is absent or malformed, only identity is acceptable,
    /// because every client can read it. Of a coding that occurs twice, the first weight counts.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut accepted = Self::default();
        for line in lines {
            for element in line.split(|byte| *byte == b',') {
                let element = element.trim_ascii();
                if element.is_empty() {
                    continue;
                }
                let Some((token, weight)) = parse_element(element) else { return Self::default() };
                if token == b"*" {
                    accepted.any.get_or_insert(weight);
                } else if let Some(coding) = Coding::of_token(token) {
                    accepted.named[coding as usize].get_or_insert(weight);
                }
            }
        }
        accepted
    }

    /// The weight of a coding; 0 is not acceptable. Identity that is neither listed nor matched by `*` is
    /// acceptable, with a weight below all listed codings.
    fn weight(&self, coding: Coding) -> Weight {
        self.named[coding as usize].or(self.any).unwrap_or(0)
    }

    /// Whether the coding is acceptable. Identity can be refused too.
    pub fn accepts(&self, coding: Coding) -> bool {
        match coding {
            Coding::Identity => self.named[coding as usize].or(self.any) != Some(0),
            _ => self.weight(coding) > 0,
        }
    }

    /// The best of the available codings, in any order; identity is always available, and is the result when
    /// no other is acceptable, even if the client refuses it: §12.5.3 leaves that to the server, and a
    /// response is more useful than a 406.
    ///
    /// The greatest weight wins; among equals the order of [`Coding::PREFERRED`], identity last.
    pub fn choose(&self, available: impl Fn(Coding) -> bool) -> Coding {
        self.best(Coding::PREFERRED.into_iter().filter(|coding| available(*coding)))
    }

    /// As [`choose`](Self::choose) among these codings; among equals the first of them.
    pub fn best(&self, codings: impl IntoIterator<Item = Coding>) -> Coding {
        let mut best = (self.weight(Coding::Identity), Coding::Identity);
        for coding in codings {
            let weight = self.weight(coding);
            let wins = weight > best.0 || (weight == best.0 && best.1 == Coding::Identity);
            if weight > 0 && wins {
                best = (weight, coding);
            }
        }
        best.1
    }
}

/// `token [ OWS ";" OWS "q=" qvalue ]`.
fn parse_element(element: &[u8]) -> Option<(&[u8], Weight)> {
    let (token, weight) = match memchr::memchr(b';', element) {
        None => (element, WEIGHT_MAX),
        Some(at) => (element[..at].trim_ascii_end(), parse_weight(element[at + 1..].trim_ascii_start())?),
    };
    (!token.is_empty() && token.iter().all(|byte| is_token(*byte))).then_some((token, weight))
}

/// `q=` and its number.
fn parse_weight(parameter: &[u8]) -> Option<Weight> {
    let [b'q' | b'Q', b'=', number @ ..] = parameter else { return None };
    accept::parse_weight(number)
}

/// `tchar` (RFC 9110 §5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Coding::{Brotli, Gzip, Identity, Zstd};
    use super::*;

    fn choose(lines: &[&str], available: &[Coding]) -> Coding {
        let accepted = AcceptEncoding::parse(lines.iter().map(|line| line.as_bytes()));
        accepted.choose(|coding| available.contains(&coding))
    }

    const ALL: &[Coding] = &[Gzip, Zstd, Brotli];

    #[test]
    fn the_greatest_weight_wins_then_the_smallest_answer() {
        for (field, best) in [
            ("gzip, deflate, br, zstd", Brotli),
            ("gzip, deflate, br", Brotli),
            ("gzip, deflate", Gzip),
            ("zstd, gzip", Zstd),
            ("gzip;q=1.0, br;q=0.8", Gzip),
            ("gzip;q=0.5, br;q=0.500, zstd;q=0.501", Zstd),
            ("GZIP", Gzip),
            ("x-gzip", Gzip),
            ("deflate", Identity),
            ("compress, x-compress", Identity),
            ("*", Brotli),
            ("*;q=0.1", Brotli),
            ("br;q=0, *", Zstd),
            ("br;q=0, *;q=0.5, gzip", Gzip),
            ("identity", Identity),
            ("identity, gzip", Gzip),
            ("identity;q=1, gzip;q=0.9", Identity),
            ("identity;q=0.5, gzip;q=0.4, br;q=0.6", Brotli),
            ("identity;q=0", Identity),
            ("identity;q=0, gzip", Gzip),
            ("*;q=0", Identity),
            ("gzip;q=0", Identity),
            ("gzip;q=0.001", Gzip),
            ("gzip;q=0.000", Identity),
            ("gzip ; q=0.5 , br ; Q=0.4", Gzip),
            (",,gzip,,", Gzip),
            ("gzip;q=0, gzip;q=1", Identity),
            ("gzip;q=1., br;q=0.", Gzip),
            ("", Identity),
        ] {
            assert_eq!(choose(&[field], ALL), best, "{field:?}");
        }
    }

    #[test]
    fn what_breaks_the_grammar_is_answered_plainly() {
        for field in [
            "gzip;q=2",
            "gzip;q=1.001",
            "gzip;q=0.1234",
            "gzip;q=-1",
            "gzip;q=",
            "gzip;q",
            "gzip;",
            "gzip;level=9",
            "gzip;q=0.5;x=y",
            "gzip br",
            "br, gz\u{ef}p",
            "br, \"gzip\"",
            ";q=1",
            "br;q=.5",
        ] {
            assert_eq!(choose(&[field], ALL), Identity, "{field:?}");
        }
    }

    #[test]
    fn only_what_is_at_hand_is_chosen() {
        assert_eq!(choose(&["br, zstd, gzip"], &[]), Identity);
        assert_eq!(choose(&["br, zstd, gzip"], &[Gzip]), Gzip);
        assert_eq!(choose(&["br;q=0.1, zstd, gzip;q=0.9"], &[Gzip, Brotli]), Gzip);
        assert_eq!(choose(&["br, identity;q=0"], &[Gzip]), Identity);
        assert_eq!(choose(&[], ALL), Identity);
    }

    #[test]
    fn lines_are_one_list() {
        assert_eq!(choose(&["gzip", "br"], ALL), Brotli);
        assert_eq!(choose(&["gzip", "br;q=x"], ALL), Identity);
    }

    #[test]
    fn identity_may_be_refused() {
        let accepts = |field: &str| AcceptEncoding::parse([field.as_bytes()]).accepts(Identity);
        assert!(accepts("gzip") && accepts("") && accepts("*;q=0, identity") && accepts("*"));
        assert!(!accepts("identity;q=0") && !accepts("gzip, *;q=0"));
    }

    proptest! {
        #[test]
        fn a_coding_that_is_chosen_was_accepted(field in "[a-z,;=*0-9. -]{0,40}") {
            let accepted = AcceptEncoding::parse([field.as_bytes()]);
            let chosen = accepted.choose(|_| true);
            prop_assert!(chosen == Identity || accepted.accepts(chosen));
        }
    }
}
