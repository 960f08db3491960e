//! The result of a measurement as a table for people.

use std::io::{self, Write};

use super::{
    report::{Connections, OfStage, Quantiles, Report, ServerUse},
    self_check::Finding,
};
use crate::transcript::{BAD, BOLD, DIM, GOOD, NOTE};
use wireproof_protocol::printable_line;

impl Report {
    /// Writes the table.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Connections { asked, opened, users, seconds, per_second, .. } = &self.connections;
        writeln!(
            out,
            "{BOLD}connections{BOLD:#}  {opened} of {asked} open, {users} users, in {seconds:.2} s ({per_second:.0}/s)"
        )?;
        let load = &self.load;
        writeln!(
            out,
            "{BOLD}load{BOLD:#}         {} model, {:.1} s: {} messages ({:.1}/s)",
            load.model, load.seconds, load.messages, load.messages_per_second
        )?;
        writeln!(
            out,
            "{BOLD}runs{BOLD:#}         {} completed ({:.1}/s), {} failed, {} unfinished, {} refused, {} never sent",
            load.runs_completed,
            load.runs_per_second,
            load.runs_failed,
            load.runs_unfinished,
            load.refused,
            load.unsent
        )?;
        writeln!(
            out,
            "{BOLD}events{BOLD:#}       {:.0}/s stored, {:.0}/s delivered",
            load.events_per_second, load.deliveries_per_second
        )?;
        self.write_times(out)?;
        writeln!(out)?;
        self.server.write(out)?;
        for (error, times) in &self.errors {
            writeln!(out, "{BAD}error{BAD:#}        {}: {times} times", printable_line(error))?;
        }
        for warning in &self.warnings {
            writeln!(out, "{NOTE}warning{NOTE:#}      {}", printable_line(warning))?;
        }
        for verdict in &self.expectations {
            let style = if verdict.met { GOOD } else { BAD };
            writeln!(out, "{style}expected{style:#}     {verdict}")?;
        }
        if let Some(finding) = &self.self_check {
            finding.write(out)?;
        }
        Ok(())
    }

    /// The distributions, one a line, by both clocks.
    fn write_times(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(
            out,
            "\n{DIM}{:32}{:>10}{:>10}{:>10}{:>10}{:>10}{DIM:#}",
            "ms", "p50", "p90", "p99", "p99.9", "max"
        )?;
        line(out, "handshake", "", self.connections.handshake_ms)?;
        for (name, clocks) in self.latency_ms.steps() {
            line(out, name, "from due", clocks.corrected)?;
            line(out, name, "from sent", clocks.raw)?;
        }
        for OfStage { stage, completed_ms } in &self.stages {
            line(out, stage, "completed", *completed_ms)?;
        }
        line(out, "generator", "late", self.generator.late_ms)?;
        line(out, "generator", "clock late", self.generator.lag_ms)
    }
}

fn line(out: &mut impl Write, name: &str, what: &str, quantiles: Option<Quantiles>) -> io::Result<()> {
    let Some(Quantiles { p50, p90, p99, p999, max }) = quantiles else { return Ok(()) };
    writeln!(out, "{name:20}{what:12}{p50:>10.2}{p90:>10.2}{p99:>10.2}{p999:>10.2}{max:>10.2}")
}

impl Finding {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let ms =
            |p99: Option<f64>| p99.map_or_else(|| "not measured".to_owned(), |p99| format!("{p99:.2} ms"));
        let (style, words) = match (self.complete, self.shown) {
            (false, _) => (BAD, "not all messages came to a good end: nothing is shown"),
            (true, true) => (GOOD, "the pause shows"),
            (true, false) => (BAD, "the generator would have hidden the pause"),
        };
        writeln!(
            out,
            "{BOLD}self-check{BOLD:#}   the server's process stood still for {:.0} ms\n\
             {:13}p99 from when a message was due:  {}, {:.0} ms or more are needed\n\
             {:13}p99 from when it was sent:        {}, as a tool without a schedule would tell it\n\
             {:13}{style}{words}{style:#}",
            self.pause_ms,
            "",
            ms(self.corrected_p99_ms),
            self.needed_ms,
            "",
            ms(self.raw_p99_ms),
            ""
        )
    }
}

impl ServerUse {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        if let (Some(before), Some(open), Some(after)) =
            (self.rss_kib_before, self.rss_kib_open, self.rss_kib_after)
        {
            let mib = |kib: u64| kib as f64 / 1024.0;
            let each = self.kib_per_connection_open.unwrap_or_default();
            let each_after = self.kib_per_connection_after.unwrap_or_default();
            writeln!(
                out,
                "{BOLD}memory{BOLD:#}       server {:.1} MiB before, {:.1} open ({each:.1} KiB a connection), {:.1} after ({each_after:.1})",
                mib(before),
                mib(open),
                mib(after)
            )?;
        }
        if let Some(cores) = self.cores {
            let each = self.cpu_us_per_run.map(|each| format!(", {each:.0} µs a run")).unwrap_or_default();
            writeln!(out, "{BOLD}processor{BOLD:#}    server {cores:.2} cores{each}")?;
        }
        Ok(())
    }
}
