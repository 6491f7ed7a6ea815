//! What may be concluded from figures: estimates with exact intervals, verdicts against a threshold, and
//! demands on a run. Measures nothing and prints nothing.

pub(crate) mod change;
pub(crate) mod own;
pub(crate) mod signed_rank;
pub(crate) mod slo;
