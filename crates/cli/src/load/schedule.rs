//! When messages are due: stages of a steady or a rising rate, one after the other. Pure: the pacer does the waiting.

use std::{fmt, str::FromStr, time::Duration};

use crate::token::parse_duration;

/// More a second than any one generator sends.
const HIGHEST: f64 = 1e6;

/// A time at a rate, or from one rate to another: `30s@100` or `30s@100..1000`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stage {
    pub(super) duration: Duration,
    pub(super) from: f64,
    pub(super) to: f64,
}

impl Stage {
    /// A steady rate.
    pub(super) fn steady(rate: f64, duration: Duration) -> Self {
        Self { duration, from: rate, to: rate }
    }

    /// How many messages fall into it; a part of one is carried into the next stage.
    fn messages(&self) -> f64 {
        (self.from + self.to) / 2.0 * self.duration.as_secs_f64()
    }

    /// When message `number` of it is due, counted from its beginning: where the area under the rate is the number.
    fn due(&self, number: f64) -> f64 {
        let slope = (self.to - self.from) / self.duration.as_secs_f64();
        let root = (self.from * self.from + 2.0 * slope * number).max(0.0).sqrt();
        let due = if number <= 0.0 { 0.0 } else { 2.0 * number / (self.from + root) };
        due.min(self.duration.as_secs_f64())
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s@{}", self.duration.as_secs_f64(), self.from)?;
        if self.from == self.to { Ok(()) } else { write!(f, "..{}", self.to) }
    }
}

impl FromStr for Stage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "a stage is a time and a rate, such as 30s@100 or 30s@100..1000";
        let (duration, rates) = text.split_once('@').ok_or(form)?;
        let duration = parse_duration(duration.trim()).map_err(|why| format!("{why}; {form}"))?;
        let (from, to) = rates.split_once("..").unwrap_or((rates, rates));
        let rate = |text: &str| match text.trim().parse::<f64>() {
            Ok(rate) if (0.0..=HIGHEST).contains(&rate) => Ok(rate),
            _ => Err(format!("{text:?} is no rate from 0 to {HIGHEST}; {form}")),
        };
        let stage = Self { duration, from: rate(from)?, to: rate(to)? };
        if duration.is_zero() { Err(format!("a stage of no time; {form}")) } else { Ok(stage) }
    }
}

/// The stages in order.
#[derive(Clone, Debug)]
pub(super) struct Schedule(Vec<Stage>);

/// When a message is due, counted from the start, and in which stage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Slot {
    pub(super) at: Duration,
    pub(super) stage: usize,
}

impl Schedule {
    pub(super) fn new(stages: Vec<Stage>) -> Self {
        Self(stages)
    }

    pub(super) fn stages(&self) -> &[Stage] {
        &self.0
    }

    /// How long it lasts.
    pub(super) fn duration(&self) -> Duration {
        self.0.iter().map(|stage| stage.duration).sum()
    }

    /// How many messages it holds.
    pub(super) fn messages(&self) -> u64 {
        self.0.iter().map(Stage::messages).sum::<f64>().round() as u64
    }

    /// The messages a second, over all stages.
    pub(super) fn mean_rate(&self) -> f64 {
        self.messages() as f64 / self.duration().as_secs_f64()
    }

    /// Each message in turn.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        let stages = self.0.clone();
        let (mut stage, mut before, mut began) = (0, 0.0, Duration::ZERO);
        (0..self.messages()).map(move |number| {
            // The last stage takes what rounding left over.
            while stage + 1 < stages.len() && number as f64 >= before + stages[stage].messages() {
                before += stages[stage].messages();
                began += stages[stage].duration;
                stage += 1;
            }
            let at = stages[stage].due(number as f64 - before);
            Slot { at: began + Duration::from_secs_f64(at), stage }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(stages: &[&str]) -> Vec<Slot> {
        Schedule::new(stages.iter().map(|stage| stage.parse().unwrap()).collect()).slots().collect()
    }

    #[test]
    fn a_steady_rate_is_evenly_spaced() {
        let at: Vec<f64> = slots(&["100ms@50"]).iter().map(|slot| slot.at.as_secs_f64()).collect();
        assert_eq!(at, [0.0, 0.02, 0.04, 0.06, 0.08]);
    }

    #[test]
    fn a_ramp_has_in_each_moment_the_rate_between_its_ends() {
        for text in ["10s@0..1000", "10s@100..1000", "10s@1000..100", "10s@1000..0"] {
            let (stage, slots) = (text.parse::<Stage>().unwrap(), slots(&[text]));
            assert_eq!(slots.len() as f64, stage.messages().round(), "{text}");
            assert!(slots.is_sorted_by(|a, b| a.at < b.at), "{text}");
            for second in 0..10 {
                let within = |slot: &&Slot| slot.at.as_secs() == second;
                let middle = stage.from + (stage.to - stage.from) * (second as f64 + 0.5) / 10.0;
                let seen = slots.iter().filter(within).count() as f64;
                assert!((seen - middle).abs() <= 1.0, "{text}: {seen} in second {second} for {middle}");
            }
        }
    }

    #[test]
    fn stages_follow_on_each_other_and_a_pause_is_a_stage() {
        let slots = slots(&["1s@10", "1s@0", "1s@10..30"]);
        let count = |stage| slots.iter().filter(|slot| slot.stage == stage).count();
        assert_eq!((count(0), count(1), count(2)), (10, 0, 20));
        assert!(slots.is_sorted_by(|a, b| a.at < b.at));
        assert_eq!(slots[10].at, Duration::from_secs(2));
    }

    #[test]
    fn a_stage_that_cannot_be_read_says_how_one_looks() {
        assert_eq!("10s@100".parse(), Ok(Stage::steady(100.0, Duration::from_secs(10))));
        assert_eq!("1m@5..50".parse::<Stage>().unwrap().to_string(), "60s@5..50");
        for bad in ["", "10s", "10@5", "10s@", "10s@fast", "10s@-1", "10s@1..", "10s@1e9", "0s@5", "10s@NaN"]
        {
            assert!(bad.parse::<Stage>().unwrap_err().contains("30s@100"), "{bad}");
        }
    }
}
