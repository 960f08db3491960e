//! What no client may send: each must end the connection.

use wireproof_faultproxy::wire::{CONTINUATION, FIN, PING, RSV1, RSV2, RSV3, TEXT, masked, unmasked};

use super::{
    probe::Probe,
    raw_client::{RawClient, unsound},
};
use crate::check::{CheckContext, CheckOutcome, pass};

/// What it is, and its bytes, which may have a question in them.
type Row<'a> = (&'a str, &'a (dyn Fn(&Probe) -> Vec<u8> + Sync));

/// Sends one thing on a connection of its own for each row; each must end it.
async fn each_fails(context: &CheckContext<'_>, rows: &[Row<'_>]) -> CheckOutcome {
    let ada = context.principal("ada")?;
    RawClient::open(context, &ada).await.map_err(unsound)?.is_sound().await?;
    let mut seen = Vec::new();
    for (what, bytes) in rows {
        let mut hand = RawClient::open(context, &ada).await?;
        let question = Probe::new(context, "")?;
        let how = hand.fails(&bytes(&question), &question, what).await?;
        seen.push(format!("{what}: {how}"));
    }
    pass(seen.join("; "))
}

pub(super) async fn masks(context: &CheckContext<'_>) -> CheckOutcome {
    each_fails(
        context,
        &[
            ("a text without a mask", &|question| unmasked(FIN | TEXT, question.text.as_bytes())),
            ("a ping without a mask", &|_| unmasked(FIN | PING, b"wireproof")),
        ],
    )
    .await
}

pub(super) async fn reserved(context: &CheckContext<'_>) -> CheckOutcome {
    each_fails(
        context,
        &[
            ("the first reserved bit", &|question| masked(FIN | RSV1 | TEXT, question.text.as_bytes())),
            ("the second reserved bit", &|question| masked(FIN | RSV2 | TEXT, question.text.as_bytes())),
            ("the third reserved bit", &|question| masked(FIN | RSV3 | TEXT, question.text.as_bytes())),
            ("the opcode 3", &|question| masked(FIN | 0x3, question.text.as_bytes())),
            ("the opcode 11", &|_| masked(FIN | 0xb, b"")),
        ],
    )
    .await
}

pub(super) async fn control_frames(context: &CheckContext<'_>) -> CheckOutcome {
    each_fails(
        context,
        &[
            ("a ping of 126 bytes", &|_| masked(FIN | PING, &[b'x'; 126])),
            ("a ping in two pieces", &|_| [masked(PING, b"x"), masked(FIN | CONTINUATION, b"x")].concat()),
        ],
    )
    .await
}

pub(super) async fn continuation(context: &CheckContext<'_>) -> CheckOutcome {
    each_fails(
        context,
        &[
            ("a continuation of nothing", &|question| masked(FIN | CONTINUATION, question.text.as_bytes())),
            ("a text inside a text", &|question| {
                [masked(TEXT, b"{"), masked(FIN | TEXT, question.text.as_bytes())].concat()
            }),
        ],
    )
    .await
}

pub(super) async fn utf8(context: &CheckContext<'_>) -> CheckOutcome {
    // In a JSON string, so that only UTF-8 is wrong with it.
    let with = |bytes: &'static [u8]| {
        move |question: &Probe| {
            let text = question.text.as_bytes();
            let quote = text.iter().rposition(|byte| *byte == b'"').unwrap_or(text.len());
            masked(FIN | TEXT, &[&text[..quote], bytes, &text[quote..]].concat())
        }
    };
    each_fails(
        context,
        &[
            ("the byte ff", &with(b"\xff")),
            ("a letter without its end", &with(b"\xe2\x82")),
            ("a surrogate", &with(b"\xed\xa0\x80")),
            ("an overlong slash", &with(b"\xc0\xaf")),
        ],
    )
    .await
}
