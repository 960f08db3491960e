//! An echo on the client's own connection: it asks the judge for its cases and sends back what each one sends.

use std::time::Duration;

use tokio_tungstenite::tungstenite::Message;
use wireproof_client::{Connect, Connection};

use super::Answer;

/// Longer than any case takes.
const WITHIN: Duration = Duration::from_secs(60);
/// The name under which the judge writes down what it finds.
const AGENT: &str = "wireproof";

/// Runs all the cases that the judge at this address has.
pub async fn run(address: &str, answer: Answer) {
    let count = open(address, "/getCaseCount").await.recv_text(WITHIN).await.unwrap();
    let count: usize = count.parse().unwrap();
    for case in 1..=count {
        echo(open(address, &format!("/runCase?case={case}&agent={AGENT}")).await, answer).await;
    }
    echo(open(address, &format!("/updateReports?agent={AGENT}")).await, answer).await;
}

async fn open(address: &str, path: &str) -> Connection {
    // The largest of Autobahn's messages has 16 MiB, as many as a client takes unless it is told otherwise.
    Connect::to(format!("ws://{address}{path}")).within(WITHIN).open().await.unwrap()
}

/// Echoes until the connection is over; how it ends is for the judge to judge.
async fn echo(mut connection: Connection, answer: Answer) {
    while let Ok(message) = connection.recv_message(WITHIN).await {
        let sent = match answer(message) {
            Message::Text(text) => connection.send_text(text.as_str()).await,
            message => connection.send_binary(message.into_data().into()).await,
        };
        if sent.is_err() {
            return;
        }
    }
}
