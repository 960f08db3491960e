//! The first frame in the handshake's own segment: a server that reads ahead must not lose what it read.

use wireproof_faultproxy::wire::{FIN, TEXT, masked};

use crate::check::{
    CheckContext, CheckOutcome, Failure, broken, ensure,
    list::protocol::{
        probe::Probe,
        raw_client::{Came, RawClient},
        raw_handshake::shake,
    },
    pass,
};

pub(super) async fn first_frame(context: &CheckContext<'_>) -> CheckOutcome {
    let ada = context.principal("ada")?;
    let profile = &context.profile;
    let (mut answered, mut refused) = (0, Vec::new());
    // So many frames, the last of them cut after so many bytes, if it is.
    for (frames, cut) in [(1, None), (3, None), (1, Some(1 + context.chance(6) as usize)), (2, Some(9))] {
        let mut behind = Vec::new();
        if let Some(frame) = profile.first_frame(profile.auth.place, ada.token.as_deref()) {
            behind.extend(masked(FIN | TEXT, frame.as_bytes()));
        }
        let mut questions = Vec::new();
        let mut rest = Vec::new();
        for place in 1..=frames {
            let question = Probe::new(context, "")?;
            let bytes = masked(FIN | TEXT, question.text.as_bytes());
            let cut = cut.filter(|_| place == frames).unwrap_or(bytes.len()).min(bytes.len());
            behind.extend(&bytes[..cut]);
            rest.extend(&bytes[cut..]);
            questions.push(question);
        }
        let with = |request: String| [request.as_bytes(), &behind].concat();
        let (mut hand, head) = shake(context, &ada, with).await?;
        if (400..500).contains(&head.status) {
            // Who says that it is too early has lost nothing.
            refused.push(format!("HTTP {}", head.status));
            continue;
        }
        ensure(head.status == 101, || {
            format!("a handshake with {frames} frames behind it got {}", head.status)
        })?;
        if !rest.is_empty() {
            hand.send(&rest, "the rest of a frame").await?;
        }
        for (place, question) in questions.iter().enumerate() {
            if let Some(how) = refusal(context, &mut hand, question, place + 1, frames).await? {
                refused.push(how);
                break;
            }
            answered += 1;
        }
    }
    if answered == 0 {
        context.assert_good_credentials_work().await?;
    }
    let refused = if refused.is_empty() { "none".to_owned() } else { refused.join(", ") };
    pass(format!("{answered} frames in the handshake's own segment were answered; refused: {refused}"))
}

/// Waits for the answer to a frame; how the connection ended when it ends instead.
async fn refusal(
    context: &CheckContext<'_>,
    hand: &mut RawClient<'_>,
    question: &Probe,
    place: usize,
    frames: usize,
) -> Result<Option<String>, Failure> {
    loop {
        match hand.next().await {
            Ok(Came::Message(seen)) if question.is_answered_by(&seen, context) => return Ok(None),
            Ok(Came::Message(_) | Came::Pong(_)) => {}
            // Who lost a part of what came reads the rest as no frame: that is no refusal.
            Ok(Came::Close(Some(code @ (1002 | 1007)))) => {
                let what = format!("frame {place} of {frames} in the handshake's own segment");
                return broken(format!("{what} was not read as it was sent: close {code}"));
            }
            Ok(Came::Close(code)) => {
                return Ok(Some(code.map_or("a close".to_owned(), |code| format!("close {code}"))));
            }
            Ok(Came::End) => return Ok(Some("the end of the connection".to_owned())),
            Err(Failure::Broken(why)) => {
                let what = format!("frame {place} of {frames} in the handshake's own segment");
                return broken(format!("{what} was not answered: {why}"));
            }
            Err(other) => return Err(other),
        }
    }
}
