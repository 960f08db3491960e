//! The storm: the server is killed under 10,000 connected clients, and they all come back to the new process.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::Result;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::{sync::watch, task::JoinSet};
use wireproof_client::{Backoff, Client, ClientError, Connect, OpenError, Update};
use wireproof_protocol::{ClientFrame, ControlBody, EventBody};

use super::{Rows, histogram, micros, ms};
use crate::{
    server::{Kind, Process},
    wire::Wire,
};

const CLIENTS: usize = 10_000;
/// How long any of them may take.
const PATIENCE: Duration = Duration::from_secs(90);
/// Only the limits of a user who asks all the time are lifted: admission is what is measured.
const SETTINGS: &str = "[limits]\nmessages_per_minute = 0\n";
const ASK: &str = r#"{"type":"chat","content":"What is 17*23?"}"#;

/// What became of one client: when it was resumed after the server came back, and how often it was sent away.
struct Returned {
    after: Option<Duration>,
    sent_away: u64,
}

/// 10,000 clients of 10,000 users, each with a log; the figures are from the moment the new process accepts.
pub async fn storm() -> Result<Rows> {
    let mut server = Process::start_with(Kind::Shipped, SETTINGS).await?;
    let clients: Vec<Client> = stream::iter(0..CLIENTS)
        .map(|index| {
            let token = server.token(&format!("user{index}"));
            let url = format!("ws://{}/ws", server.address);
            async move { settled(&url, &token?, index).await }
        })
        .buffer_unordered(64)
        .try_collect()
        .await?;
    let (accepting, accepts) = watch::channel(None);
    let mut returning = JoinSet::new();
    for client in clients {
        returning.spawn(comes_back(client, accepts.clone()));
    }
    server.kill().await?;
    server.again().await?;
    let began = Instant::now();
    accepting.send_replace(Some(began));
    let (over, is_over) = watch::channel(false);
    let token = server.token("observer")?;
    let observer = tokio::spawn(observe(server.address.clone(), token, is_over));
    let (mut times, mut given_up, mut sent_away) = (histogram()?, 0u64, 0u64);
    while let Some(returned) = returning.join_next().await {
        let returned = returned?;
        sent_away += returned.sent_away;
        match returned.after {
            Some(after) => times.record(micros(after))?,
            None => given_up += 1,
        }
    }
    over.send_replace(true);
    let runs = observer.await??;
    let metrics = BTreeMap::from([
        ("clients", CLIENTS as f64),
        ("gave_up", given_up as f64),
        ("sent_away", sent_away as f64),
        ("resumed_p50_ms", ms(&times, 0.5)),
        ("resumed_p95_ms", ms(&times, 0.95)),
        ("resumed_max_ms", ms(&times, 1.0)),
        ("runs_meanwhile", runs.len() as f64),
        ("run_p50_ms", ms(&runs, 0.5)),
        ("run_p99_ms", ms(&runs, 0.99)),
    ]);
    Ok(vec![("storm", metrics)])
}

/// A client whose log has a run in it, read to its end.
async fn settled(url: &str, token: &str, index: usize) -> Result<Client> {
    // A source address has some 28,000 ports, and those of connections that are over stay taken for a while.
    let source = IpAddr::from([127, 0, 1, 1 + (index / 2_500) as u8]);
    let connect = Connect::to(url).token(token).from_address(source).within(Duration::from_secs(20));
    let mut client = loop {
        match Client::connect(connect.clone(), Backoff::default()).await {
            Ok(client) => break client,
            Err(OpenError::Refused { retry_after: Some(wait), .. }) => tokio::time::sleep(wait).await,
            Err(error) => return Err(error.into()),
        }
    };
    client
        .request(&ClientFrame::Chat { content: "What is 17*23?".into(), thread_id: None, agent: None })
        .await?;
    loop {
        if let Update::Event(event) = client.next(PATIENCE).await?
            && matches!(event.body, EventBody::AgentCompleted { .. })
        {
            return Ok(client);
        }
    }
}

/// Follows a client until its resume is complete, as its user would: by asking for what is next.
async fn comes_back(mut client: Client, accepts: watch::Receiver<Option<Instant>>) -> Returned {
    let (mut sent_away, mut reconnected) = (0, false);
    loop {
        match client.next(PATIENCE).await {
            Ok(Update::Reconnected { .. }) => reconnected = true,
            Ok(Update::Lost { wait, .. }) if accepts.borrow().is_some() && wait >= Duration::from_secs(1) => {
                sent_away += 1;
            }
            Ok(Update::Control(control))
                if reconnected && matches!(control.body, ControlBody::CaughtUp { .. }) =>
            {
                let after = accepts.borrow().map(|began| began.elapsed()).unwrap_or_default();
                // Connected for as long as the others come back: nobody makes room.
                tokio::spawn(async move { while client.next(PATIENCE).await.is_ok() {} });
                return Returned { after: Some(after), sent_away };
            }
            Ok(_) => {}
            Err(
                ClientError::Unreadable(_) | ClientError::NotConnected(_) | ClientError::TooManyRequests(_),
            ) => {}
            Err(_) => return Returned { after: None, sent_away },
        }
    }
}

/// Runs of a user who is in before the storm comes, one after the other until it is over.
async fn observe(
    address: String,
    token: String,
    over: watch::Receiver<bool>,
) -> Result<hdrhistogram::Histogram<u64>> {
    let began = Instant::now();
    let mut wire = loop {
        match Wire::connect(&address, &token, "", 0).await {
            Ok(wire) => break wire,
            Err(error) if began.elapsed() > PATIENCE => return Err(error.context("the observer gets in")),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    let mut times = histogram()?;
    while !*over.borrow() {
        let began = Instant::now();
        wire.send(ASK).await?;
        wire.until(b"\"agent_completed\"").await?;
        times.record(micros(began.elapsed()))?;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(times)
}
