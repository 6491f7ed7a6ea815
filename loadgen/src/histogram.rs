//! Histograms of durations: recorded per core, merged by addition, stored in the format that HdrHistogram's
//! own readers know (V2, deflated, base64). Knows nothing of requests.

use std::fmt;

use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer as SerdeDeserializer, Serialize, Serializer as SerdeSerializer};

/// Longest duration that is resolved: an hour. Longer ones count as an hour.
pub(crate) const LONGEST_NS: u64 = 3_600_000_000_000;

/// Decimal digits that are kept: within 0.1 %.
pub(crate) const DIGITS: u8 = 3;

/// Samples above a quantile without which it is not reported: with fewer, one more run would move it at will.
pub(crate) const SAMPLES_BEHIND_QUANTILE: u64 = 10;

/// The reported quantiles, and their names.
pub(crate) const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// Durations in nanoseconds.
#[derive(Clone, PartialEq)]
pub(crate) struct Durations(hdrhistogram::Histogram<u64>);

/// Without its thousands of counts.
impl fmt::Debug for Durations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Durations({} up to {} ns)", self.0.len(), self.0.max())
    }
}

impl Default for Durations {
    fn default() -> Self {
        let histogram = hdrhistogram::Histogram::new_with_bounds(1, LONGEST_NS, DIGITS);
        Self(histogram.expect("the bounds are sound"))
    }
}

impl Durations {
    /// Counts one duration.
    #[inline]
    pub(crate) fn record(&mut self, nanoseconds: u64) {
        self.0.saturating_record(nanoseconds.max(1));
    }

    /// Adds all of another's.
    pub(crate) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all histograms have the same bounds");
    }

    /// Takes out what is among these, and puts the others in its place.
    pub(crate) fn replace(&mut self, out: &Self, by: &Self) {
        // Files may hold anything: what is not there is not taken out, and a copy, since an error is noticed
        // half-way.
        let mut rest = self.0.clone();
        if rest.subtract(&out.0).is_ok() {
            self.0 = rest;
            self.add(by);
        }
    }

    /// Samples.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The duration, in nanoseconds, that this share (0 to 1) of samples does not exceed; `None` where fewer
    /// than [`SAMPLES_BEHIND_QUANTILE`] samples lie beyond it.
    pub(crate) fn quantile(&self, share: f64) -> Option<u64> {
        let beyond = (1.0 - share) * self.0.len() as f64;
        (beyond >= SAMPLES_BEHIND_QUANTILE as f64 - 1e-6).then(|| self.0.value_at_quantile(share))
    }

    /// Samples that a quantile takes: fewer leave too few beyond it.
    pub(crate) fn samples_for(share: f64) -> u64 {
        (SAMPLES_BEHIND_QUANTILE as f64 / (1.0 - share) - 1e-6).ceil() as u64
    }

    /// The longest duration; `None` without samples.
    pub(crate) fn max(&self) -> Option<u64> {
        (!self.0.is_empty()).then(|| self.0.max())
    }

    /// The shortest duration; `None` without samples.
    pub(crate) fn min(&self) -> Option<u64> {
        (!self.0.is_empty()).then(|| self.0.min())
    }

    /// The mean in nanoseconds; `None` without samples.
    pub(crate) fn mean(&self) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.mean())
    }

    /// The histogram itself, for iteration.
    pub(crate) fn inner(&self) -> &hdrhistogram::Histogram<u64> {
        &self.0
    }

    /// As HdrHistogram's readers take it: V2, deflated, base64.
    pub(crate) fn encode(&self) -> String {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(&self.0, &mut bytes).expect("writing to memory does not fail");
        base64(&bytes)
    }
}

/// In a file: the histogram, and beside it the figures that most readers want without unpacking it.
#[derive(Serialize)]
struct Written {
    count: u64,
    min_ns: Option<u64>,
    mean_ns: Option<f64>,
    p50_ns: Option<u64>,
    p90_ns: Option<u64>,
    p99_ns: Option<u64>,
    p999_ns: Option<u64>,
    max_ns: Option<u64>,
    histogram: String,
}

/// Read back: the histogram alone. The figures beside it follow from it, so they are not believed.
#[derive(Deserialize)]
struct Read {
    histogram: String,
}

impl Serialize for Durations {
    fn serialize<S: SerdeSerializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = Written {
            count: self.count(),
            min_ns: self.min(),
            mean_ns: self.mean(),
            p50_ns: self.quantile(0.5),
            p90_ns: self.quantile(0.9),
            p99_ns: self.quantile(0.99),
            p999_ns: self.quantile(0.999),
            max_ns: self.max(),
            histogram: self.encode(),
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Durations {
    fn deserialize<D: SerdeDeserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Read { histogram: text } = Read::deserialize(deserializer)?;
        let bytes = unbase64(&text).ok_or_else(|| D::Error::custom("a histogram that is no base64"))?;
        let read: hdrhistogram::Histogram<u64> = Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|error| D::Error::custom(format!("a histogram that cannot be read: {error}")))?;
        let mut durations = Self::default();
        durations.0.add(&read).map_err(|error| D::Error::custom(format!("a foreign histogram: {error}")))?;
        Ok(durations)
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= group.len() { digit as char } else { '=' });
        }
    }
    text
}

fn unbase64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let digit = ALPHABET.iter().position(|&known| known == byte)? as u32;
        (bits, count) = (bits << 6 | digit, count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_what_was_recorded() {
        let mut durations = Durations::default();
        for value in [0, 1, 999, 1_000_000, LONGEST_NS, u64::MAX] {
            durations.record(value);
        }
        let text = serde_json::to_string(&durations).unwrap();
        assert!(text.starts_with(r#"{"count":6,"min_ns":1,"mean_ns":"#), "{text}");
        assert!(text.contains(r#""p50_ns":null,"#), "too few samples: {text}");
        let read: Durations = serde_json::from_str(&text).unwrap();
        assert_eq!(read, durations);
        assert_eq!((read.count(), read.min()), (6, Some(1)));
        assert!(serde_json::from_str::<Durations>(r#"{"histogram":"!"}"#).is_err());
        assert!(serde_json::from_str::<Durations>(r#"{"histogram":"AAAA"}"#).is_err());
        assert!(serde_json::from_str::<Durations>(r#"{"count":6}"#).is_err());
    }

    #[test]
    fn quantiles_with_too_few_samples_are_not_told() {
        let mut durations = Durations::default();
        (1..=1000).for_each(|n| durations.record(n * 1000));
        assert!(durations.quantile(0.99).is_some());
        assert_eq!([0.5, 0.9, 0.99, 0.999].map(Durations::samples_for), [20, 100, 1_000, 10_000]);
        assert_eq!(durations.quantile(0.999), None);
        assert_eq!(Durations::default().quantile(0.5), None);
        assert_eq!((Durations::default().max(), Durations::default().mean()), (None, None));
    }

    #[test]
    fn samples_are_replaced() {
        let of = |values: &[u64]| {
            let mut durations = Durations::default();
            values.iter().for_each(|&value| durations.record(value));
            durations
        };
        let mut durations = of(&[5, 7, 1_000_000]);
        durations.replace(&of(&[1_000_000]), &of(&[6]));
        assert_eq!(durations, of(&[5, 6, 7]));
        assert_eq!(durations.max(), Some(7));
        durations.replace(&of(&[9]), &of(&[1]));
        assert_eq!(durations, of(&[5, 6, 7]), "what is not there is not replaced");
    }

    #[test]
    fn base64_is_rfc_4648s() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
            assert_eq!(unbase64(coded).unwrap(), plain.as_bytes());
        }
    }
}
