//! The report as annotations of GitHub Actions: a line for each check that failed, a notice for what was not done.

use std::io::{self, Write};

use wireproof_protocol::printable;

use super::{Report, Verdict};

/// Writes the lines.
pub fn write(report: &Report, out: &mut impl Write) -> io::Result<()> {
    for check in report.of(Verdict::Fail).chain(report.of(Verdict::Gone)) {
        let told = format!("{}\nseen: {}\nreplay: {}", check.sentence, check.what, report.replay(check));
        writeln!(out, "::error title={}::{}", property(&format!("wireproof {}", check.id)), message(&told))?;
    }
    let left: Vec<String> =
        report.of(Verdict::NotDone).map(|check| format!("{}: {}", check.id, check.what)).collect();
    if !left.is_empty() {
        let title = property(&format!("wireproof: {} checks not done", left.len()));
        writeln!(out, "::notice title={title}::{}", message(&left.join("\n")))?;
    }
    Ok(())
}

/// The signs that end a message, as the runner reads them back.
fn message(text: &str) -> String {
    printable(text).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property ends at more signs.
fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}
