//! What the load programs print.

/// What one run of the load saw.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Figures {
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    pub(crate) p50_micros: f64,
    pub(crate) p99_micros: f64,
    /// Broken connections and answers other than 2xx and 3xx.
    pub(crate) errors: u64,
}

impl Figures {
    /// Requests a second.
    pub(crate) fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }
}

/// `wrk --latency`, and our own generator.
pub(crate) fn of_wrk(text: &str) -> Option<Figures> {
    let mut figures = Figures::default();
    for line in text.lines().map(str::trim) {
        if let Some(value) = line.strip_prefix("50%") {
            figures.p50_micros = micros(value)?;
        } else if let Some(value) = line.strip_prefix("99%") {
            figures.p99_micros = micros(value)?;
        } else if let Some((requests, rest)) = line.split_once(" requests in ") {
            figures.requests = requests.parse().ok()?;
            figures.seconds = micros(rest.split(',').next()?)? / 1e6;
        } else if let Some(counts) = line.strip_prefix("Socket errors: ") {
            figures.errors += numbers(counts).into_iter().sum::<u64>();
        } else if let Some(count) = line.strip_prefix("Non-2xx or 3xx responses: ") {
            figures.errors += count.parse::<u64>().ok()?;
        }
    }
    (figures.seconds > 0.0).then_some(figures)
}

/// `h2load --duration`. It knows no quantiles, so the mean stands for the middle and the longest for the end.
pub(crate) fn of_h2load(text: &str) -> Option<Figures> {
    let mut figures = Figures::default();
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("finished in ") {
            figures.seconds = micros(rest.split(',').next()?)? / 1e6;
        } else if let Some(rest) = line.strip_prefix("requests: ") {
            let [_, _, _, succeeded, failed, ..] = numbers(rest)[..] else { return None };
            (figures.requests, figures.errors) = (succeeded, failed);
        } else if let Some(rest) = line.strip_prefix("time for request:") {
            let times: Vec<_> = rest.split_whitespace().collect();
            figures.p50_micros = micros(times.get(2)?)?;
            figures.p99_micros = micros(times.get(1)?)?;
        }
    }
    (figures.seconds > 0.0).then_some(figures)
}

fn numbers(text: &str) -> Vec<u64> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

/// Reads `512.00us`, `1.20ms`, `6.01s` or `1.00m`.
fn micros(text: &str) -> Option<f64> {
    let text = text.trim();
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at_checked(unit)?;
    let factor = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 6e7,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_wrk_prints() {
        let text = "Running 6s test @ http://127.0.0.1:8602/\n  1 threads and 32 connections\n\
                    \x20 Latency Distribution\n     50%  640.00us\n     90%    1.05ms\n     99%    2.50ms\n\
                    \x20 240000 requests in 6.01s, 31.00MB read\n  Socket errors: connect 0, read 2, write 0, timeout 1\n\
                    \x20 Non-2xx or 3xx responses: 5\nRequests/sec:  39933.00\n";
        let expected = Figures { requests: 240_000, seconds: 6.01, p50_micros: 640.0, p99_micros: 2500.0, errors: 8 };
        assert_eq!(of_wrk(text), Some(expected));
    }

    #[test]
    fn reads_what_h2load_prints() {
        let text = "finished in 2.00s, 21000.50 req/s, 1.20MB/s\n\
                    requests: 42001 total, 42033 started, 42001 done, 42000 succeeded, 1 failed, 1 errored, 0 timeout\n\
                    \x20                    min         max         mean         sd        +/- sd\n\
                    time for request:      210us      8.10ms      1.50ms       400us    70.00%\n";
        let expected = Figures { requests: 42_000, seconds: 2.0, p50_micros: 1500.0, p99_micros: 8100.0, errors: 1 };
        assert_eq!(of_h2load(text), Some(expected));
    }

    #[test]
    fn text_without_a_total_is_no_result() {
        assert_eq!(of_wrk("unable to connect to 127.0.0.1:8602\n"), None);
        assert_eq!(of_h2load("starting benchmark...\n"), None);
    }
}
