//! Weights that move away from targets which fail clearly more often than others, as v1's `drr`.

/// How far a share of failures has to stand out from the middle of all.
const STANDS_OUT: f64 = 1.5;
/// What the weights of good targets are multiplied by, and divided by on the way back.
const STEP: u32 = 4;
/// Weights are not raised above this.
const MOST: u32 = 4096;

/// Moves `weights` one step, given each target's share of failures. `declared` is where they come back to once no
/// target stands out. Answers whether anything changed.
pub fn rebalance(weights: &mut [u32], declared: &[u32], failures: &[f64]) -> bool {
    let limit = limit(failures);
    let good = |share: f64| share <= limit;
    let both = failures.iter().any(|share| good(*share)) && failures.iter().any(|share| !good(*share));
    let before = weights.to_vec();
    if !both {
        for (weight, declared) in weights.iter_mut().zip(declared) {
            *weight = (*weight / STEP).max(*declared);
        }
    } else if weights.iter().all(|weight| weight.saturating_mul(STEP) <= MOST) {
        for (weight, share) in weights.iter_mut().zip(failures) {
            if good(*share) {
                *weight *= STEP;
            }
        }
    }
    before != weights
}

/// Shares above this are clearly worse than the others: the median and the median deviation from it, stretched.
fn limit(failures: &[f64]) -> f64 {
    let mut values = failures.to_vec();
    if values.len().is_multiple_of(2) {
        // With one more that never fails there is a middle, and of two targets one can be the worse.
        values.push(0.0);
    }
    let middle = median(&mut values);
    let mut deviations: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    (middle + median(&mut deviations)) * STANDS_OUT
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn good_targets_gain_and_weights_come_back() {
        let declared = [1, 1, 2];
        let mut weights = declared;
        assert!(rebalance(&mut weights, &declared, &[0.0, 0.5, 0.01]));
        assert_eq!(weights, [4, 1, 8], "a few failures are nothing beside many");
        assert!(rebalance(&mut weights, &declared, &[0.0, 0.6, 0.0]));
        assert_eq!(weights, [16, 1, 32]);
        assert!(rebalance(&mut weights, &declared, &[0.0, 0.0, 0.0]));
        assert_eq!(weights, [4, 1, 8]);
        assert!(rebalance(&mut weights, &declared, &[0.0, 0.0, 0.0]));
        assert!(!rebalance(&mut weights, &declared, &[0.0, 0.0, 0.0]));
        assert_eq!(weights, declared);
    }

    #[test]
    fn nobody_gains_where_all_fail_alike() {
        let mut weights = [1, 1];
        assert!(!rebalance(&mut weights, &[1, 1], &[0.0, 0.0]));
        assert!(!rebalance(&mut [1, 1, 1], &[1, 1, 1], &[0.9, 0.9, 0.9]));
    }

    proptest! {
        #[test]
        fn weights_stay_in_bounds_and_the_worst_never_gains(
            declared in prop::collection::vec(1_u32..10, 1..8),
            rounds in prop::collection::vec(prop::collection::vec(0.0_f64..1.0, 8), 0..20),
        ) {
            let mut weights = declared.clone();
            for round in rounds {
                let failures = &round[..declared.len()];
                let before = weights.clone();
                rebalance(&mut weights, &declared, failures);
                let worst = (0..failures.len()).max_by(|a, b| failures[*a].total_cmp(&failures[*b]));
                let share = |weights: &[u32], at: usize| f64::from(weights[at]) / f64::from(weights.iter().sum::<u32>());
                if let Some(worst) = worst.filter(|_| weights > before) {
                    prop_assert!(share(&weights, worst) <= share(&before, worst) + 1e-9);
                }
                for (weight, declared) in weights.iter().zip(&declared) {
                    prop_assert!(weight >= declared && *weight <= MOST);
                }
            }
            for _ in 0..7 {
                rebalance(&mut weights, &declared, &vec![0.0; declared.len()]);
            }
            prop_assert_eq!(weights, declared);
        }
    }
}
