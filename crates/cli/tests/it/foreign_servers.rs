//! Servers that are not ours, judged by nothing but a profile: what is right passes, what is wrong fails, and what a
//! profile does not speak of is not done and never passed.

mod judged;
mod leaks;
mod misfits;
pub(crate) mod process;
mod strange;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use tempfile::tempdir;
use wireproof_faultproxy::{Cut, Fault, FaultProxy, Toxic, Trigger};
use wireproof_judge::report::Verdict;

use judged::{Judged, judge};
use process::Foreign;

/// What signs tokens of the deployed form.
const SECRET: &str = "a key of more than thirty-two bytes for tests";

/// The application with the reference's protocol, without credentials, judged whole.
async fn embedded(server: &[&str], flags: &[&str]) -> Result<Judged> {
    let server = Foreign::script("reference.py", server).await?;
    judge(&server.url, &[&["--profile", "reference-embedded"], flags].concat()).await
}

/// The same where everyone has to say who he is; the judge has the key.
async fn deployed(server: &[&str], flags: &[&str]) -> Result<Judged> {
    let server = Foreign::script("reference.py", [&["--secret", SECRET], server].concat()).await?;
    let folder = tempdir()?;
    let key = folder.path().join("key");
    std::fs::write(&key, SECRET)?;
    let key = key.to_str().context("a path")?;
    judge(&server.url, &[&["--profile", "reference", "--secret-file", key], flags].concat()).await
}

#[tokio::test]
async fn heavy_the_references_protocol_without_credentials() -> Result<()> {
    let judged = embedded(&[], &[]).await?;
    judged.is_sound(50)?;
    // It replays nothing and asks nobody: nobody may say that it does so rightly.
    judged.is_not_done("resume", "profile")?;
    judged.is_not_done("auth", "asks for no credentials")
}

#[tokio::test]
async fn heavy_the_references_protocol_with_tokens() -> Result<()> {
    let judged = deployed(&[], &[]).await?;
    judged.is_sound(60)?;
    judged.is_not_done("resume", "profile")?;
    for id in ["auth.bad_signature", "auth.alg_none", "auth.expired", "auth.bypass_headers", "isolation.live"]
    {
        ensure!(judged.of(id)?.verdict == Verdict::Pass, "{:?}", judged.of(id)?);
    }
    Ok(())
}

/// Without its fault the application passes the same checks, as the tests above hold.
#[tokio::test]
async fn each_fault_of_the_reference_fails_its_check() -> Result<()> {
    let faults = [
        ("shared-registry", "isolation.live", "got a string of"),
        ("silent-oversize", "limits.message_bytes", "was not refused"),
        ("second-ids", "connect.unique_ids", "both have the id"),
        ("chat-acknowledged", "events.critical", "there came system_message"),
        ("no-terminal", "events.an_end", "no end of the run"),
    ];
    let each = faults.map(|(fault, check, words)| async move {
        let judged = embedded(&["--fault", fault], &["--only", check]).await?;
        judged.failed(check, words).with_context(|| format!("--fault {fault}"))
    });
    try_join_all(each).await?;
    // Only where somebody is asked who he is can that be got round.
    for (fault, check, words) in [
        ("test-header", "auth.bypass_headers", "X-Test-Mode: true got in"),
        ("empty-subject", "auth.user_required", "\"empty subject\""),
    ] {
        let judged = deployed(&["--fault", fault], &["--only", check]).await?;
        judged.failed(check, words).with_context(|| format!("--fault {fault}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn heavy_small_frames_that_wait_for_an_acknowledgement_are_noticed() -> Result<()> {
    let judged = embedded(&["--fault", "nagle"], &["--only", "performance.nodelay"]).await?;
    judged.failed("performance.nodelay", "TCP_NODELAY is off")
}

#[tokio::test]
async fn an_echo_server_is_judged_by_what_it_can() -> Result<()> {
    let server = Foreign::echo().await?;
    let judged = judge(&server.url, &["--profile", "echo"]).await?;
    judged.is_sound(15)?;
    ensure!(
        judged.group("protocol").all(|check| check.verdict == Verdict::Pass),
        "{}",
        judged.report.summary()
    );
    for (group, why) in [
        ("events", "the profile"),
        ("order", "the profile"),
        ("resume", "the profile"),
        ("auth", "asks for no credentials"),
        ("isolation", ""),
    ] {
        judged.is_not_done(group, why)?;
    }
    Ok(())
}

/// `websocketd` passes text on that is not UTF-8, which RFC 6455 (8.1) forbids: Autobahn's cases 6.* say the same of it,
/// and pass all others of this group.
#[tokio::test]
async fn an_echo_server_that_passes_on_broken_text_is_found_out() -> Result<()> {
    let server = Foreign::websocketd().await?;
    let judged = judge(&server.url, &["--profile", "echo"]).await?;
    judged.failed("protocol.utf8", "was taken")?;
    let failed: Vec<&str> = judged.report.of(Verdict::Fail).map(|check| check.id.as_str()).collect();
    ensure!(failed == ["protocol.utf8"], "{failed:?}");
    ensure!(judged.report.count(Verdict::Pass) >= 14, "{}", judged.report.summary());
    Ok(())
}

#[tokio::test]
async fn an_ag_ui_agent_is_judged_over_its_event_streams() -> Result<()> {
    let server = Foreign::script("pydantic_agent.py", [] as [&str; 0]).await?;
    let judged = judge(&server.url, &["--profile", "ag-ui"]).await?;
    judged.is_sound(14)?;
    for group in ["connect", "protocol", "resume", "limits"] {
        judged.is_not_done(group, "has no WebSocket")?;
    }
    for id in ["events.critical", "events.answer", "events.an_end", "order.tool_order", "isolation.live"] {
        ensure!(judged.of(id)?.verdict == Verdict::Pass, "{:?}", judged.of(id)?);
    }
    Ok(())
}

/// The agent behind a network that breaks each answer off before the run's end.
#[tokio::test]
async fn an_event_stream_that_breaks_off_is_no_finished_run() -> Result<()> {
    let server = Foreign::script("pydantic_agent.py", [] as [&str; 0]).await?;
    let upstream = server.url.trim_start_matches("http://").trim_end_matches('/').parse()?;
    let proxy = FaultProxy::start(upstream, 7).await?;
    // Its answers are some four thousand bytes; half of that is before the result of the tool.
    proxy.add(Toxic::to_client(Fault::Cut(Cut::Reset)).when(Trigger::AfterBytes(2000)));
    let url = format!("http://{}/", proxy.address());
    let judged = judge(&url, &["--profile", "ag-ui", "--only", "events,order"]).await?;
    judged.failed("events.an_end", "the connection broke")?;
    ensure!(judged.report.count(Verdict::Pass) == 0, "{}", judged.report.summary());
    proxy.stop().await;
    Ok(())
}
