//! What the demo runs on: a server on a free port in a temporary folder, and one user's client.

use std::time::{Duration, Instant};

use anyhow::Context;
use tempfile::TempDir;
use wireproof_client::{Backoff, Client, Connect, Update};
use wireproof_protocol::{ClientFrame, ControlBody, Event, Incoming, Position, UserId};
use wireproof_server::{Config, Server, auth::Keys};

use crate::exit::Stop;

/// Longer than any event of the demo may take.
const WITHIN: Duration = Duration::from_secs(20);

pub(super) struct Setup {
    server: Server,
    folder: TempDir,
    user: UserId,
    token: String,
    client: Client,
    said_at: Instant,
}

impl Setup {
    pub(super) async fn build() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("making a temporary folder")?;
        let config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            data_dir: folder.path().to_owned(),
            ..Config::default()
        };
        let server = Server::start(config).await.context("starting the server")?;
        let user = UserId::new("ada")?;
        let token = Keys::load_or_create(folder.path())?.sign(&user, Duration::from_secs(600));
        let connect = Connect::to(format!("ws://{}/ws", server.address())).token(&token);
        let client = Client::connect(connect, Backoff::default()).await?;
        Ok(Self { server, folder, user, token, client, said_at: Instant::now() })
    }

    pub(super) fn url(&self) -> String {
        format!("ws://{}/ws", self.server.address())
    }

    pub(super) fn user(&self) -> &str {
        self.user.as_str()
    }

    pub(super) async fn say(&mut self, text: &str) -> anyhow::Result<()> {
        let frame = ClientFrame::Chat { content: text.to_owned(), thread_id: None, agent: None };
        self.said_at = Instant::now();
        self.client.request(&frame).await?;
        Ok(())
    }

    pub(super) fn since_said(&self) -> Duration {
        self.said_at.elapsed()
    }

    /// The next update; a refusal of the server is an error.
    pub(super) async fn next(&mut self) -> anyhow::Result<Update> {
        let update = self.client.next(WITHIN).await?;
        if let Update::Control(control) = &update
            && let ControlBody::Error(error) = &control.body
        {
            return Err(Stop::Refused(error.message.clone()).into());
        }
        Ok(update)
    }

    pub(super) fn cut(&mut self) {
        self.client.cut();
    }

    /// The user's whole log as the server replays it to a connection that has seen nothing.
    pub(super) async fn read_log(&self) -> anyhow::Result<Vec<Event>> {
        let epoch = self.client.welcome().epoch;
        let connect = Connect::to(self.url()).token(&self.token).resume(Position { epoch, seq: 0 });
        let (mut connection, _) = connect.open_welcomed().await?;
        let mut events = Vec::new();
        loop {
            match connection.recv(WITHIN).await?.incoming {
                Incoming::Event(event) => events.push(*event),
                Incoming::Control(control) if matches!(control.body, ControlBody::CaughtUp { .. }) => break,
                Incoming::Control(_) | Incoming::Unknown(_) => {}
            }
        }
        connection.close(1000, "").await?;
        Ok(events)
    }

    /// Ends the client, the server and the folder.
    pub(super) async fn strike(self) {
        // All is shown: what does not end well here changes nothing any more.
        let _ = self.client.close().await;
        self.server.shutdown().await;
        drop(self.folder);
    }
}
