//! Which statuses are answers as expected.

/// A set of status codes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Expect([u64; 16]);

impl Default for Expect {
    /// 200 to 399: what a client takes for success.
    fn default() -> Self {
        let mut set = Self([0; 16]);
        (200..400).for_each(|status| set.insert(status));
        set
    }
}

impl Expect {
    /// Reads `200`, `200,404` or `2xx,404`.
    ///
    /// # Errors
    /// A sentence with the remedy.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut set = Self([0; 16]);
        for part in text.split(',').map(str::trim) {
            let statuses = match part.strip_suffix("xx").map(str::parse::<u16>) {
                Some(Ok(class @ 1..=5)) => class * 100..class * 100 + 100,
                Some(_) => 0..0,
                None => {
                    part.parse::<u16>().ok().filter(|n| (100..600).contains(n)).map_or(0..0, |n| n..n + 1)
                }
            };
            if statuses.is_empty() {
                return Err(format!("`{part}` is no status; write 200, 404 or 2xx, separated by commas"));
            }
            statuses.for_each(|status| set.insert(status));
        }
        Ok(set)
    }

    fn insert(&mut self, status: u16) {
        self.0[usize::from(status) / 64] |= 1 << (status % 64);
    }

    /// Whether this status is expected.
    #[inline]
    pub(crate) fn accepts(&self, status: u16) -> bool {
        self.0.get(usize::from(status) / 64).is_some_and(|bits| bits >> (status % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_read() {
        let set = Expect::parse("2xx, 404").unwrap();
        assert!(set.accepts(200) && set.accepts(299) && set.accepts(404));
        assert!(!set.accepts(300) && !set.accepts(199) && !set.accepts(403) && !set.accepts(u16::MAX));
        assert!(Expect::default().accepts(399) && !Expect::default().accepts(400));
        for text in ["", "99", "600", "6xx", "x", "200,"] {
            assert!(Expect::parse(text).unwrap_err().contains("2xx"), "{text}");
        }
    }
}
