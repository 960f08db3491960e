//! The report for a terminal: a line a check, then what failed: what was seen, what happened last, how to see it again.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use wireproof_protocol::printable_line;
use wireproof_protocol::shorten_line;

use super::{CheckResult, Report, Verdict};
use crate::record::{Action, Op, OpOutcome};

const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const NOTE: Style = AnsiColor::Yellow.on_default();

/// Ops that are shown of a check that failed.
const SHOWN: usize = 12;
/// Longest text of a line, in characters.
const WIDTH: usize = 110;

/// Writes the report; colours are the writer's to keep or to take out.
pub fn write(report: &Report, out: &mut impl Write) -> io::Result<()> {
    for check in &report.checks {
        line(check, out)?;
    }
    for check in report.of(Verdict::Fail).chain(report.of(Verdict::Gone)) {
        failure(report, check, out)?;
    }
    writeln!(out)?;
    let style = if report.is_clean() { GOOD } else { BAD };
    writeln!(out, "{style}{}{style:#}", report.summary())?;
    if let Some(caution) = report.caution() {
        writeln!(out, "{NOTE}{caution}{NOTE:#}")?;
    }
    if report.count(Verdict::Pass) == 0 {
        writeln!(
            out,
            "{BAD}Nothing was put to the test and passed: this server is not proven in anything.{BAD:#}"
        )?;
    }
    Ok(())
}

fn line(check: &CheckResult, out: &mut impl Write) -> io::Result<()> {
    let style = style(check.verdict);
    let first = check.what.lines().next().unwrap_or_default();
    writeln!(
        out,
        "{style}{:<8}{style:#} {:<30} {DIM}{:>6.0} ms{DIM:#}  {}",
        check.verdict.word(),
        check.id,
        check.ms,
        shorten_line(first, WIDTH)
    )
}

fn style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Pass => GOOD,
        Verdict::Fail | Verdict::Gone => BAD,
        Verdict::NotDone => NOTE,
    }
}

fn failure(report: &Report, check: &CheckResult, out: &mut impl Write) -> io::Result<()> {
    let severity = format!("{:?}", check.severity).to_lowercase();
    writeln!(
        out,
        "\n{BAD}{}{BAD:#}  {BOLD}{}{BOLD:#}  {DIM}({severity}){DIM:#}",
        check.verdict.word().to_uppercase(),
        check.id
    )?;
    writeln!(out, "  promise  {}", check.sentence)?;
    for (number, text) in check.what.lines().enumerate() {
        let text = printable_line(text);
        writeln!(out, "  {}  {text}", if number == 0 { "seen   " } else { "       " })?;
    }
    let hidden = check.history.len().saturating_sub(SHOWN);
    if hidden > 0 {
        writeln!(out, "  before   {DIM}{hidden} earlier things that happened{DIM:#}")?;
    }
    for op in check.tail(SHOWN) {
        writeln!(out, "           {DIM}{}{DIM:#}", shorten_line(&tell(op), WIDTH))?;
    }
    if !check.beside.is_empty() {
        writeln!(out, "  beside   {DIM}{}{DIM:#}", check.beside.join(", "))?;
    }
    writeln!(out, "  replay   {}", report.replay(check))
}

/// An op in a line.
pub fn tell(op: &Op) -> String {
    let what = match (op.f, op.outcome) {
        (Action::Send, _) => "->".to_owned(),
        (Action::Recv, _) => "<-".to_owned(),
        (f, OpOutcome::Invoke) => format!("{f:?} …").to_lowercase(),
        (f, OpOutcome::Fail) => format!("{f:?} failed").to_lowercase(),
        (f, _) => format!("{f:?}").to_lowercase(),
    };
    let line = format!("{:>9.1} ms  {}  {what} {}", op.t_ns as f64 / 1e6, op.conn, op.text);
    printable_line(&line).into_owned()
}
