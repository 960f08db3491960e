//! How long things take.

use std::time::{Duration, Instant};

use serde_json::json;
use wireproof_faultproxy::wire::{FIN, TEXT, masked};

use crate::{
    check::{
        CheckContext, CheckOutcome, Evidence, Failure, Measure, broken, ensure,
        list::protocol::raw_client::{Came, RawClient},
        session::new_id,
        timeline,
    },
    profile::Kind,
};

/// Runs whose beginnings are timed.
const RUNS: usize = 15;
/// Pieces that a slow answer comes in at least.
const PIECES: usize = 5;
/// Pairs of runs that are timed side by side.
const PAIRS: usize = 9;
/// Questions asked at once: a server may send a whole run at once, and then waits with the next one.
const ASKS: usize = 2;
/// Milliseconds that delayed acknowledgements may add to a run: half of the shortest delay that a kernel makes.
const ADDED: f64 = 20.0;

pub(super) async fn started(context: &CheckContext<'_>) -> CheckOutcome {
    let Some(bound) = context.profile.timing.started_ms else {
        return Err(Failure::NotDone("the profile has no timing.started_ms".to_owned()));
    };
    let session = context.connect(&context.principal("ada")?).await?;
    let prompt = context.plain("wk1started")?;
    let runs = RUNS.min(context.profile.limits.burst.unwrap_or(RUNS));
    let mut ms = Vec::new();
    for _ in 0..runs {
        let run = session.run(&prompt).await?;
        let Some(started) = run.of(Kind::Started).next() else {
            return broken(format!("a run has no beginning: it was {}", run.timeline()));
        };
        ms.push(in_ms(started.at.saturating_duration_since(run.asked_at)));
    }
    let middle = median(&ms);
    ensure(middle <= bound, || {
        let shown: Vec<_> = ms.iter().map(|ms| format!("{ms:.0}")).collect();
        format!(
            "half of {runs} runs took longer than {middle:.0} ms to begin, where {bound:.0} ms are promised: {} ms",
            shown.join(", ")
        )
    })?;
    let measure =
        Measure { what: "from a request to the beginning of its run".to_owned(), ms, bound_ms: Some(bound) };
    Ok(Evidence {
        what: format!("the median of {runs} runs began after {middle:.1} ms"),
        measures: vec![measure],
    })
}

pub(super) async fn streamed(context: &CheckContext<'_>) -> CheckOutcome {
    let session = context.connect(&context.principal("ada")?).await?;
    let run = session.run(context.prompt(&context.profile.prompts.slow, "slow")?).await?;
    let pieces: Vec<_> = run.of(Kind::Delta).map(|seen| seen.at).collect();
    let end = run.of(Kind::Completed).next().map(|seen| seen.at);
    let (Some(first), Some(end)) = (pieces.first(), end) else {
        return broken(format!("an answer came without pieces:{}", timeline(&run.frames, &[])));
    };
    let whole = end.saturating_duration_since(*first);
    let after: Vec<f64> = pieces.iter().map(|at| in_ms(at.saturating_duration_since(*first))).collect();
    let in_time = pieces.iter().filter(|at| at.saturating_duration_since(*first) < whole * 4 / 5).count();
    // Of an even stream four in five come in four fifths of the time; half of that is enough.
    ensure(pieces.len() >= PIECES && in_time * 5 >= pieces.len() * 2, || {
        let shown: Vec<_> = after.iter().map(|ms| format!("{ms:.0}")).collect();
        format!(
            "{in_time} of {} pieces came before the last fifth of the {whole:.1?} that the answer took: after {} ms",
            pieces.len(),
            shown.join(", ")
        )
    })?;
    let measure =
        Measure { what: "from the first piece of an answer to each".to_owned(), ms: after, bound_ms: None };
    Ok(Evidence { what: format!("{} pieces over {whole:.1?}", pieces.len()), measures: vec![measure] })
}

/// A server that waits for acknowledgements before it sends on is as fast as its client's kernel acknowledges. So the same
/// runs are timed with acknowledgements that come at once and with such that come late, turn by turn: whatever else the
/// machine does is the same for both.
pub(super) async fn nodelay(context: &CheckContext<'_>) -> CheckOutcome {
    let (ada, prompt) = (context.principal("ada")?, context.sum()?.prompt);
    let mut hand = RawClient::open(context, &ada).await?;
    let (mut at_once, mut late) = (Vec::new(), Vec::new());
    let limits = &context.profile.limits;
    let asks = ASKS.min(limits.runs.unwrap_or(ASKS)).max(1);
    for _ in 0..PAIRS.min(limits.burst.map_or(PAIRS, |burst| burst / (2 * asks))).max(1) {
        at_once.push(timed(context, &mut hand, &prompt, asks, true).await?);
        late.push(timed(context, &mut hand, &prompt, asks, false).await?);
    }
    let (middle, middle_late) = (median(&at_once), median(&late));
    let longer = at_once.iter().zip(&late).filter(|(at_once, late)| late > at_once).count();
    // Both must hold: a busy machine makes single runs long, and as often those as these.
    ensure(middle_late - middle < ADDED || longer * 4 < late.len() * 3, || {
        format!(
            "{asks} runs take {middle:.0} ms when the client acknowledges at once and {middle_late:.0} ms when it \
             acknowledges late, {longer} of {} times longer: the server waits for acknowledgements (TCP_NODELAY is off)",
            late.len()
        )
    })?;
    let what = format!(
        "{asks} runs in {middle:.1} ms with acknowledgements at once, in {middle_late:.1} ms with late ones"
    );
    let measure = |what: &str, ms| Measure { what: format!("{asks} runs, {what}"), ms, bound_ms: None };
    let measures = vec![measure("acknowledged at once", at_once), measure("acknowledged late", late)];
    Ok(Evidence { what, measures })
}

/// Milliseconds from so many requests at once to the end of the last run.
async fn timed(
    context: &CheckContext<'_>,
    hand: &mut RawClient<'_>,
    prompt: &str,
    asks: usize,
    at_once: bool,
) -> Result<f64, Failure> {
    let Some(ask) = &context.profile.messages.ask else {
        return Err(Failure::NotDone(
            "the profile does not say how to ask an agent (messages.ask)".to_owned(),
        ));
    };
    let cannot = |error: std::io::Error| {
        Failure::NotDone(format!("this system cannot time acknowledgements: {error}"))
    };
    let frame =
        || masked(FIN | TEXT, ask.fill(&[("text", json!(prompt)), ("id", json!(new_id()))]).as_bytes());
    let frames: Vec<u8> = (0..asks).flat_map(|_| frame()).collect();
    let (began, mut left) = (Instant::now(), asks);
    hand.send(&frames, prompt).await?;
    loop {
        // The kernel forgets it with every byte that goes or comes.
        hand.acknowledge_at_once(at_once).map_err(cannot)?;
        match hand.next().await? {
            Came::Message(seen) if seen.kind == Kind::Completed && left == 1 => {
                return Ok(in_ms(began.elapsed()));
            }
            Came::Message(seen) if seen.kind == Kind::Completed => left -= 1,
            Came::Message(seen) if seen.kind == Kind::Error => {
                return broken(format!("a question was refused: {}", seen.brief()));
            }
            Came::Message(_) | Came::Pong(_) => {}
            Came::Close(code) => return broken(format!("closed with {code:?} during a run")),
            Came::End => return broken("the connection ended during a run"),
        }
    }
}

fn in_ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn median(ms: &[f64]) -> f64 {
    let mut sorted = ms.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
