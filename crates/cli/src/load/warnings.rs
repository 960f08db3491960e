//! What makes a measurement doubtful: above all a generator that is itself what was measured.

use wireproof_client::OpenError;

use super::report::{GeneratorUse, Report, Sent};

/// A message this late, at p99, is the generator's fault and no longer small beside what is measured.
const LATE_MS: f64 = 5.0;

/// A clock this late, at p99, says that others kept the generator from its core, or that it has too much to do.
const LAG_MS: f64 = 10.0;

/// A generator that is busier than this share of its core cannot be trusted with latencies.
const BUSY: f64 = 0.9;

/// A generator that sends less than this share of what was asked offers another load than that.
const SLOW: f64 = 0.95;

/// Each doubt in a sentence.
pub(super) fn doubts(report: &Report, first_failure: Option<OpenError>) -> Vec<String> {
    let mut doubts = of_generator(&report.generator, &report.load);
    doubts.extend(of_answers(&report.load));
    if let Some(error) = first_failure {
        doubts.push(format!("connections failed to open, the first one so: {error}"));
    }
    if report.errors.contains_key("rate_limited") || report.errors.contains_key("too_many_runs") {
        doubts.push("the server's limits were reached: raise limits.* there, or spread over --users".into());
    }
    doubts
}

/// That times are of what came to an end only.
fn of_answers(load: &Sent) -> Option<String> {
    let never = load.runs_unfinished + load.unsent;
    (never > 0).then(|| format!("{never} messages never came to an end, and the latencies are without them"))
}

/// What speaks for the generator as the bottleneck. Time in which a socket takes nothing, or an answer is awaited, is the
/// server's and none of it.
fn of_generator(generator: &GeneratorUse, load: &Sent) -> Vec<String> {
    let mut doubts = Vec::new();
    if let Some(late) = generator.late_ms.filter(|late| late.p99 > LATE_MS) {
        doubts.push(format!(
            "the generator was late: {:.1} ms at p99 before it sent what was due, and the latencies include it",
            late.p99
        ));
    }
    if let Some(lag) = generator.lag_ms.filter(|lag| lag.p99 > LAG_MS) {
        doubts.push(format!(
            "the generator's clock ran {:.1} ms late at p99: it has too much to do, or too little of the machine",
            lag.p99
        ));
    }
    if let Some(cores) = generator.cores.filter(|cores| *cores > BUSY) {
        doubts.push(format!("the generator used {cores:.2} of its one core: it may be what is measured"));
    }
    if let Some(asked) =
        load.messages_per_second_asked.filter(|asked| load.messages_per_second < asked * SLOW)
    {
        doubts.push(format!(
            "{:.0} messages a second were sent in place of the {asked:.0} asked for",
            load.messages_per_second
        ));
    }
    doubts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::Quantiles;

    fn load(asked: f64, sent: f64) -> Sent {
        Sent {
            model: "open",
            messages_per_second_asked: Some(asked),
            seconds: 1.0,
            messages: sent as u64,
            messages_per_second: sent,
            runs_completed: 0,
            runs_failed: 0,
            runs_unfinished: 0,
            refused: 0,
            unsent: 0,
            runs_per_second: 0.0,
            events_per_second: 0.0,
            deliveries_per_second: 0.0,
        }
    }

    fn generator(cores: f64, late: f64, lag: f64) -> GeneratorUse {
        let all = |ms| Some(Quantiles { p50: ms, p90: ms, p99: ms, p999: ms, max: ms });
        GeneratorUse { cores: Some(cores), late_ms: all(late), lag_ms: all(lag) }
    }

    #[test]
    fn messages_that_never_came_to_an_end_are_told() {
        assert_eq!(of_answers(&load(100.0, 100.0)), None);
        let doubt = of_answers(&Sent { runs_unfinished: 3, unsent: 4, ..load(100.0, 100.0) });
        assert!(doubt.is_some_and(|doubt| doubt.starts_with("7 messages never")));
    }

    #[test]
    fn each_sign_of_a_generator_that_cannot_keep_up_is_told_and_a_good_one_is_not_doubted() {
        assert!(of_generator(&generator(0.5, 0.4, 1.5), &load(100.0, 100.0)).is_empty());
        for (words, generator, load) in [
            ("late", generator(0.5, 6.0, 1.5), load(100.0, 100.0)),
            ("clock", generator(0.5, 0.4, 30.0), load(100.0, 100.0)),
            ("of its one core", generator(0.97, 0.4, 1.5), load(100.0, 100.0)),
            ("in place of the 100", generator(0.5, 0.4, 1.5), load(100.0, 80.0)),
        ] {
            let doubts = of_generator(&generator, &load);
            assert!(doubts.len() == 1 && doubts[0].contains(words), "{words}: {doubts:?}");
        }
    }
}
