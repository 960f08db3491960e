//! What is answered: to which request, about what, and with every letter.

use std::collections::BTreeMap;

use crate::{
    check::{
        CheckContext, CheckOutcome, Failure, broken, ensure,
        list::whole_runs::{answer_of, holds, pieces, whole},
        pass,
        session::new_id,
        timeline,
    },
    profile::{Kind, Transport},
};

/// Questions that are asked to see whether answers differ.
const QUESTIONS: usize = 3;
/// Requests at once.
const REQUESTS: usize = 3;
/// Texts that come back as they were sent, or some step on the way takes bytes for letters.
const TEXTS: &[&str] =
    &["Grüße-señor", "Привет-мир", "日本語テスト", "שלום-مرحبا", "👩‍👩‍👧🇪🇺🙂", "e\u{301}-A\u{30a}-\u{1d11e}"];

pub(super) async fn answer(context: &CheckContext<'_>) -> CheckOutcome {
    let session = context.connect(&context.principal("ada")?).await?;
    let mut asked = BTreeMap::new();
    // Two questions with one answer would tell nothing.
    for sum in context.sums(QUESTIONS)? {
        let Some(expected) = sum.answer else {
            return Err(Failure::NotDone("the profile has no prompts.tool_answer".to_owned()));
        };
        let run = whole(context, &session, &sum.prompt).await?;
        let Some(answer) = answer_of(&context.profile, &run) else {
            return broken(format!("{:?} got no answer:{}", sum.prompt, timeline(&run.frames, &[])));
        };
        // Some write 1,234.
        let plain = answer.replace([',', '\u{a0}', '\u{202f}'], "");
        ensure(answer.contains(&expected) || plain.contains(&expected), || {
            format!("asked   {:?}\n  expected an answer with {expected:?}\n  got     {answer:?}", sum.prompt)
        })?;
        asked.insert(expected, answer);
    }
    pass(format!("{QUESTIONS} questions with {:?} in their answers", asked.keys().collect::<Vec<_>>()))
}

pub(super) async fn deltas_add_up(context: &CheckContext<'_>) -> CheckOutcome {
    let session = context.connect(&context.principal("ada")?).await?;
    let mut prompts = vec![context.sum()?.prompt];
    prompts.extend(context.profile.prompts.slow.clone());
    let mut count = 0;
    for prompt in &prompts {
        let run = whole(context, &session, prompt).await?;
        let told = run.of(Kind::Completed).find_map(|seen| context.profile.fields.answer.text(&seen.json));
        let Some(answer) = told else {
            return broken(format!("the end of a run has no answer:{}", timeline(&run.frames, &[])));
        };
        let joined = pieces(&context.profile, &run);
        ensure(!joined.is_empty(), || {
            format!("an answer came without pieces:{}", timeline(&run.frames, &[]))
        })?;
        ensure(joined == answer, || {
            let same = joined.chars().zip(answer.chars()).take_while(|(a, b)| a == b).count();
            let from = |text: &str| text.chars().skip(same.saturating_sub(20)).take(60).collect::<String>();
            format!(
                "the pieces are not the answer from letter {} on:\n  answer  …{:?}\n  pieces  …{:?}",
                same + 1,
                from(&answer),
                from(&joined)
            )
        })?;
        count += run.of(Kind::Delta).count();
    }
    pass(format!("{count} pieces of {} answers", prompts.len()))
}

pub(super) async fn request_answered(context: &CheckContext<'_>) -> CheckOutcome {
    let session = context.connect(&context.principal("ada")?).await?;
    let answered_by = match context.profile.events.accepted.is_empty() {
        false => Kind::Accepted,
        true => Kind::Started,
    };
    let (from, prompt) = (session.count(), context.plain("wk1request")?);
    let mut asked = Vec::new();
    for _ in 0..REQUESTS {
        asked.push(session.ask(&prompt).await?);
    }
    for request in &asked {
        let answer = |seen: &crate::check::ReceivedFrame| {
            [answered_by, Kind::Error].contains(&seen.kind) && seen.request.as_deref() == Some(&request.id)
        };
        session
            .wait(&format!("answer under the id {:?}", request.id), from, session.patience(), answer)
            .await?;
    }
    for request in &asked {
        session.finish(request).await?;
    }
    for request in &asked {
        let seen = session.seen();
        let answers = seen.iter().skip(from).filter(|seen| seen.kind == answered_by);
        let count = answers.filter(|seen| seen.request.as_deref() == Some(&request.id)).count();
        ensure(count == 1, || {
            format!(
                "the request {:?} was answered {count} times:{}",
                request.id,
                timeline(&seen[from..], &[])
            )
        })?;
    }
    let refused = refused_by_id(context, &session).await?;
    pass(format!("{REQUESTS} requests at once answered by id, once each{refused}"))
}

/// A refusal says what it refuses, where frames have ids.
async fn refused_by_id(
    context: &CheckContext<'_>,
    session: &crate::check::Session,
) -> Result<&'static str, Failure> {
    let incomplete = context.profile.messages.incomplete.as_ref().filter(|message| message.names("id"));
    let Some(incomplete) = incomplete.filter(|_| context.profile.endpoint.transport == Transport::WebSocket)
    else {
        return Ok("");
    };
    let (id, from) = (new_id(), session.count());
    session.send(incomplete.fill(&[("id", serde_json::json!(id))])).await?;
    let refusal = session.wait("refusal", from, session.patience(), |seen| seen.kind == Kind::Error).await?;
    ensure(refusal.request.as_deref() == Some(&id), || {
        format!("the refusal of the request {id:?} does not say what it refuses: {}", refusal.brief())
    })?;
    Ok(", and a refusal too")
}

pub(super) async fn unicode(context: &CheckContext<'_>) -> CheckOutcome {
    if !context.profile.prompts.echoes {
        let why = "no event or answer repeats what was asked (prompts.echoes)";
        return Err(Failure::NotDone(why.to_owned()));
    }
    let session = context.connect(&context.principal("ada")?).await?;
    for text in TEXTS {
        let from = session.count();
        session.run(&context.plain(text)?).await?;
        session.barrier().await?;
        let seen = session.seen();
        let came_back = seen.iter().skip(from).filter(|seen| holds(&seen.json, text)).count();
        ensure(came_back > 0, || {
            let echo = seen.iter().skip(from).find(|seen| {
                matches!(seen.kind, Kind::Message | Kind::ToolStarted | Kind::Thinking | Kind::Completed)
            });
            let got =
                echo.map(|seen| format!("; what should hold it may be\n  {}", seen.text)).unwrap_or_default();
            format!("{text:?} was sent and came back nowhere{got}")
        })?;
    }
    pass(format!("{} texts in as many scripts came back letter by letter", TEXTS.len()))
}
