//! Smooth weighted round robin as a precomputed cycle.
//!
//! The cycle is worked out once when a service is compiled (nginx's smooth algorithm: every turn each target gains
//! its weight and the richest pays the sum of all), so picking is one step of a counter, and the counter can be shared by
//! every worker without a lock. Three equal targets are picked 1, 2, 3, 1, 2, 3; weights 3 and 1 give A A B A.

/// Longer cycles are scaled down; a share then is off by less than one in this many.
const LONGEST_CYCLE: u64 = 4096;

/// The order in which targets take turns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cycle {
    turns: Vec<u32>,
}

impl Cycle {
    /// Works out the cycle for targets with these weights; a weight of 0 never gets a turn.
    #[must_use]
    pub fn new(weights: &[u32]) -> Self {
        let weights = reduced(weights);
        let total: u64 = weights.iter().sum();
        let mut credit: Vec<i64> = vec![0; weights.len()];
        let mut turns = Vec::with_capacity(usize::try_from(total).unwrap_or(0));
        for _ in 0..total {
            for (credit, weight) in credit.iter_mut().zip(&weights) {
                *credit = credit.saturating_add_unsigned(*weight);
            }
            // The first of the richest, so that equal weights go in order.
            let richest = credit.iter().enumerate().max_by(|a, b| a.1.cmp(b.1).then(b.0.cmp(&a.0))).map(|(at, _)| at);
            if let Some(at) = richest
                && let Some(credit) = credit.get_mut(at)
            {
                *credit = credit.saturating_sub_unsigned(total);
                turns.push(u32::try_from(at).unwrap_or(u32::MAX));
            }
        }
        Self { turns }
    }

    /// The target whose turn it is; none where every weight is 0.
    #[must_use]
    pub fn at(&self, turn: usize) -> Option<usize> {
        let turn = turn.checked_rem(self.turns.len())?;
        self.turns.get(turn).map(|at| *at as usize)
    }

    /// The targets in the order they should be tried at this turn: the one whose turn it is, then those of the
    /// following turns. A target may come up more than once; nothing comes up when every weight is 0.
    pub fn from_turn(&self, turn: usize) -> impl Iterator<Item = usize> {
        let start = if self.turns.is_empty() { 0 } else { turn % self.turns.len() };
        let (before, after) = self.turns.split_at(start);
        after.iter().chain(before).map(|at| *at as usize)
    }

    /// Turns until the cycle repeats.
    #[must_use]
    pub fn len(&self) -> usize {
        self.turns.len()
    }

    /// Whether no target ever gets a turn.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }
}

/// Divides by the greatest common divisor, and scales down what would make too long a cycle (to no less than 1).
fn reduced(weights: &[u32]) -> Vec<u64> {
    let divisor = weights.iter().map(|weight| u64::from(*weight)).fold(0, gcd).max(1);
    let exact: Vec<u64> = weights.iter().map(|weight| u64::from(*weight) / divisor).collect();
    let total: u64 = exact.iter().sum();
    if total <= LONGEST_CYCLE {
        return exact;
    }
    exact.iter().map(|weight| if *weight == 0 { 0 } else { (weight * LONGEST_CYCLE / total).max(1) }).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(weights: &[u32], count: usize) -> Vec<usize> {
        let cycle = Cycle::new(weights);
        let turns: Vec<_> = (0..count).filter_map(|turn| cycle.at(turn)).collect();
        assert_eq!(turns, (0..count).filter_map(|turn| cycle.from_turn(turn).next()).collect::<Vec<_>>());
        turns
    }

    #[test]
    fn equal_weights_take_turns_in_order() {
        assert_eq!(turns(&[1, 1, 1], 6), [0, 1, 2, 0, 1, 2]);
        assert_eq!(turns(&[7, 7], 4), [0, 1, 0, 1]);
    }

    #[test]
    fn heavy_targets_are_spread_out() {
        assert_eq!(turns(&[3, 1], 4), [0, 0, 1, 0]);
        assert_eq!(turns(&[5, 1, 1], 7), [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn zero_never_gets_a_turn() {
        assert_eq!(turns(&[0, 2, 0], 3), [1, 1, 1]);
        assert!(Cycle::new(&[0, 0]).is_empty());
        assert_eq!(Cycle::new(&[]).from_turn(3).next(), None);
    }

    #[test]
    fn huge_weights_keep_their_shares() {
        let cycle = Cycle::new(&[1_000_003, 1_000_033, 1]);
        assert!(cycle.len() <= 4100, "{}", cycle.len());
        let count = |target| cycle.from_turn(0).filter(|at| *at == target).count();
        assert!(count(0).abs_diff(count(1)) <= 1 && count(2) == 1);
    }

    #[test]
    fn every_target_comes_up_from_any_turn() {
        let cycle = Cycle::new(&[3, 1, 2]);
        for turn in 0..cycle.len() {
            for target in 0..3 {
                assert!(cycle.from_turn(turn).any(|at| at == target));
            }
        }
    }
}
