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
    let (mut answered, mut refused) = (0, 0);
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
            refused += 1;
            continue;
        }
        ensure(head.status == 101, || {
            format!("a handshake with {frames} frames behind it got {}", head.status)
        })?;
        if !rest.is_empty() {
            hand.send(&rest, "the rest of a frame").await?;
        }
        for (place, question) in questions.iter().enumerate() {
            if !carried_out(context, &mut hand, question, place + 1, frames).await? {
                refused += 1;
                break;
            }
            answered += 1;
        }
    }
    if answered == 0 {
        return pass(format!(
            "{refused} frames in the handshake's own segment were refused, and so not lost"
        ));
    }
    pass(format!("{answered} frames in the handshake's own segment were answered, {refused} refused"))
}

/// Waits for the answer to a frame; false when the connection ends instead.
async fn carried_out(
    context: &CheckContext<'_>,
    hand: &mut RawClient<'_>,
    question: &Probe,
    place: usize,
    frames: usize,
) -> Result<bool, Failure> {
    loop {
        match hand.next().await {
            Ok(Came::Message(seen)) if question.is_answered_by(&seen, context) => return Ok(true),
            Ok(Came::Message(_) | Came::Pong(_)) => {}
            Ok(Came::Close(_) | Came::End) => return Ok(false),
            Err(Failure::Broken(why)) => {
                let what = format!("frame {place} of {frames} in the handshake's own segment");
                return broken(format!("{what} was not answered: {why}"));
            }
            Err(other) => return Err(other),
        }
    }
}
