//! The opening of a connection by hand: who comes in how, as the profile says it.

use std::time::Duration;

use wireproof_faultproxy::wire::{Head, Wire, handshake_at};

use super::raw_client::{RawClient, fault};
use crate::check::{CheckContext, Failure, TestPrincipal};

/// How often a server that says "later" is asked again.
const TRIES: usize = 4;
/// The longest wait that a server may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Dials the server and shakes hands, the text of the request changed by `change`. Gives what the server answered;
/// one that says "later" is asked again.
pub async fn shake<'a, B: Into<Vec<u8>>>(
    context: &'a CheckContext<'a>,
    principal: &TestPrincipal,
    change: impl Fn(String) -> B,
) -> Result<(RawClient<'a>, Head), Failure> {
    let authority = context.target.authority();
    let (target, place) = (context.target, context.profile.auth.place);
    let (path, headers) = target.handshake(target.path(), principal.token.as_deref(), place);
    let lines: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let request: Vec<u8> = change(handshake_at(authority, &path, &lines)).into();
    let within = Duration::from_secs_f64(context.profile.timing.answer_seconds);
    let mut tries = 0;
    loop {
        tries += 1;
        let mut wire = dial(context.target.host_and_port(), within).await?;
        wire.write(&request).await.map_err(fault)?;
        let head = wire.head().await.map_err(fault)?;
        if !matches!(head.status, 429 | 503) || tries == TRIES {
            return Ok((RawClient::on(context, wire, principal), head));
        }
        // What the server asks for, and it is bounded.
        let wait = head.header("retry-after").and_then(|seconds| seconds.parse().ok()).unwrap_or(1);
        tokio::time::sleep(Duration::from_secs(wait).min(MAX_RETRY_AFTER)).await;
    }
}

async fn dial(named: (String, u16), within: Duration) -> Result<Wire, Failure> {
    let host = named.0.clone();
    let gone = |why: String| Failure::Gone(format!("{host} cannot be reached: {why}"));
    let mut last = gone("its name has no address".to_owned());
    for address in tokio::net::lookup_host(named).await.map_err(|error| gone(error.to_string()))? {
        match Wire::dial(address, within).await {
            Ok(wire) => return Ok(wire),
            Err(error) => last = fault(error),
        }
    }
    Err(last)
}
