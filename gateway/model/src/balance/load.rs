//! What a request more costs a target, for strategies that look at how targets do.

/// The mean time to an answer, times the requests under way with one more, over the weight: lower is better. A target
/// that has not answered yet is as good as can be.
#[must_use]
pub fn least_time(mean_ns: f64, in_flight: u32, weight: u32) -> f64 {
    mean_ns * (1.0 + f64::from(in_flight)) / f64::from(weight.max(1))
}

/// Recent peak latency times the requests under way with one more: lower is better.
#[must_use]
pub fn peak(latency_ns: f64, in_flight: u32) -> f64 {
    (latency_ns + 1.0) * (1.0 + f64::from(in_flight))
}

/// A moving average of latency that rises at once and falls slowly (Finagle's peak EWMA): what it is after an answer
/// that took `sample_ns`, `elapsed_ns` after the one before. After `decay_ns` about a third of the old value is left.
#[must_use]
pub fn peak_ewma(average_ns: f64, sample_ns: f64, elapsed_ns: f64, decay_ns: f64) -> f64 {
    if sample_ns > average_ns {
        return sample_ns;
    }
    let kept = (-elapsed_ns / decay_ns.max(1.0)).exp();
    average_ns * kept + sample_ns * (1.0 - kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quick_the_idle_and_the_heavy_win() {
        assert!(least_time(10.0, 0, 1) < least_time(20.0, 0, 1));
        assert!(least_time(10.0, 0, 1) < least_time(10.0, 1, 1));
        assert!(least_time(10.0, 1, 2) <= least_time(10.0, 0, 1));
        assert!(peak(10.0, 1) < peak(10.0, 2));
        assert!(peak(0.0, 1) < peak(0.0, 2), "also before the first answer");
    }

    #[test]
    fn peaks_count_at_once_and_fade() {
        let peak = peak_ewma(10.0, 1000.0, 1.0, 100.0);
        assert_eq!(peak.to_bits(), 1000_f64.to_bits());
        let soon = peak_ewma(peak, 10.0, 1.0, 100.0);
        let later = peak_ewma(peak, 10.0, 500.0, 100.0);
        assert!(soon > 900.0 && later < 20.0, "{soon} {later}");
    }
}
