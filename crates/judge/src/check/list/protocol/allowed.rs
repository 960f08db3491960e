//! What a client may send and must be understood, and what a server may send.

use wireproof_faultproxy::wire::{CONTINUATION, FIN, PING, TEXT, masked, strict::Strict};

use super::{
    probe::Probe,
    raw_client::{Came, RawClient},
};
use crate::{
    check::{CheckContext, CheckOutcome, broken, pass, session::new_id},
    profile::Kind,
};

pub(super) async fn frames(context: &CheckContext<'_>) -> CheckOutcome {
    // Not `open`: the first frames are judged as well, and before anything waits for a welcome.
    let ada = context.principal("ada")?;
    let mut hand = RawClient::entered(context, &ada).await?;
    let question = Probe::new(context, " é€😀 ")?;
    let mut bytes = masked(FIN | TEXT, question.text.as_bytes());
    let tool = context.sum().ok().and_then(|sum| {
        let ask = context.profile.messages.ask.as_ref()?;
        Some(ask.fill(&[("text", sum.prompt.into()), ("id", new_id().into())]))
    });
    if let Some(tool) = &tool {
        bytes.extend(masked(FIN | TEXT, tool.as_bytes()));
    }
    bytes.extend(masked(FIN | PING, b"wireproof"));
    hand.send(&bytes, "a question, a ping, and a message that takes a tool where there are any").await?;
    let (mut strict, mut count, mut answered, mut completed) = (Strict::new(), 0, false, tool.is_none());
    loop {
        let Some(frame) = hand.frame().await? else {
            return broken(format!("the connection ended after {count} frames, before all was answered"));
        };
        count += 1;
        if let Err(violation) = strict.frame(&frame) {
            let (header, text) = (&frame.header, frame.text());
            let begin: String = text.chars().take(80).collect();
            return broken(format!(
                "frame {count}: {violation}; its header is {header:02x?}, and it begins with {begin:?}"
            ));
        }
        if frame.is_control() {
            continue;
        }
        let Some(seen) = hand.fragment(&frame) else { continue };
        completed |= seen.kind == Kind::Completed;
        answered |= question.is_answered_by(&seen, context);
        if answered && completed {
            return pass(format!("frames of the server, each as it must be: {count}"));
        }
    }
}

pub(super) async fn fragments(context: &CheckContext<'_>) -> CheckOutcome {
    let mut hand = RawClient::open(context, &context.principal("ada")?).await?;
    let question = Probe::new(context, "")?;
    let text = question.text.as_bytes();
    let (begin, end) = text.split_at(text.len() / 2);
    let frames = [
        masked(TEXT, begin),
        masked(FIN | PING, b"between"),
        masked(CONTINUATION, b""),
        masked(FIN | CONTINUATION, end),
    ];
    hand.send(&frames.concat(), "a message in three fragments with a ping between").await?;
    hand.answered(&question, "a message in three fragments").await?;
    let question = Probe::new(context, "")?;
    let text = question.text.as_bytes();
    for (index, byte) in text.iter().enumerate() {
        let opcode = if index == 0 { TEXT } else { CONTINUATION };
        let fin = if index + 1 == text.len() { FIN } else { 0 };
        hand.send(&masked(fin | opcode, &[*byte]), "a fragment of one byte").await?;
    }
    hand.answered(&question, "a message in fragments of one byte").await?;
    pass(format!("a message in 3 fragments with a ping between, and one in {}, were answered", text.len()))
}

pub(super) async fn utf8_fragments(context: &CheckContext<'_>) -> CheckOutcome {
    let mut hand = RawClient::open(context, &context.principal("ada")?).await?;
    for letter in ["é", "€", "😀"] {
        for cut in 1..letter.len() {
            let question = Probe::new(context, letter)?;
            let Some(at) = question.text.find(letter) else {
                return broken(format!("the profile's message leaves no place for {letter}"));
            };
            let (begin, end) = question.text.as_bytes().split_at(at + cut);
            let frames = [masked(TEXT, begin), masked(FIN | CONTINUATION, end)].concat();
            let what = format!("{letter} in two fragments, cut after byte {cut}");
            hand.send(&frames, &what).await?;
            hand.answered(&question, &what).await?;
        }
    }
    pass("é, € and 😀 were cut after each of their bytes, and each message was answered")
}

pub(super) async fn pong(context: &CheckContext<'_>) -> CheckOutcome {
    let mut hand = RawClient::open(context, &context.principal("ada")?).await?;
    for payload in [&b""[..], b"wireproof", b"\x00\xff\xfe", &[b'x'; 125]] {
        let what = format!("a ping of {} bytes", payload.len());
        hand.send(&masked(FIN | PING, payload), &what).await?;
        loop {
            match hand.next().await? {
                Came::Message(_) => {}
                Came::Pong(same) if same == payload => break,
                Came::Pong(other) => {
                    return broken(format!("{what} was answered with a pong of {} others", other.len()));
                }
                Came::Close(code) => {
                    return broken(format!("{what} was answered with a close, code {code:?}"));
                }
                Came::End => return broken(format!("{what} ended the connection")),
            }
        }
    }
    pass("pings of 0, 9, 3 and 125 bytes came back")
}
