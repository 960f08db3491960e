//! The result of a measurement as a table for people.

use std::io::{self, Write};

use super::report::{Connections, Quantiles, Report, ServerUse};
use crate::transcript::{BAD, BOLD, DIM, NOTE};

impl Report {
    /// Writes the table.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Connections { asked, opened, users, seconds, per_second, handshake_ms } = &self.connections;
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
            "{BOLD}runs{BOLD:#}         {} completed ({:.1}/s), {} failed, {} unfinished, {} refused",
            load.runs_completed, load.runs_per_second, load.runs_failed, load.runs_unfinished, load.refused
        )?;
        writeln!(
            out,
            "{BOLD}events{BOLD:#}       {:.0}/s stored, {:.0}/s delivered",
            load.events_per_second, load.deliveries_per_second
        )?;
        writeln!(
            out,
            "\n{DIM}{:22}{:>9}{:>9}{:>9}{:>9}{:>9}{DIM:#}",
            "ms", "p50", "p90", "p99", "p99.9", "max"
        )?;
        let rows = [
            ("handshake", handshake_ms),
            ("due to accepted", &self.latency_ms.accepted),
            ("due to agent_started", &self.latency_ms.agent_started),
            ("due to agent_completed", &self.latency_ms.agent_completed),
            ("generator's lateness", &self.generator.late_ms),
        ];
        for (name, quantiles) in rows.iter().filter_map(|(name, row)| Some((name, (*row).as_ref()?))) {
            let Quantiles { p50, p90, p99, p999, max } = quantiles;
            writeln!(out, "{name:22}{p50:>9.2}{p90:>9.2}{p99:>9.2}{p999:>9.2}{max:>9.2}")?;
        }
        writeln!(out)?;
        self.server.write(out)?;
        for (error, times) in &self.errors {
            writeln!(out, "{BAD}error{BAD:#}        {error}: {times} times")?;
        }
        for warning in &self.warnings {
            writeln!(out, "{NOTE}warning{NOTE:#}      {warning}")?;
        }
        Ok(())
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
