//! How long a server takes to accept, and to deliver a first run: in this process, as tests use it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Result;
use wireproof_protocol::UserId;
use wireproof_server::{Config, Server};

use super::{Rows, histogram, micros, ms};
use crate::wire::Wire;

const SERVERS: usize = 200;

async fn start(folder: &tempfile::TempDir) -> Result<Server> {
    let config = Config {
        listen: ([127, 0, 0, 1], 0).into(),
        data_dir: folder.path().to_owned(),
        ..Config::default()
    };
    Ok(Server::start(config).await?)
}

/// 200 servers, one after the other, all alive at the end.
pub async fn server_start() -> Result<Rows> {
    let mut times = histogram()?;
    let mut alive = Vec::new();
    for _ in 0..SERVERS {
        let began = Instant::now();
        let folder = tempfile::tempdir()?;
        let server = start(&folder).await?;
        times.record(micros(began.elapsed()))?;
        alive.push((folder, server));
    }
    // Each of them still serves.
    for (_, server) in &alive {
        let token = server.keys().sign(&UserId::new("ada")?, Duration::from_secs(60));
        Wire::connect(&server.address().to_string(), &token, "", 0).await?;
    }
    let metrics = BTreeMap::from([
        ("p50_ms", ms(&times, 0.5)),
        ("p99_ms", ms(&times, 0.99)),
        ("servers_alive", alive.len() as f64),
    ]);
    Ok(vec![("server-start", metrics)])
}

/// From nothing to the fifth event of the builtin agent's first run.
pub async fn first_run() -> Result<Rows> {
    let mut times = histogram()?;
    for _ in 0..60 {
        let began = Instant::now();
        let folder = tempfile::tempdir()?;
        let server = start(&folder).await?;
        let token = server.keys().sign(&UserId::new("ada")?, Duration::from_secs(60));
        let mut wire = Wire::connect(&server.address().to_string(), &token, "", 0).await?;
        wire.send(r#"{"type":"chat","content":"What is 17*23?"}"#).await?;
        wire.until(b"\"agent_completed\"").await?;
        times.record(micros(began.elapsed()))?;
        drop(wire);
        server.shutdown().await;
    }
    Ok(vec![("first-run", BTreeMap::from([("p50_ms", ms(&times, 0.5)), ("p99_ms", ms(&times, 0.99))]))])
}
