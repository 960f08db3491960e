//! What it costs to let somebody in: from the SYN to the welcome and the end of the connection, by kind of token.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Result;
use futures_util::future::try_join_all;
use wireproof_testkit::Issuer;

use super::Rows;
use crate::{
    server::{Kind, LIFTED, Process},
    wire::Wire,
};

/// Handshakes of one measurement.
const HANDSHAKES: usize = 12_000;
/// Clients that shake hands at a time.
const CLIENTS: usize = 32;
/// Users among whom they are spread.
const USERS: usize = 1_000;

/// Tokens of the server's own key and of an issuer's ES256 key; each token once, and then all of them again.
pub async fn handshakes() -> Result<Rows> {
    let issuer = Issuer::es256("bench");
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("issuer.pem");
    std::fs::write(&file, issuer.public_pem())?;
    let settings = format!("{LIFTED}[jwt]\npublic_key_file = {:?}\n", file.to_string_lossy());
    let server = Process::start_with(Kind::Probe, &settings).await?;
    let user = |index: usize| format!("user{}", index % USERS);
    let own: Vec<String> = (0..HANDSHAKES).map(|index| server.token(&user(index))).collect::<Result<_>>()?;
    let foreign: Vec<String> = (0..HANDSHAKES)
        .map(|index| issuer.token_for(&user(index), Duration::from_secs(3600 + index as u64)))
        .collect();
    // What the first of anything costs is not in the figure.
    shake_hands(&server, &[server.token("warm")?, issuer.token("warm")], 0).await?;
    Ok(vec![
        ("handshakes-hs256", shake_hands(&server, &own, 1).await?),
        ("handshakes-hs256-again", shake_hands(&server, &own, 2).await?),
        ("handshakes-es256", shake_hands(&server, &foreign, 3).await?),
        ("handshakes-es256-again", shake_hands(&server, &foreign, 4).await?),
    ])
}

/// One handshake with each token; the connection is dropped when its welcome has come. Each round comes from addresses of
/// its own: the ports of the last one are not free again at once.
async fn shake_hands(
    server: &Process,
    tokens: &[String],
    round: usize,
) -> Result<BTreeMap<&'static str, f64>> {
    let cpu = server.cpu_seconds()?;
    let began = Instant::now();
    try_join_all((0..CLIENTS).map(|client| async move {
        for (index, token) in tokens.iter().enumerate().skip(client).step_by(CLIENTS) {
            let place = round * 2 * HANDSHAKES + index;
            drop(Wire::connect(&server.address, token, "", place).await?);
        }
        anyhow::Ok(())
    }))
    .await?;
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), server.cpu_seconds()? - cpu);
    let count = tokens.len() as f64;
    Ok(BTreeMap::from([
        ("handshakes_per_s", count / seconds),
        ("handshakes_per_cpu_s", count / cpu.max(0.01)),
        ("server_cpu_us_per_handshake", cpu / count * 1e6),
    ]))
}
