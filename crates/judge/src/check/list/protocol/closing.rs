//! How a connection ends in order, and what is not an order.

use std::time::Duration;

use wireproof_faultproxy::wire::{CLOSE, FIN, TEXT, masked};

use super::{
    probe::Probe,
    raw_client::{Came, RawClient, unsound},
};
use crate::check::{
    CheckContext, CheckOutcome, Failure, TestPrincipal, broken, ensure, pass, session::new_id,
};

/// A close with a code and a reason.
fn close_with(code: u16, reason: &[u8]) -> Vec<u8> {
    masked(FIN | CLOSE, &[&code.to_be_bytes(), reason].concat())
}

/// Reads on until the server's close; nothing when the connection ended without one.
async fn closed(hand: &mut RawClient<'_>) -> Result<Option<Option<u16>>, Failure> {
    loop {
        match hand.next().await? {
            Came::Close(code) => return Ok(Some(code)),
            Came::End => return Ok(None),
            Came::Message(_) | Came::Pong(_) => {}
        }
    }
}

pub(super) async fn close(context: &CheckContext<'_>) -> CheckOutcome {
    let ada = context.principal("ada")?;
    let mut seen = Vec::new();
    for (what, bytes) in [
        ("a close with 1000", close_with(1000, b"")),
        ("a close with 1001 and a reason", close_with(1001, "the tab is gone €".as_bytes())),
        ("a close with 4321", close_with(4321, b"")),
        ("a close without a code", masked(FIN | CLOSE, b"")),
    ] {
        let mut hand = RawClient::open(context, &ada).await?;
        // A server that was closing anyway answers nothing by it.
        hand.is_sound().await?;
        hand.send(&bytes, what).await?;
        let answer = closed(&mut hand)
            .await
            .map_err(|fault| Failure::Broken(format!("{what} was not answered: {fault}")))?;
        let Some(code) = answer else {
            return broken(format!("{what} was answered with the end of the connection alone"));
        };
        let within = Duration::from_secs_f64(context.profile.timing.answer_seconds);
        ensure(hand.ends_within(within).await, || {
            format!("{what} was answered, and the server did not hang up within {within:?}")
        })?;
        seen.push(format!("{what}: {}", code.map_or("no code".to_owned(), |code| code.to_string())));
    }
    pass(seen.join("; "))
}

/// Holds that a good message is answered, and a good close with a close.
async fn is_sound(context: &CheckContext<'_>, ada: &TestPrincipal) -> Result<(), Failure> {
    let mut hand = RawClient::open(context, ada).await.map_err(unsound)?;
    hand.is_sound().await?;
    hand.send(&close_with(1000, b""), "a close with 1000").await?;
    match closed(&mut hand).await? {
        Some(_) => Ok(()),
        None => {
            Err(Failure::NotDone("a good close is answered with the end of the connection alone".to_owned()))
        }
    }
}

pub(super) async fn close_codes(context: &CheckContext<'_>) -> CheckOutcome {
    let ada = context.principal("ada")?;
    is_sound(context, &ada).await?;
    let mut seen = Vec::new();
    for (what, bad, bytes) in [
        ("a close with 999", 999, close_with(999, b"")),
        ("a close with 1004", 1004, close_with(1004, b"")),
        ("a close with 1005", 1005, close_with(1005, b"")),
        ("a close with 1006", 1006, close_with(1006, b"")),
        ("a close with 1015", 1015, close_with(1015, b"")),
        ("a close with one byte", 0, masked(FIN | CLOSE, b"x")),
        ("a close whose reason is no UTF-8", 1000, close_with(1000, b"\xff")),
    ] {
        let mut hand = RawClient::open(context, &ada).await?;
        hand.send(&bytes, what).await?;
        match closed(&mut hand).await? {
            Some(Some(code)) if code == 1000 || code == bad => {
                return broken(format!("{what} was answered with {code}, as a good one is"));
            }
            Some(Some(code)) => seen.push(format!("{what}: {code}")),
            // Half a code is no code: Autobahn's case 7.3.2 takes this answer as well.
            Some(None) if bad == 0 => seen.push(format!("{what}: no code")),
            Some(None) => {
                return broken(format!("{what} was answered with a close without a code, as a good one is"));
            }
            None => seen.push(format!("{what}: the connection ended")),
        }
    }
    pass(seen.join("; "))
}

pub(super) async fn silent_after_close(context: &CheckContext<'_>) -> CheckOutcome {
    let ada = context.principal("ada")?;
    is_sound(context, &ada).await?;
    let profile = &context.profile;
    // Where there is an agent it is at work when the connection ends: what it says then has nowhere to go.
    let busy = match (&profile.messages.ask, &profile.prompts.plain) {
        (Some(ask), Some(_)) => {
            ask.fill(&[("text", context.plain("wireproof")?.into()), ("id", new_id().into())])
        }
        _ => Probe::new(context, "")?.text,
    };
    let mut seen = Vec::new();
    for (what, bytes) in [("a close", close_with(1000, b"")), ("a reserved opcode", masked(FIN | 0x7, b""))] {
        let mut hand = RawClient::open(context, &ada).await?;
        let bytes = [masked(FIN | TEXT, busy.as_bytes()), bytes].concat();
        hand.send(&bytes, &format!("a message and {what}")).await?;
        let Some(code) = closed(&mut hand).await? else {
            seen.push(format!("{what}: the connection ended"));
            continue;
        };
        if let Some(late) = hand.frame().await? {
            let (opcode, text) = (late.opcode, late.text());
            let begin: String = text.chars().take(80).collect();
            return broken(format!(
                "after its close for {what} the server sent a frame of opcode {opcode}: {begin:?}"
            ));
        }
        seen.push(format!(
            "{what}: close {}, then nothing",
            code.map_or("without a code".to_owned(), |code| code.to_string())
        ));
    }
    pass(seen.join("; "))
}
