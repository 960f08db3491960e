//! The generator's proof that it does not leave out what waits: a server that really stands still for a second must show
//! in the latencies from due, while those from sent hide it.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use tokio::time::sleep;

use super::{Load, process, report::Report};
use crate::exit::Stop;

/// How long the server stands still.
const PAUSE: Duration = Duration::from_secs(1);

/// What may be missing from the figure that arithmetic gives: the digits of the histogram.
const DIGITS: f64 = 0.98;

/// What became of it.
#[derive(Serialize)]
pub(super) struct Finding {
    pub(super) pause_ms: f64,
    /// What the latency from due must reach at p99.
    pub(super) needed_ms: f64,
    pub(super) corrected_p99_ms: Option<f64>,
    pub(super) raw_p99_ms: Option<f64>,
    /// True when all messages came to a good end: else the figures are of another load.
    pub(super) complete: bool,
    pub(super) shown: bool,
}

/// Makes a load of light messages that one slow moment of the server holds up as it would hold up a naive tool: each
/// connection waits for an answer before it sends again.
pub(super) fn prepare(load: &mut Load) -> Result<(), Stop> {
    load.ping = true;
    load.in_flight = Some(1);
    load.rate = load.rate.or(Some(1000.0));
    load.connections = load.connections.or(Some(10));
    // The hundredth part of the messages must fall into the pause, or its p99 is not about it.
    let seconds = load.duration.as_secs_f64();
    if !(3.0..=60.0).contains(&seconds) {
        return Err(Stop::Usage("--self-check takes a --duration of 3s to 60s".into()));
    }
    let (messages, connections) = (load.schedule().messages(), load.connections() as u64);
    if messages < connections * 200 {
        let why = format!("{messages} messages over {connections} connections are too few for --self-check");
        return Err(Stop::Usage(format!(
            "{why}: 200 for each are needed, raise --rate or lower --connections"
        )));
    }
    Ok(())
}

/// Stops the process in the middle of that time and lets it go on; gives how long it stood still.
pub(super) async fn pause(pid: Option<u32>, duration: Duration) -> anyhow::Result<Duration> {
    let pid = pid.context("the server's process is not known")?;
    sleep((duration - PAUSE) / 2).await;
    let stopped = Stopped::now(pid)?;
    let began = Instant::now();
    sleep(PAUSE).await;
    ensure!(process::is_stopped(pid), "the server's process {pid} was told to stop and did not");
    let lasted = began.elapsed();
    drop(stopped);
    Ok(lasted)
}

/// A process that stands still until this is dropped.
struct Stopped(Pid);

impl Stopped {
    fn now(pid: u32) -> anyhow::Result<Self> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("a process id")?;
        kill_process(pid, Signal::STOP).context("stopping the server's process")?;
        Ok(Self(pid))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // Fails when the process is gone, and then nobody waits for it.
        let _ = kill_process(self.0, Signal::CONT);
    }
}

impl Finding {
    /// Judges a measurement in which the server stood still so long.
    pub(super) fn of(report: &Report, duration: Duration, pause: Duration) -> Self {
        let completed = report.latency_ms.completed;
        let p99 = |quantiles: Option<super::report::Quantiles>| Some(quantiles?.p99);
        let complete = report.error_count() == 0 && report.load.unsent == 0;
        Self::judge(duration, pause, [p99(completed.corrected), p99(completed.raw)], complete)
    }

    /// Of messages at an even pace, those due in the first hundredth of the whole time waited longest in the pause: the
    /// p99 is the wait of the last of them.
    fn judge(
        duration: Duration,
        pause: Duration,
        [corrected, raw]: [Option<f64>; 2],
        complete: bool,
    ) -> Self {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let needed = (ms(pause) - ms(duration) / 100.0) * DIGITS;
        Self {
            pause_ms: ms(pause),
            needed_ms: needed,
            corrected_p99_ms: corrected,
            raw_p99_ms: raw,
            complete,
            shown: complete && corrected.is_some_and(|corrected| corrected >= needed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(corrected: Option<f64>, complete: bool) -> Finding {
        Finding::judge(Duration::from_secs(10), PAUSE, [corrected, Some(1.0)], complete)
    }

    #[test]
    fn a_pause_of_a_second_in_ten_needs_nine_tenths_of_a_second_at_p99() {
        let finding = judge(Some(905.0), true);
        assert!(finding.shown && (finding.needed_ms - 882.0).abs() < 0.01, "{}", finding.needed_ms);
    }

    #[test]
    fn a_generator_that_hides_the_pause_or_lost_messages_fails() {
        for (corrected, complete) in
            [(Some(1.0), true), (Some(700.0), true), (None, true), (Some(905.0), false)]
        {
            assert!(!judge(corrected, complete).shown, "{corrected:?} {complete}");
        }
    }

    #[tokio::test]
    async fn a_stopped_process_stands_still_and_goes_on() {
        let mut child = tokio::process::Command::new("sleep").arg("60").kill_on_drop(true).spawn().unwrap();
        let pid = child.id();
        let lasted = pause(pid, PAUSE).await.unwrap();
        assert!(lasted >= PAUSE);
        assert!(!process::is_stopped(pid.unwrap()) || child.try_wait().unwrap().is_none());
        child.kill().await.unwrap();
        assert!(pause(None, PAUSE).await.is_err());
    }
}
