//! Who must not wait for whom.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;
use wireproof_faultproxy::wire::{FIN, TEXT, masked};

use crate::{
    check::{
        CheckContext, CheckOutcome, Evidence, Failure, Measure, Session, broken, ensure,
        list::protocol::raw_client::RawClient, pass, session::new_id, timeline,
    },
    profile::Kind,
};

/// How long a run has to be for a ping behind it to be answered before its end: a hundred times what an answer takes.
const LONG: Duration = Duration::from_millis(250);
/// Messages of a client that does not read.
const UNREAD: usize = 16;
/// Bytes of each: what the server says of these messages is more than the buffers on the way hold.
const UNREAD_BYTES: usize = 60_000;
/// Runs of somebody else meanwhile.
const RUNS: usize = 5;
/// From one of them to the next.
const SPREAD: Duration = Duration::from_millis(200);

pub(super) async fn not_one_at_a_time(context: &CheckContext<'_>) -> CheckOutcome {
    let session = context.connect(&context.principal("ada")?).await?;
    let (prompt, asked_for) = long_prompt(context, &session).await?;
    let Some(ping) = &context.profile.messages.ping else {
        return Err(Failure::NotDone("the profile has no messages.ping".to_owned()));
    };
    let asked = session.ask(&prompt).await?;
    let id = new_id();
    session.send(ping.fill(&[("id", json!(id))])).await?;
    let run_seconds = Duration::from_secs_f64(context.profile.timing.run_seconds);
    let pong =
        session.wait("answer to a ping", asked.from, run_seconds, |seen| seen.kind == Kind::Pong).await?;
    let run = session.finish(&asked).await?;
    let Some(end) = run.of(Kind::Completed).next() else {
        return broken(format!("a run has no end:{}", timeline(&run.frames, &[])));
    };
    let (waited, took) = (pong.at - asked.at, end.at.saturating_duration_since(asked.at));
    ensure(pong.index < end.index, || {
        format!(
            "a ping behind a question was answered after the run of {took:.1?} had ended, {waited:.1?} after the question"
        )
    })?;
    pass(format!(
        "a ping was answered {waited:.1?} after a question, before the end of its run at {took:.1?} ({asked_for})"
    ))
}

/// A prompt whose run is long; where the profile knows none, any whose run is shown to be.
async fn long_prompt(
    context: &CheckContext<'_>,
    session: &Session,
) -> Result<(String, &'static str), Failure> {
    let prompts = &context.profile.prompts;
    for (prompt, name) in [(&prompts.slow, "prompts.slow"), (&prompts.slow_tool, "prompts.slow_tool")] {
        if let Some(prompt) = prompt {
            return Ok((prompt.clone(), name));
        }
    }
    let plain = context.plain("wk1long")?;
    let run = session.run(&plain).await?;
    let end = run.of(Kind::Completed).next().map(|seen| seen.at.saturating_duration_since(run.asked_at));
    match end {
        Some(took) if took >= LONG => Ok((plain, "prompts.plain")),
        _ => Err(Failure::NotDone(
            "the profile has no prompts.slow, and a run of prompts.plain is too short".to_owned(),
        )),
    }
}

pub(super) async fn slow_reader(context: &CheckContext<'_>) -> CheckOutcome {
    let profile = &context.profile;
    let Some(ask) = &profile.messages.ask else {
        return Err(Failure::NotDone(
            "the profile does not say how to ask an agent (messages.ask)".to_owned(),
        ));
    };
    let (ada, bob) = (context.principal("ada")?, context.principal("bob")?);
    let session = context.connect(&bob).await?;
    let mut unread = RawClient::open(context, &ada).await?;
    // With room for the rest of the frame.
    let bytes = UNREAD_BYTES.min(profile.limits.message_bytes.map_or(4_000, |most| most.saturating_sub(500)));
    let messages =
        UNREAD.min(profile.limits.burst.unwrap_or(UNREAD)).min(profile.limits.runs.unwrap_or(UNREAD));
    let filler = "unread ".repeat(bytes / 7);
    for _ in 0..messages {
        let frame = ask.fill(&[("text", json!(context.plain(&filler)?)), ("id", json!(new_id()))]);
        let frame: String = frame;
        unread
            .send(&masked(FIN | TEXT, frame.as_bytes()), &format!("a question of {bytes} bytes, never read"))
            .await?;
    }
    let prompt = context.plain("wk1beside")?;
    let mut ms = Vec::new();
    for number in 1..=RUNS {
        // Spread over a time in which the answers that nobody reads come.
        sleep(SPREAD).await;
        let asked = session.ask(&prompt).await?;
        let run = session.run_of(&asked).await?;
        let ours = |seen: &crate::check::ReceivedFrame| {
            seen.kind == Kind::Completed && (run.is_none() || seen.run == run)
        };
        let end = session.wait("end of the run", asked.from, session.patience(), ours).await;
        let end = end.or_else(|fault| {
            broken(format!("run {number} beside a client that does not read {messages} answers: {fault}"))
        })?;
        ms.push(end.at.saturating_duration_since(asked.at).as_secs_f64() * 1e3);
    }
    let longest = ms.iter().copied().fold(0.0, f64::max);
    let what = format!(
        "{RUNS} runs, the longest of {longest:.0} ms, while a client did not read the answers to {messages} messages of {bytes} bytes"
    );
    let bound_ms = Some(profile.timing.answer_seconds * 1e3);
    let measure = Measure { what: "a run beside a client that does not read".to_owned(), ms, bound_ms };
    Ok(Evidence { what, measures: vec![measure] })
}
