//! What a measurement must reach: `completed.p99<500ms`. Each is printed with its verdict, and one that is not met is
//! exit code 1.

use std::{fmt, str::FromStr};

use serde::Serialize;

use super::{
    report::{Quantiles, Report},
    tally::{Milestone, STEPS},
};

/// Every name that can stand on the left.
const NAMES: &str = "\
accepted, agent_started, first_delta, completed, each with .p50 .p90 .p99 .p99.9 or .max, from when the message was due \
(or .raw.p99 and so on, from when it was sent), and handshake.p99, against a time such as 500ms; errors against a share \
such as 1% or a count; messages_per_second, runs_per_second, events_per_second, deliveries_per_second and connections \
against a number";

/// One expectation as it was written, understood.
#[derive(Clone, Debug)]
pub(super) struct Expectation {
    text: String,
    measure: Measure,
    comparison: Comparison,
    bound: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Measure {
    Latency { step: usize, raw: bool, quantile: Quantile },
    Handshake(Quantile),
    ErrorShare,
    Errors,
    Count(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Quantile {
    P50,
    P90,
    P99,
    P999,
    Max,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Less,
    AtMost,
    More,
    AtLeast,
}

/// What became of an expectation.
#[derive(Serialize)]
pub(super) struct Verdict {
    pub(super) expected: String,
    /// In milliseconds, percent or the number itself; nothing when it was not measured.
    pub(super) measured: Option<f64>,
    #[serde(skip)]
    pub(super) unit: &'static str,
    pub(super) met: bool,
}

impl Expectation {
    /// Holds the measurement against it. What was not measured is not met.
    pub(super) fn judge(&self, report: &Report) -> Verdict {
        let measured = self.measure.of(report);
        let met = measured.is_some_and(|measured| match self.comparison {
            Comparison::Less => measured < self.bound,
            Comparison::AtMost => measured <= self.bound,
            Comparison::More => measured > self.bound,
            Comparison::AtLeast => measured >= self.bound,
        });
        Verdict { expected: self.text.clone(), measured, unit: self.measure.unit(), met }
    }

    /// True when it says how many errors are too many: then one alone is not.
    pub(super) fn is_of_errors(&self) -> bool {
        matches!(self.measure, Measure::ErrorShare | Measure::Errors)
    }
}

impl Measure {
    fn of(self, report: &Report) -> Option<f64> {
        match self {
            Measure::Latency { step, raw, quantile } => {
                // What never came waited longest, and no clock has it: beyond its share no quantile is known.
                let load = &report.load;
                let never = load.runs_unfinished + load.unsent;
                if STEPS[step].0 == Milestone::Completed
                    && !quantile.is_known(load.messages + load.unsent, never)
                {
                    return None;
                }
                let clocks = report.latency_ms.steps()[step].1;
                Some(quantile.of(if raw { clocks.raw } else { clocks.corrected }?))
            }
            Measure::Handshake(quantile) => Some(quantile.of(report.connections.handshake_ms?)),
            Measure::ErrorShare => Some(report.error_share() * 100.0),
            Measure::Errors => Some(report.error_count() as f64),
            Measure::Count(name) => Some(match name {
                "messages_per_second" => report.load.messages_per_second,
                "runs_per_second" => report.load.runs_per_second,
                "events_per_second" => report.load.events_per_second,
                "deliveries_per_second" => report.load.deliveries_per_second,
                _ => report.connections.opened as f64,
            }),
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Measure::Latency { .. } | Measure::Handshake(_) => " ms",
            Measure::ErrorShare => " %",
            Measure::Errors | Measure::Count(_) => "",
        }
    }

    /// The measure of a name; a bound in percent asks for a share.
    fn named(name: &str, bound: &str) -> Option<Self> {
        const COUNTS: [&str; 5] = [
            "messages_per_second",
            "runs_per_second",
            "events_per_second",
            "deliveries_per_second",
            "connections",
        ];
        if name == "errors" {
            return Some(if bound.ends_with('%') { Measure::ErrorShare } else { Measure::Errors });
        }
        if let Some(count) = COUNTS.into_iter().find(|count| *count == name) {
            return Some(Measure::Count(count));
        }
        let (step, quantile) = name.split_once('.')?;
        let (raw, quantile) = match quantile.strip_prefix("raw.") {
            Some(quantile) => (true, Quantile::named(quantile)?),
            None => (false, Quantile::named(quantile)?),
        };
        if step == "handshake" && !raw {
            return Some(Measure::Handshake(quantile));
        }
        let step = STEPS.iter().position(|(_, name)| *name == step)?;
        Some(Measure::Latency { step, raw, quantile })
    }
}

impl Quantile {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "p50" => Self::P50,
            "p90" => Self::P90,
            "p99" => Self::P99,
            "p99.9" | "p999" => Self::P999,
            "max" => Self::Max,
            _ => return None,
        })
    }

    /// True when it lies among those that came to an end, and not among those that never did.
    fn is_known(self, all: u64, never: u64) -> bool {
        let above = match self {
            Self::P50 => 0.5,
            Self::P90 => 0.1,
            Self::P99 => 0.01,
            Self::P999 => 0.001,
            Self::Max => 0.0,
        };
        never as f64 <= all as f64 * above
    }

    fn of(self, quantiles: Quantiles) -> f64 {
        match self {
            Self::P50 => quantiles.p50,
            Self::P90 => quantiles.p90,
            Self::P99 => quantiles.p99,
            Self::P999 => quantiles.p999,
            Self::Max => quantiles.max,
        }
    }
}

impl FromStr for Expectation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "an expectation is a name, one of < <= > >=, and a bound, such as completed.p99<500ms";
        let at = text.find(['<', '>']).ok_or(form)?;
        let (name, rest) = (text[..at].trim(), &text[at + 1..]);
        let (or_equal, bound) = rest.strip_prefix('=').map_or((false, rest), |bound| (true, bound));
        let comparison = match (text.as_bytes()[at], or_equal) {
            (b'<', false) => Comparison::Less,
            (b'<', true) => Comparison::AtMost,
            (_, false) => Comparison::More,
            (_, true) => Comparison::AtLeast,
        };
        let bound = bound.trim();
        let measure = Measure::named(name, bound)
            .ok_or_else(|| format!("nothing that is measured is called {name:?}; there are: {NAMES}"))?;
        let bound = read(bound, measure)?;
        Ok(Self { text: text.to_owned(), measure, comparison, bound })
    }
}

/// The bound in the unit of the measure.
fn read(bound: &str, measure: Measure) -> Result<f64, String> {
    let number = |text: &str| {
        let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
        number.ok_or_else(|| format!("{bound:?} is no number that can be a bound here"))
    };
    match measure {
        Measure::Latency { .. } | Measure::Handshake(_) => {
            // The longer endings first: "5ms" ends with "s" too.
            let units = [("ms", 1.0), ("us", 1e-3), ("µs", 1e-3), ("s", 1e3)];
            let unit = units.iter().find_map(|(unit, ms)| Some((bound.strip_suffix(unit)?, ms)));
            let (time, ms) =
                unit.ok_or_else(|| format!("{bound:?} is no time: write it as 500ms, 2s or 80us"))?;
            Ok(number(time)? * ms)
        }
        Measure::ErrorShare => number(bound.trim_end_matches('%')),
        Measure::Errors | Measure::Count(_) => number(bound),
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.met { "met" } else { "not met" };
        match self.measured {
            Some(measured) => write!(f, "{}: {word}, it was {measured:.2}{}", self.expected, self.unit),
            None => write!(f, "{}: {word}, it was not measured", self.expected),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expectation_is_a_name_a_sign_and_a_bound() {
        let read = |text: &str| {
            let Expectation { measure, comparison, bound, .. } = text.parse().unwrap();
            (measure, comparison, bound)
        };
        let completed = |raw, quantile| Measure::Latency { step: 3, raw, quantile };
        assert_eq!(read("completed.p99<500ms"), (completed(false, Quantile::P99), Comparison::Less, 500.0));
        assert_eq!(
            read(" completed.raw.p99.9 <= 2s"),
            (completed(true, Quantile::P999), Comparison::AtMost, 2000.0)
        );
        assert_eq!(read("handshake.max<80us"), (Measure::Handshake(Quantile::Max), Comparison::Less, 0.08));
        assert_eq!(read("errors<1%"), (Measure::ErrorShare, Comparison::Less, 1.0));
        assert_eq!(read("errors<=3"), (Measure::Errors, Comparison::AtMost, 3.0));
        assert_eq!(
            read("runs_per_second>=100"),
            (Measure::Count("runs_per_second"), Comparison::AtLeast, 100.0)
        );
    }

    /// A server that never answered a tenth of the messages once met every bound, by the nine tenths that it answered.
    #[test]
    fn a_quantile_beyond_what_came_is_not_known() {
        for (quantile, all, never, known) in [
            (Quantile::P99, 1000, 0, true),
            (Quantile::P99, 1000, 10, true),
            (Quantile::P99, 1000, 11, false),
            (Quantile::P50, 1000, 400, true),
            (Quantile::P90, 1000, 400, false),
            (Quantile::P999, 1000, 2, false),
            (Quantile::Max, 1000, 1, false),
            (Quantile::Max, 1000, 0, true),
        ] {
            assert_eq!(quantile.is_known(all, never), known, "{quantile:?} {all} {never}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_which_names_there_are_or_how_a_bound_looks() {
        for unknown in ["finished.p99<1s", "completed.p98<1s", "completed<1s", "handshake.raw.p50<1s", "<1s"]
        {
            let why = unknown.parse::<Expectation>().unwrap_err();
            assert!(why.contains("first_delta") && why.contains("runs_per_second"), "{unknown}: {why}");
        }
        for bad in
            ["completed.p99<500", "completed.p99<fasts", "completed.p99=5ms", "errors<few%", "errors<-1", ""]
        {
            assert!(bad.parse::<Expectation>().is_err(), "{bad}");
        }
    }
}
