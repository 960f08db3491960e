//! The answer to a handshake, good or not.

use wireproof_faultproxy::wire::{KEY, accept_of};

use super::raw_handshake::shake;
use crate::check::{CheckContext, CheckOutcome, Failure, ensure, pass};

pub(super) async fn accept_key(context: &CheckContext<'_>) -> CheckOutcome {
    let (_hand, head) = shake(context, &context.principal("ada")?, |request| request).await?;
    let told = |name: &str| head.header(name).unwrap_or_default().to_owned();
    let has_word =
        |name: &str, word: &str| told(name).split(',').any(|part| part.trim().eq_ignore_ascii_case(word));
    ensure(head.status == 101, || format!("a good handshake was answered with {}", head.status))?;
    for (name, word) in [("upgrade", "websocket"), ("connection", "upgrade")] {
        ensure(has_word(name, word), || format!("the header {name} is {:?} and not {word}", told(name)))?;
    }
    let (accept, right) = (told("sec-websocket-accept"), accept_of(KEY));
    ensure(accept == right, || {
        format!("Sec-WebSocket-Accept is {accept:?}; for the key {KEY} it must be {right:?}")
    })?;
    let extensions = told("sec-websocket-extensions");
    ensure(extensions.is_empty(), || {
        format!("the extension {extensions:?} was agreed on, and none was offered")
    })?;
    pass(format!("101 with the proof {accept}"))
}

pub(super) async fn version(context: &CheckContext<'_>) -> CheckOutcome {
    let ada = context.principal("ada")?;
    let (_hand, head) = shake(context, &ada, |request| request).await?;
    if head.status != 101 {
        return Err(Failure::NotDone(format!("a good handshake is answered with {} as well", head.status)));
    }
    let mut seen = Vec::new();
    // Not 8: some servers speak that draft as well, and may.
    for version in ["12", "14", "99"] {
        let other = |request: String| {
            request.replace("Sec-WebSocket-Version: 13", &format!("Sec-WebSocket-Version: {version}"))
        };
        let (_hand, head) = shake(context, &ada, other).await?;
        ensure(head.status >= 400, || {
            format!("a handshake of version {version} was answered with {}", head.status)
        })?;
        let told = head.header("sec-websocket-version").unwrap_or("none");
        seen.push(format!("version {version}: {}, offered instead: {told}", head.status));
    }
    pass(seen.join("; "))
}
