//! One user's event that reaches another, whichever event it is.

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, stream};
use wireproof_judge::report::Verdict;

use super::{deployed, embedded, judged::Judged};

const EVENTS: [&str; 5] =
    ["agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed"];

/// Something of isolation failed, and says whose frame it was.
fn is_caught(judged: &Judged, event: &str) -> Result<()> {
    let told = judged
        .report
        .of(Verdict::Fail)
        .any(|check| check.what.contains(event) && check.what.contains("user"));
    ensure!(told && judged.code == Some(1), "{event}: {:?} {}", judged.code, judged.report.summary());
    Ok(())
}

/// A server that sent `tool_completed` to every user passed `isolation.live`, which asked for no tool, and one in three
/// quick runs.
#[tokio::test]
async fn heavy_a_leak_of_any_event_is_caught_by_the_quick_checks() -> Result<()> {
    for event in EVENTS {
        let fault = format!("leak-{event}");
        let judged = embedded(&["--fault", &fault], &["--quick"]).await?;
        is_caught(&judged, event).context("--quick")?;
        ensure!(judged.of("isolation.live")?.verdict == Verdict::Fail, "{:?}", judged.of("isolation.live")?);
    }
    Ok(())
}

/// The same by the one check that is named for it, with tokens and without.
#[tokio::test]
async fn a_leak_of_any_event_fails_the_check_of_isolation() -> Result<()> {
    let each = stream::iter(EVENTS).then(async |event| -> Result<()> {
        let (fault, only) = (format!("leak-{event}"), ["--only", "isolation.live"]);
        embedded(&["--fault", &fault], &only).await?.failed("isolation.live", "agent")?;
        deployed(&["--fault", &fault], &only).await?.failed("isolation.live", "agent")
    });
    each.collect::<Vec<_>>().await.into_iter().collect()
}

/// A leak that a check saw which looks for something else was no violation.
#[tokio::test]
async fn a_frame_of_another_user_fails_whatever_check_sees_it() -> Result<()> {
    let judged =
        embedded(&["--fault", "leak-tool_completed"], &["--only", "connect.unique_ids,events"]).await?;
    let caught = |check: &&wireproof_judge::report::CheckResult| check.what.contains("of another user");
    ensure!(judged.report.of(Verdict::Fail).any(|check| caught(&check)), "{}", judged.report.summary());
    Ok(())
}
