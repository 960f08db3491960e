//! Where a conversation is told and kept: in its thread, whole, and to be read again.

use std::time::Instant;

use serde_json::json;

use crate::{
    check::{
        CheckContext, CheckOutcome, Failure, Session, broken, ensure,
        list::whole_runs::{answer_of, holds, settled, whole},
        pass,
        session::{Asked, RunSeen, new_id},
        timeline,
    },
    profile::Kind,
};

pub(super) async fn right_thread(context: &CheckContext<'_>) -> CheckOutcome {
    let session = context.connect(&context.principal("ada")?).await?;
    let mut threads = Vec::new();
    for _ in 0..2 {
        let run = whole(context, &session, &context.plain("wk1thread")?).await?;
        threads.push(thread_of(context, &run)?);
    }
    ensure(threads[0] != threads[1], || format!("two conversations have one thread: {:?}", threads[0]))?;
    // The first is still at work when the second is asked.
    let first = context.profile.prompts.slow.clone().unwrap_or(context.sum()?.prompt);
    let asked = [
        ask_in(context, &session, &threads[0], &first).await?,
        ask_in(context, &session, &threads[1], &context.sum()?.prompt).await?,
    ];
    let mut events = 0;
    for (asked, thread) in asked.iter().zip(&threads) {
        let run = settled(context, &session, asked).await?;
        let said = |seen: &crate::check::ReceivedFrame| context.profile.fields.thread.text(&seen.json);
        let strays = run.frames.iter().enumerate().filter_map(|(at, seen)| Some((at, said(seen)?)));
        let strays = strays.filter(|(_, said)| said != thread);
        let strays: Vec<_> = strays.map(|(at, said)| (at, format!("in the thread {said:?}"))).collect();
        ensure(strays.is_empty(), || {
            let timeline = timeline(&run.frames, &strays);
            format!(
                "{} events of an answer in the thread {thread:?} are told in another:{timeline}",
                strays.len()
            )
        })?;
        events += run.frames.len();
    }
    pass(format!("{events} events of answers in two threads at once, each in its own"))
}

fn thread_of(context: &CheckContext<'_>, run: &RunSeen) -> Result<String, Failure> {
    let found = run.frames.iter().find_map(|seen| context.profile.fields.thread.text(&seen.json));
    found.ok_or_else(|| {
        Failure::Broken(format!("no event of a run says its thread:{}", timeline(&run.frames, &[])))
    })
}

async fn ask_in(
    context: &CheckContext<'_>,
    session: &Session,
    thread: &str,
    text: &str,
) -> Result<Asked, Failure> {
    let Some(ask) = &context.profile.messages.ask_in else {
        return Err(Failure::NotDone(
            "the profile does not say how to ask in a thread (messages.ask_in)".to_owned(),
        ));
    };
    // Where requests have no ids, answers are known by their thread.
    let id = if ask.names("id") { new_id() } else { thread.to_owned() };
    let asked = Asked { id: id.clone(), from: session.count(), at: Instant::now() };
    session.send(ask.fill(&[("text", json!(text)), ("id", json!(id)), ("thread", json!(thread))])).await?;
    Ok(asked)
}

pub(super) async fn kept(context: &CheckContext<'_>) -> CheckOutcome {
    let Some(history) = &context.profile.messages.history else {
        return Err(Failure::NotDone(
            "the profile does not say how to ask for a thread (messages.history)".to_owned(),
        ));
    };
    let session = context.connect(&context.principal("ada")?).await?;
    let question = context.sum()?.prompt;
    let run = whole(context, &session, &question).await?;
    let thread = thread_of(context, &run)?;
    let Some(answer) = answer_of(&context.profile, &run) else {
        return broken(format!("{question:?} got no answer:{}", timeline(&run.frames, &[])));
    };
    let kept = session.request(history, &[("thread", json!(thread))]).await?;
    ensure(kept.kind != Kind::Error, || format!("the thread cannot be read: {}", kept.brief()))?;
    for (what, text) in [("question", &question), ("answer", &answer)] {
        ensure(holds(&kept.json, text), || {
            format!("the {what} {text:?} is not in its thread, which is\n  {}", kept.text)
        })?;
    }
    pass("a question and its answer stand in their thread as they were told")
}

pub(super) async fn long_text(context: &CheckContext<'_>) -> CheckOutcome {
    let (limit, echoes) = (context.profile.limits.message_bytes, context.profile.prompts.echoes);
    let (Some(limit), true) = (limit, echoes) else {
        return Err(Failure::NotDone(
            "no event or answer repeats what was asked (prompts.echoes)".to_owned(),
        ));
    };
    let session = context.connect(&context.principal("ada")?).await?;
    // With room for the rest of the frame. Words of their own, so that a piece left out anywhere is missed.
    let words = (1..).map(|word| format!("w{word}"));
    let mut text = new_id();
    for word in words.take_while(|word| word.len() < 8) {
        if text.len() + word.len() + 1 > limit * 3 / 4 {
            break;
        }
        text.push('-');
        text.push_str(&word);
    }
    let from = session.count();
    session.run(&context.plain(&text)?).await?;
    session.barrier().await?;
    let seen = session.seen();
    let came_back = seen.iter().skip(from).any(|seen| holds(&seen.json, &text));
    ensure(came_back, || {
        let begin = &text[..60.min(text.len())];
        let longest =
            seen.iter().skip(from).filter(|seen| holds(&seen.json, begin)).max_by_key(|seen| seen.text.len());
        let got = match longest {
            Some(seen) => {
                format!("the most that came back of it is a {} of {} bytes", seen.name, seen.text.len())
            }
            None => "not even its beginning came back".to_owned(),
        };
        format!(
            "a message of {} bytes, where {limit} are allowed, did not come back whole: {got}",
            text.len()
        )
    })?;
    pass(format!("a message of {} bytes came back whole", text.len()))
}
