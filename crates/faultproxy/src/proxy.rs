//! A real TCP proxy between clients and a server that does to connections what networks do, and worse: on purpose, from
//! a seed, and with a journal that tells exactly what it did.
//!
//! ```
//! use wireproof_client::Connect;
//! use wireproof_faultproxy::{Cut, Fault, FaultProxy, Toxic, Trigger};
//! use wireproof_testkit::{TestClient, TestServer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = TestServer::start().await;
//! let proxy = FaultProxy::start(server.address(), 7).await?;
//! // The first connection is reset right behind `tool_executing`.
//! let cut = Toxic::to_client(Fault::Cut(Cut::Reset)).on_next();
//! proxy.add(cut.when(Trigger::AfterText(r#""type":"tool_executing""#.into())));
//!
//! let connect = Connect::to(proxy.url("/ws")).token(server.user("ada").token());
//! let mut ada = TestClient::open(connect).await?;
//! ada.send(serde_json::json!({ "type": "chat", "content": "What is 17*23?" })).await;
//! ada.expect_closed().await;
//! ada.resume().await;
//! ada.expect("agent_completed").await;
//! ada.assert_exactly_once();
//! assert_eq!(proxy.journal()[0].what, "cut");
//! # Ok(())
//! # }
//! ```

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{net::TcpSocket, sync::watch, task::JoinHandle};

mod active_toxic;
mod buffered;
mod control_frames;
mod fault;
mod flow;
mod frames;
mod journal;
mod link;
mod messages;
pub mod mutation;
mod plan;
mod pump;
mod shared;
mod toxic;

pub use fault::{Afterwards, Cut, Fault};
pub use journal::{Entry, Phase};
pub use link::End;
pub use shared::Connection;
pub use toxic::{Connections, Direction, Invalid, Toxic, Trigger};

use active_toxic::{InForce, NumberedToxic};
use journal::Journal;
use shared::{Mutating, Shared, accept};

/// Connections that may wait to be accepted: a storm of them is no fault of the proxy's.
const BACKLOG: u32 = 4096;

/// A proxy in front of one server; it and all its connections end when it is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// How long the server may take to accept, where nothing else was said.
const CONNECT: Duration = Duration::from_secs(10);

impl FaultProxy {
    /// Starts a proxy on a free port of 127.0.0.1 in front of a server. The seed decides all that is left to chance.
    pub async fn start(upstream: SocketAddr, seed: u64) -> io::Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), upstream, seed, CONNECT).await
    }

    /// The same at an address of one's own, for a server that may take so long to accept.
    pub async fn start_at(
        listen: SocketAddr,
        upstream: SocketAddr,
        seed: u64,
        connect: Duration,
    ) -> io::Result<Self> {
        let socket = if listen.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(listen)?;
        let listener = socket.listen(BACKLOG)?;
        let shared = Arc::new(Shared {
            address: listener.local_addr()?,
            upstream,
            connect,
            seed,
            toxics: watch::Sender::default(),
            mutating: Mutex::default(),
            next_toxic: AtomicU64::new(1),
            journal: Arc::new(Journal::new()),
            links: Mutex::default(),
            ended: watch::Sender::default(),
        });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Ok(Self { shared, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// The server behind it.
    pub fn upstream(&self) -> SocketAddr {
        self.shared.upstream
    }

    /// The seed it was started with.
    pub fn seed(&self) -> u64 {
        self.shared.seed
    }

    /// The address for a WebSocket client; the path begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.address())
    }

    /// Puts a toxic in force for connections to come and for those that are open, and gives its number. Panics when it
    /// makes no sense.
    #[track_caller]
    pub fn add(&self, toxic: Toxic) -> u64 {
        match self.try_add(toxic) {
            Ok(number) => number,
            Err(invalid) => panic!("no such toxic can be: {invalid}"),
        }
    }

    /// The same with what is wrong as an error.
    pub fn try_add(&self, mut toxic: Toxic) -> Result<u64, Invalid> {
        toxic.check()?;
        let id = self.shared.next_toxic.fetch_add(1, Ordering::Relaxed);
        let links = self.shared.links();
        if toxic.connections == Connections::Next {
            toxic.connections = Connections::Number(links.accepted + 1);
        }
        self.shared.toxics.send_modify(|in_force| {
            Arc::make_mut(in_force).push(NumberedToxic { id, toxic: Arc::new(toxic) });
        });
        Ok(id)
    }

    /// Puts these in force in the place of all others.
    #[track_caller]
    pub fn set(&self, toxics: impl IntoIterator<Item = Toxic>) -> Vec<u64> {
        self.clear();
        toxics.into_iter().map(|toxic| self.add(toxic)).collect()
    }

    /// Takes a toxic out of force: what it delayed keeps its time, what it stalled or silenced goes on. False when
    /// there is none of this number.
    pub fn remove(&self, number: u64) -> bool {
        self.shared.toxics.send_if_modified(|in_force| {
            let found = in_force.iter().any(|active| active.id == number);
            if found {
                Arc::make_mut(in_force).retain(|active| active.id != number);
            }
            found
        })
    }

    /// Takes all toxics out of force.
    pub fn clear(&self) {
        self.shared.toxics.send_replace(InForce::default());
    }

    /// The toxics in force, with their numbers.
    pub fn toxics(&self) -> Vec<(u64, Toxic)> {
        let in_force = self.shared.toxics.borrow();
        in_force.iter().map(|active| (active.id, Toxic::clone(&active.toxic))).collect()
    }

    /// Has the server seem to do these things wrong, on connections to come; without any, everything passes again.
    pub fn mutate(&self, setup: mutation::Setup) {
        let mutating = Mutating { setup: Arc::new(setup), world: Arc::default() };
        *self.shared.mutating() = Some(mutating).filter(|mutating| !mutating.setup.mutations.is_empty());
    }

    /// The mutations of connections to come.
    pub fn mutations(&self) -> Vec<mutation::Mutation> {
        self.shared.mutating().as_ref().map(|mutating| mutating.setup.mutations.clone()).unwrap_or_default()
    }

    /// Cuts a connection now, wherever its bytes are. False when it is not open.
    pub fn cut(&self, number: u64, cut: Cut) -> bool {
        let links = self.shared.links();
        links.known.get(&number).is_some_and(|known| self.shared.cut(number, known, cut))
    }

    /// Cuts all connections that are open now; how many there were.
    pub fn cut_all(&self, cut: Cut) -> usize {
        let links = self.shared.links();
        links.known.iter().filter(|(number, known)| self.shared.cut(**number, known, cut)).count()
    }

    /// All that it has done so far, in order; the latest 200,000 entries are kept. What passed untouched is not in it.
    pub fn journal(&self) -> Vec<Entry> {
        self.shared.journal.since(0)
    }

    /// The entries with a number above this one.
    pub fn journal_since(&self, number: u64) -> Vec<Entry> {
        self.shared.journal.since(number)
    }

    /// Waits until there is an entry with a number above this one.
    pub async fn journal_grown(&self, number: u64) {
        self.shared.journal.grown(number).await;
    }

    /// The connections that are open, and the latest 20,000 that are not, by their number.
    pub fn connections(&self) -> Vec<Connection> {
        self.shared.links().known.iter().map(|(number, known)| known.seen(*number)).collect()
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.shared.links().known.values().filter(|known| known.end.is_none()).count()
    }

    /// Waits until more connections than this have ended, and gives how many it were.
    pub async fn ended(&self, known: u64) -> u64 {
        let mut ended = self.shared.ended.subscribe();
        // The sender is kept for as long as there are connections.
        ended.wait_for(|ended| *ended > known).await.map_or(known, |ended| *ended)
    }

    /// The number of the latest connection that came from this address.
    pub fn number_of(&self, client: SocketAddr) -> Option<u64> {
        let links = self.shared.links();
        links.known.iter().rev().find(|(_, known)| known.client == client).map(|(number, _)| *number)
    }

    /// Ends it and all its connections; returns when its port and all its sockets are free.
    pub async fn stop(mut self) {
        self.accepting.abort();
        // Cancelled, as was asked.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
