//! Axes: which range is shown, where the ticks stand, their labels. Knows no drawing.

/// How values become places.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scale {
    Linear,
    Logarithmic,
}

/// Room between a line and the edge, so that none lies upon the other.
const AIR: f64 = 1.04;

/// A range with ticks.
pub(super) struct Axis {
    pub(super) label: &'static str,
    scale: Scale,
    from: f64,
    to: f64,
    pub(super) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Where a value lies: 0 at the start of the axis, 1 at its end; what lies outside is moved to the edge.
    pub(super) fn place(&self, value: f64) -> f64 {
        let place = match self.scale {
            Scale::Linear => (value - self.from) / (self.to - self.from),
            Scale::Logarithmic => (value / self.from).ln() / (self.to / self.from).ln(),
        };
        if place.is_finite() { place.clamp(0.0, 1.0) } else { 0.0 }
    }

    /// From 0 to a little beyond this value, with about five ticks.
    pub(super) fn upwards(label: &'static str, max: f64) -> Self {
        Self::from_zero(label, max * AIR)
    }

    fn from_zero(label: &'static str, max: f64) -> Self {
        let max = if max > 0.0 && max.is_finite() { max } else { 1.0 };
        let step = step(max / 5.0);
        let steps = (max / step - 1e-9).ceil().max(1.0);
        let ticks = (0..=steps as u32).map(|n| (f64::from(n) * step, short(f64::from(n) * step))).collect();
        Self { label, scale: Scale::Linear, from: 0.0, to: steps * step, ticks }
    }

    /// From 0 to exactly this value: time.
    pub(super) fn seconds(label: &'static str, max: f64) -> Self {
        let mut axis = Self::from_zero(label, max);
        if max > 0.0 && max.is_finite() {
            axis.to = max;
            axis.ticks.retain(|(value, _)| *value <= max * 1.001);
        }
        axis
    }

    /// Durations in nanoseconds, each decade as wide as the others: from the 1, 2 or 5 below the least to
    /// that above the greatest.
    pub(super) fn durations(label: &'static str, least: f64, greatest: f64) -> Self {
        let least = (least / AIR).max(1.0);
        let from = round_near(least).into_iter().rfind(|&n| n <= least * 1.000_001).unwrap_or(1.0);
        let greatest = (greatest * AIR).max(from * 1.5);
        let to = round_near(greatest).into_iter().find(|&n| n >= greatest * 0.999_999).unwrap_or(greatest);
        let digits: &[f64] = if to / from > 200.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let mut ticks = Vec::new();
        let mut power = decade(from);
        while power <= to {
            let here = digits.iter().map(|digit| digit * power);
            ticks.extend(here.filter(|n| (from..=to).contains(n)).map(|n| (n, duration(n))));
            power *= 10.0;
        }
        Self { label, scale: Scale::Logarithmic, from, to, ticks }
    }

    /// Quantiles as 1/(1 − q): each nine as wide as the others, up to the one that so many samples allow.
    pub(super) fn nines(label: &'static str, samples: u64) -> Self {
        let to = (samples as f64).max(10.0);
        let mut ticks = vec![(1.0, "0".to_string()), (2.0, "50".to_string())];
        let mut beyond = 10.0;
        for nines in 1..=12usize {
            if beyond <= to * 1.000_001 {
                let name =
                    if nines < 3 { "9".repeat(nines) } else { format!("99.{}", "9".repeat(nines - 2)) };
                ticks.push((beyond, if nines == 1 { "90".to_string() } else { name }));
            }
            beyond *= 10.0;
        }
        Self { label, scale: Scale::Logarithmic, from: 1.0, to, ticks }
    }
}

fn decade(value: f64) -> f64 {
    10f64.powf((value.log10() + 1e-9).floor())
}

/// 1, 2, 5 and 10 of this value's decade.
fn round_near(value: f64) -> [f64; 4] {
    [1.0, 2.0, 5.0, 10.0].map(|n| n * decade(value))
}

/// The next of 1, 2, 5, 10, 20, … that is not below.
fn step(least: f64) -> f64 {
    round_near(least).into_iter().find(|&n| n >= least * 0.999_999).unwrap_or(least)
}

/// A duration of one digit: `200 µs`.
fn duration(nanoseconds: f64) -> String {
    let (value, unit) = match nanoseconds {
        n if n < 1e3 => (n, "ns"),
        n if n < 1e6 => (n / 1e3, "µs"),
        n if n < 1e9 => (n / 1e6, "ms"),
        n => (n / 1e9, "s"),
    };
    format!("{value:.0} {unit}")
}

/// A figure in as few digits as it needs: `2.5 k`.
fn short(value: f64) -> String {
    let (value, unit) = match value {
        v if v >= 999_999.5e3 => (v / 1e9, " G"),
        v if v >= 999_999.5 => (v / 1e6, " M"),
        v if v >= 9_999.5 => (v / 1e3, " k"),
        v => (v, ""),
    };
    let text = format!("{value:.6}");
    format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(labels(&Axis::upwards("", 2_100.0)), ["0", "500", "1000", "1500", "2000", "2500"]);
        assert_eq!(labels(&Axis::upwards("", 61_000.0)), ["0", "20 k", "40 k", "60 k", "80 k"]);
        assert_eq!(labels(&Axis::upwards("", 0.7)), ["0", "0.2", "0.4", "0.6", "0.8"]);
        assert_eq!(labels(&Axis::seconds("", 10.4)), ["0", "5", "10"]);
        assert_eq!(labels(&Axis::durations("", 410e3, 2.1e6)), ["200 µs", "500 µs", "1 ms", "2 ms", "5 ms"]);
        assert_eq!(labels(&Axis::durations("", 4e5, 1e9)), ["1 ms", "10 ms", "100 ms", "1 s"]);
        assert_eq!(labels(&Axis::nines("", 20_000)), ["0", "50", "90", "99", "99.9", "99.99"]);
    }

    #[test]
    fn ends_are_at_the_edges() {
        for axis in [Axis::durations("", 1e3, 1e6), Axis::nines("", 1000), Axis::upwards("", 10.0)] {
            assert!((axis.place(axis.from), axis.place(axis.to)) == (0.0, 1.0));
        }
        assert_eq!(Axis::nines("", 10_000).place(100.0), 0.5);
    }

    #[test]
    fn nothing_and_nonsense_have_an_axis() {
        let axes = [
            Axis::upwards("", 0.0),
            Axis::upwards("", f64::NAN),
            Axis::upwards("", f64::INFINITY),
            Axis::upwards("", 1e300),
            Axis::seconds("", 0.0),
            Axis::durations("", 0.0, 0.0),
            Axis::durations("", 1.0, 1e300),
            Axis::nines("", 0),
            Axis::nines("", u64::MAX),
        ];
        for axis in axes {
            assert!(axis.ticks.len() < 400 && axis.to > axis.from);
            for value in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
                assert!((0.0..=1.0).contains(&axis.place(value)));
            }
        }
    }
}
