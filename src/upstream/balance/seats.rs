//! Which endpoints may get requests now, in which order of preference and with which shares. Pure.
//!
//! Made anew when something has changed or when a time has come ([`Seating::valid_until`]), not for each
//! request: a choice then costs as much with a thousand endpoints as with three.

use super::random::Random;
use crate::upstream::moment::Moment;
use crate::upstream::slow_start::{self, Ramp};

/// What is known of an endpoint.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Standing {
    pub(crate) weight: u32,
    /// Only for a time in which no endpoint that is not a backup is usable.
    pub(crate) backup: bool,
    /// In the zone of this process, or no zone is preferred.
    pub(crate) is_local: bool,
    /// Neither down by configuration nor drained: counts as an endpoint.
    pub(crate) enabled: bool,
    /// By the active checks.
    pub(crate) healthy: bool,
    /// By passive signs it is left out until then.
    pub(crate) ejected_until: Moment,
    /// Its circuit breaker is open until then.
    pub(crate) open_until: Moment,
    pub(crate) ramp: Ramp,
}

/// An endpoint that may get requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seat {
    /// Its place in the list of endpoints.
    pub(crate) index: usize,
    /// Its weight, in 1/256 and by its ramp. Not zero.
    pub(crate) weight: u64,
    /// The sum of the weights of its row up to here, its own included.
    upto: u64,
    /// What its slow start leaves it of its share, of [`slow_start::WHOLE`].
    pub(crate) share: u32,
}

impl Seat {
    /// Whether it grows into its share.
    #[inline]
    pub(crate) fn is_ramping(&self) -> bool {
        self.share < slow_start::WHOLE
    }
}

/// A row of seats, by index: those behind it get requests only when it has none to give.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a>(pub(crate) &'a [Seat]);

/// Why no endpoint has a seat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Vacant {
    /// All are down, drained or without weight.
    Disabled,
    /// The breakers of all healthy ones are open; the first until then.
    Open(Moment),
}

/// The seats.
#[derive(Debug, Default)]
pub(crate) struct Seating {
    seats: Vec<Seat>,
    /// Where each row ends.
    ends: Vec<usize>,
    /// Until then nothing changes by time alone.
    pub(crate) valid_until: Moment,
    /// Health is ignored.
    pub(crate) panics: bool,
    pub(crate) vacant: Option<Vacant>,
}

impl<'a> Row<'a> {
    pub(crate) fn total(&self) -> u64 {
        self.0.last().map_or(0, |seat| seat.upto)
    }

    /// The seat of this endpoint. Seats of a row are in the order of the endpoints.
    #[inline]
    pub(crate) fn seat(&self, index: usize) -> Option<&'a Seat> {
        self.0.binary_search_by_key(&index, |seat| seat.index).ok().map(|at| &self.0[at])
    }

    /// A seat by weight.
    #[inline]
    pub(crate) fn draw(&self, random: &mut Random) -> Option<&'a Seat> {
        let at = random.below(self.total());
        self.0.get(self.0.partition_point(|seat| seat.upto <= at))
    }

    /// A seat by weight that is not `taken`, if there is one.
    #[inline]
    pub(crate) fn draw_free(&self, taken: &impl Fn(usize) -> bool, random: &mut Random) -> Option<&'a Seat> {
        let first = self.draw(random)?;
        if !taken(first.index) {
            return Some(first);
        }
        // Rare: a retry, or a breaker that tries.
        let free = self.0.iter().filter(|seat| !taken(seat.index));
        let mut at = random.below(free.clone().map(|seat| seat.weight).sum());
        free.clone().find(|seat| {
            let here = at < seat.weight;
            at = at.saturating_sub(seat.weight);
            here
        })
    }
}

impl Seating {
    /// Seats for endpoints of these standings. `panic_percent`: below this part of usable endpoints health is
    /// ignored; at zero only where none is usable.
    pub(crate) fn new(standings: &[Standing], panic_percent: u32, now: Moment) -> Self {
        let good = |s: &Standing| s.enabled && s.healthy && s.ejected_until <= now;
        let hosts = standings.iter().filter(|s| s.enabled).count();
        let usable = standings.iter().filter(|s| good(s)).count();
        let healthy = standings.iter().filter(|s| s.enabled && s.healthy).count();
        let panics = usable == 0 || (usable * 100) < hosts * panic_percent as usize;
        // What was ejected comes before what active checks have found dead, unless too little is left of it.
        let keeps_health = healthy > 0 && healthy * 100 >= hosts * panic_percent as usize;
        let may_sit = |s: &Standing| match (panics, keeps_health) {
            (false, _) => good(s),
            (true, true) => s.enabled && s.healthy,
            (true, false) => s.enabled,
        };
        let mut seating = Self { panics: panics && hosts > 0, ..Self::default() };
        let times = standings.iter().filter(|s| s.enabled);
        let times = times.flat_map(|s| [s.ejected_until, s.open_until, s.ramp.next]);
        seating.valid_until = times.filter(|time| *time > now).min().unwrap_or(Moment::NEVER);
        let seated = |s: &Standing| may_sit(s) && s.open_until <= now;
        for backup in [false, true] {
            let tier = |s: &Standing| s.backup == backup && seated(s);
            if prefers_zone(standings, |s| s.backup == backup, tier) {
                seating.add_row(standings, |s| tier(s) && s.is_local);
                seating.add_row(standings, |s| tier(s) && !s.is_local);
            } else {
                seating.add_row(standings, tier);
            }
        }
        if seating.seats.is_empty() {
            let open = standings.iter().filter(|s| may_sit(s)).map(|s| s.open_until).min();
            seating.vacant = Some(open.map_or(Vacant::Disabled, Vacant::Open));
        }
        seating
    }

    fn add_row(&mut self, standings: &[Standing], sits: impl Fn(&Standing) -> bool) {
        let chosen = || standings.iter().enumerate().filter(|(_, s)| sits(s));
        let largest = chosen().map(|(_, s)| s.ramp.share).max().unwrap_or(0);
        let mut upto = 0;
        for (index, standing) in chosen() {
            let share = slow_start::relative(standing.ramp.share, largest);
            let weight = u64::from(standing.weight) * u64::from(share);
            upto += weight;
            self.seats.push(Seat { index, weight, upto, share });
        }
        if upto > 0 {
            self.ends.push(self.seats.len());
        }
    }

    /// The rows, in the order of preference.
    #[inline]
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> + Clone {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(begin, &end)| Row(&self.seats[begin..end]))
    }

    /// The first row, which gets the requests.
    #[cfg(test)]
    pub(crate) fn first(&self) -> Row<'_> {
        Row(&self.seats[..self.ends.first().copied().unwrap_or(0)])
    }
}

/// Whether the endpoints of the own zone are to get all requests of a tier: while at least half of their
/// weight is usable. With less the rest of them would be overloaded before the other zones help.
fn prefers_zone(
    standings: &[Standing],
    of_tier: impl Fn(&Standing) -> bool,
    seated: impl Fn(&Standing) -> bool,
) -> bool {
    let weight = |of: &dyn Fn(&Standing) -> bool| -> u64 {
        standings.iter().filter(|s| s.is_local && of(s)).map(|s| u64::from(s.weight)).sum()
    };
    let all = weight(&|s| s.enabled && of_tier(s));
    let usable = weight(&|s| seated(s));
    usable > 0 && usable * 2 >= all
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::upstream::slow_start::WHOLE;

    const NOW: Moment = Moment(1_000_000);

    pub(crate) fn standing() -> Standing {
        Standing {
            weight: 1,
            backup: false,
            is_local: true,
            enabled: true,
            healthy: true,
            ejected_until: Moment::default(),
            open_until: Moment::default(),
            ramp: Ramp::DONE,
        }
    }

    pub(crate) fn seating_of(standings: &[Standing]) -> Seating {
        Seating::new(standings, 0, NOW)
    }

    fn rows(standings: &[Standing], panic_percent: u32) -> Vec<Vec<usize>> {
        let seating = Seating::new(standings, panic_percent, NOW);
        seating.rows().map(|row| row.0.iter().map(|seat| seat.index).collect()).collect()
    }

    #[test]
    fn what_is_unusable_has_no_seat() {
        let good = standing();
        let later = Moment(NOW.0 + 1);
        let standings = [
            Standing { enabled: false, ..good },
            good,
            Standing { healthy: false, ..good },
            Standing { ejected_until: later, ..good },
            Standing { open_until: later, ..good },
            Standing { ejected_until: NOW, open_until: NOW, ..good },
        ];
        assert_eq!(rows(&standings, 0), [[1, 5]]);
        let seating = Seating::new(&standings, 0, NOW);
        assert_eq!((seating.valid_until, seating.panics, seating.vacant), (later, false, None));
        assert_eq!(Seating::new(&[good], 0, NOW).valid_until, Moment::NEVER);
    }

    #[test]
    fn backups_are_behind_and_still_there() {
        let (main, backup) = (standing(), Standing { backup: true, ..standing() });
        assert_eq!(rows(&[backup, main, main], 0), [vec![1, 2], vec![0]]);
        assert_eq!(rows(&[backup, Standing { healthy: false, ..main }], 0), [[0]]);
    }

    #[test]
    fn the_own_zone_comes_first_while_half_of_it_is_usable() {
        let (near, far) = (standing(), Standing { is_local: false, ..standing() });
        let dead = Standing { healthy: false, ..near };
        assert_eq!(rows(&[far, near, near], 0), [vec![1, 2], vec![0]]);
        assert_eq!(rows(&[far, near, dead], 0), [vec![1], vec![0]]);
        assert_eq!(rows(&[far, near, dead, dead], 0), [[0, 1]]);
        assert_eq!(rows(&[far, far], 0), [[0, 1]]);
        assert_eq!(rows(&[far, near, Standing { enabled: false, ..near }], 0), [vec![1], vec![0]]);
    }

    #[test]
    fn when_all_fail_all_are_tried_the_healthy_ones_first() {
        let ejected = Standing { ejected_until: Moment::NEVER, ..standing() };
        let dead = Standing { healthy: false, ..standing() };
        let off = Standing { enabled: false, ..standing() };
        assert_eq!(rows(&[ejected, dead, off], 0), [[0]]);
        assert_eq!(rows(&[dead, dead, off], 0), [[0, 1]]);
        assert!(Seating::new(&[dead, off], 0, NOW).panics);
        assert_eq!(Seating::new(&[off, off], 0, NOW).vacant, Some(Vacant::Disabled));
        assert!(!Seating::new(&[off], 0, NOW).panics);
        // One of four is less than 30 %, two are not; what is off does not count.
        assert_eq!(rows(&[standing(), dead, dead, dead, off], 30), [[0, 1, 2, 3]]);
        assert_eq!(rows(&[standing(), standing(), dead, dead, off], 30), [[0, 1]]);
    }

    #[test]
    fn an_open_breaker_is_no_reason_to_panic() {
        let open = Standing { open_until: Moment(NOW.0 + 5), ..standing() };
        let dead = Standing { healthy: false, ..standing() };
        let seating = Seating::new(&[open, dead], 0, NOW);
        assert_eq!(seating.vacant, Some(Vacant::Open(Moment(NOW.0 + 5))));
        assert_eq!(seating.valid_until, Moment(NOW.0 + 5));
    }

    #[test]
    fn shares_follow_weights_and_ramps() {
        let half = Ramp { share: WHOLE / 2, next: Moment(NOW.0 + 9) };
        let standings = [
            Standing { weight: 3, ..standing() },
            Standing { weight: 2, ramp: half, ..standing() },
            Standing { weight: 0, ..standing() },
        ];
        let seating = Seating::new(&standings[..2], 0, NOW);
        let weights: Vec<_> = seating.first().0.iter().map(|s| (s.weight, s.is_ramping())).collect();
        assert_eq!(weights, [(768, false), (256, true)]);
        assert_eq!(seating.valid_until, half.next);
        // All new: as none.
        let all = Seating::new(&[Standing { ramp: half, ..standing() }; 2], 0, NOW);
        assert!(all.first().0.iter().all(|seat| seat.weight == 256 && !seat.is_ramping()));
    }

    #[test]
    fn draws_follow_the_weights() {
        let standings: Vec<_> = [1, 2, 5].map(|weight| Standing { weight, ..standing() }).into();
        let (seating, mut random) = (seating_of(&standings), Random::new(3));
        let count = |taken: &dyn Fn(usize) -> bool, random: &mut Random| {
            let mut counts = [0; 3];
            for _ in 0..8_000 {
                let drawn = seating.first().draw_free(&|index| taken(index), random);
                counts[drawn.expect("one is free").index] += 1;
            }
            counts
        };
        let near = |counts: [i32; 3], wanted: [i32; 3]| {
            assert!(counts.iter().zip(wanted).all(|(c, w)| (c - w).abs() < 250), "{counts:?} {wanted:?}");
        };
        near(count(&|_| false, &mut random), [1000, 2000, 5000]);
        near(count(&|index| index == 2, &mut random), [2667, 5333, 0]);
        assert!(seating.first().draw_free(&|_| true, &mut random).is_none());
    }

    fn any_standing() -> impl Strategy<Value = Standing> {
        let times = prop_oneof![Just(0), Just(NOW.0), Just(NOW.0 + 1), Just(u64::MAX)];
        (1..9_u32, any::<[bool; 4]>(), times.clone(), times, 26..=WHOLE).prop_map(
            |(weight, [backup, is_local, enabled, healthy], ejected, open, share)| Standing {
                weight,
                backup,
                is_local,
                enabled,
                healthy,
                ejected_until: Moment(ejected),
                open_until: Moment(open),
                ramp: if share == WHOLE { Ramp::DONE } else { Ramp { share, next: Moment(NOW.0 + 7) } },
            },
        )
    }

    proptest! {
        /// No endpoint sits twice, nothing that is off or open sits, and no request is refused while an
        /// endpoint is enabled and its breaker is closed, unless a healthy one's breaker is open.
        #[test]
        fn seats_are_sound(
            standings in prop::collection::vec(any_standing(), 0..12),
            panic_percent in 0..101_u32,
        ) {
            let seating = Seating::new(&standings, panic_percent, NOW);
            let mut seen = std::collections::BTreeSet::new();
            for seat in seating.rows().flat_map(|row| row.0.iter()) {
                prop_assert!(seen.insert(seat.index) && seat.weight > 0);
                prop_assert!(standings[seat.index].enabled && standings[seat.index].open_until <= NOW);
                let good = standings[seat.index].healthy && standings[seat.index].ejected_until <= NOW;
                prop_assert!(good || seating.panics);
            }
            prop_assert_eq!(seating.vacant.is_none(), !seen.is_empty());
            let closed = standings.iter().any(|s| s.enabled && s.open_until <= NOW);
            let healthy_open = standings.iter().any(|s| s.enabled && s.healthy && s.open_until > NOW);
            prop_assert!(!seen.is_empty() || !closed || healthy_open);
            prop_assert!(seating.valid_until > NOW);
        }
    }
}
