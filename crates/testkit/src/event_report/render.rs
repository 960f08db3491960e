//! The report as people read it.

use std::fmt;

use wireproof_protocol::CRITICAL_EVENTS;

use super::{ClientReport, RunReport, Since};

impl fmt::Display for ClientReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.as_deref().unwrap_or("nobody: no welcome came");
        write!(f, "{} as {user}: {} events of {} types", self.client, self.events, self.types.len())?;
        write!(f, " on {} connections in {:.3} s", self.connections, self.seconds)?;
        if !self.doubled.is_empty() {
            write!(f, "; came twice: {:?}", self.doubled)?;
        }
        if !self.foreign.is_empty() {
            write!(f, "; OF OTHERS: {}", self.foreign.join(", "))?;
        }
        if let Some(gap) = &self.gap {
            write!(f, "; {gap}")?;
        }
        Ok(())
    }
}

impl fmt::Display for RunReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = match self.outcome {
            Some(outcome) => format!("{outcome:?}").to_lowercase(),
            None => "its end did not come".to_owned(),
        };
        let Self { run_id, agent, client, .. } = self;
        writeln!(f, "run {run_id} of {agent}, seen by {client}: {end}")?;
        let since = match self.since {
            Since::Request => "the request",
            Since::FirstEvent => "the first event",
        };
        writeln!(f, "{:>10}  since {since}", "ms")?;
        for step in &self.sequence {
            let times = if step.events > 1 { format!(" x {}", step.events) } else { String::new() };
            writeln!(f, "{:>10.1}  {:20}{}", step.ms, format!("{}{times}", step.kind), step.detail)?;
        }
        let all = CRITICAL_EVENTS.len();
        write!(f, "  critical events: {} of {all}", all - self.missing.len())?;
        if !self.missing.is_empty() {
            write!(f, ", missing: {}", self.missing.join(", "))?;
        }
        match self.out_of_order.as_slice() {
            [] => writeln!(f, "\n  order: as it must be"),
            broken => writeln!(f, "\n  out of order: {}", broken.join("; ")),
        }
    }
}
