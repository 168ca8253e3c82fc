//! What holds of breaker expressions, whatever text comes in: the target of `fuzz/`, which every test run calls with the
//! corpus and with rows of its pieces.

use crate::expression::{Expression, MAX_DEPTH, Metric, Metrics};

/// Expressions of circuit breakers: read alike each time, the same in parentheses, and true or false of any numbers.
pub fn breaker_expression(text: &str) {
    let Ok((expression, notes)) = Expression::parse(text) else { return };
    assert!(Expression::parse(text).is_ok_and(|again| again.0 == expression && again.1 == notes));
    match Expression::parse(&format!(" ( {text} ) ")) {
        Ok((again, _)) => assert_eq!(again, expression),
        Err(error) => assert!(text.matches('(').count() >= MAX_DEPTH, "{error}"),
    }
    for number in [0.0, 0.5, 1e300, f64::INFINITY, f64::NAN] {
        let told = expression.reason(&Always(number));
        assert!(!expression.holds(&Always(number)) || !told.is_empty(), "what trips a breaker is told");
    }
}

/// Every metric has this value.
struct Always(f64);

impl Metrics for Always {
    fn value(&self, _: &Metric) -> f64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PIECES: &[&str] = &[
        "NetworkErrorRatio()",
        "ResponseCodeRatio(500, 600, 0, 600)",
        "LatencyAtQuantileMS(50.0)",
        "RequestThreshold()",
        " > ",
        " <= ",
        "==",
        " && ",
        " || ",
        "(",
        ")",
        "!",
        ",",
        "0.5",
        "1",
        "99999999999999999999",
        "1e999",
        ".",
        "-",
        "%",
        "é",
        "\0",
    ];

    #[test]
    fn the_corpus() {
        include_str!("../corpus/breaker-expression.txt").lines().for_each(breaker_expression);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn rows_of_pieces(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..16)) {
            breaker_expression(&pieces.concat());
        }
    }
}
