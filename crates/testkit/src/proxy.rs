//! A real TCP proxy between clients and a server that does to connections what networks do, and worse: on purpose, from
//! a seed, and with a journal that tells exactly what it did.
//!
//! ```
//! use wireproof_testkit::{
//!     FaultProxy, TestServer, TestClient,
//!     proxy::{Cut, Fault, Toxic, Trigger},
//! };
//! use wireproof_client::Connect;
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
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
    time::sleep,
};

mod armed;
mod flow;
mod frames;
mod held;
mod injected;
mod journal;
mod link;
mod messages;
mod plan;
mod pump;
mod toxic;

pub use journal::{Entry, Phase};
pub use link::End;
pub use toxic::{Afterwards, Connections, Cut, Direction, Fault, Invalid, Toxic, Trigger};

use armed::{Active, InForce};
use journal::{Journal, Note};
use link::{Link, Order};
use pump::Tally;

/// Connections that may wait to be accepted: a storm of them is no fault of the proxy's.
const BACKLOG: u32 = 4096;
/// Ended connections that are remembered.
const REMEMBERED: usize = 20_000;
/// Orders that may wait for a connection.
const ORDERS: usize = 16;
/// Before another try after an accept that failed for want of resources.
const ACCEPT_AGAIN: Duration = Duration::from_millis(20);

/// A proxy in front of one server; it and all its connections end when it is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// One connection as the proxy sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// Its number, from 1 in the order of acceptance.
    pub number: u64,
    /// The client's address.
    pub client: SocketAddr,
    /// How it ended; nothing while it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
    /// Bytes that the client has sent.
    pub bytes_to_server: u64,
    /// Bytes that the server has sent.
    pub bytes_to_client: u64,
    /// Whole WebSocket messages that the client has sent.
    pub messages_to_server: u64,
    /// Whole WebSocket messages that the server has sent.
    pub messages_to_client: u64,
}

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    upstream: SocketAddr,
    seed: u64,
    toxics: watch::Sender<InForce>,
    next_toxic: AtomicU64,
    journal: Arc<Journal>,
    links: Mutex<Links>,
}

#[derive(Debug, Default)]
struct Links {
    accepted: u64,
    known: BTreeMap<u64, Known>,
}

#[derive(Debug)]
struct Known {
    client: SocketAddr,
    end: Option<End>,
    tallies: [Arc<Tally>; 2],
    orders: mpsc::Sender<Order>,
}

impl FaultProxy {
    /// Starts a proxy on a free port of 127.0.0.1 in front of a server. The seed decides all that is left to chance.
    pub async fn start(upstream: SocketAddr, seed: u64) -> io::Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), upstream, seed).await
    }

    /// The same at an address of one's own.
    pub async fn start_at(listen: SocketAddr, upstream: SocketAddr, seed: u64) -> io::Result<Self> {
        let socket = if listen.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(listen)?;
        let listener = socket.listen(BACKLOG)?;
        let shared = Arc::new(Shared {
            address: listener.local_addr()?,
            upstream,
            seed,
            toxics: watch::Sender::default(),
            next_toxic: AtomicU64::new(1),
            journal: Arc::new(Journal::new()),
            links: Mutex::default(),
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
            Arc::make_mut(in_force).push(Active { id, toxic: Arc::new(toxic) });
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

impl Shared {
    fn links(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut(&self, number: u64, known: &Known, cut: Cut) -> bool {
        let ordered = known.end.is_none() && known.orders.try_send(Order::Cut(cut)).is_ok();
        if ordered {
            self.journal.write(number, None, Note::plain(cut.ordered(), 0, 0));
        }
        ordered
    }

    /// Gives a new connection its number and what it needs.
    fn begin(&self, client: SocketAddr) -> Link {
        let (give_orders, orders) = mpsc::channel(ORDERS);
        let tallies: [Arc<Tally>; 2] = Default::default();
        let mut links = self.links();
        links.accepted += 1;
        let number = links.accepted;
        let known = Known { client, end: None, tallies: tallies.clone(), orders: give_orders.clone() };
        links.known.insert(number, known);
        let (seed, upstream) = (self.seed, self.upstream);
        let (toxics, journal) = (self.toxics.subscribe(), self.journal.clone());
        Link { number, seed, upstream, toxics, journal, tallies, give_orders, orders }
    }

    fn end(&self, number: u64, end: End) {
        let mut links = self.links();
        if let Some(known) = links.known.get_mut(&number) {
            known.end = Some(end);
        }
        if links.known.len() > REMEMBERED {
            let oldest = links.known.iter().find(|(_, known)| known.end.is_some()).map(|(number, _)| *number);
            oldest.map(|oldest| links.known.remove(&oldest));
        }
    }
}

impl Known {
    fn seen(&self, number: u64) -> Connection {
        let [there, back] = &self.tallies;
        Connection {
            number,
            client: self.client,
            end: self.end,
            bytes_to_server: there.bytes.load(Ordering::Relaxed),
            bytes_to_client: back.bytes.load(Ordering::Relaxed),
            messages_to_server: there.messages.load(Ordering::Relaxed),
            messages_to_client: back.messages.load(Ordering::Relaxed),
        }
    }
}

/// Accepts connections for as long as it is let; they end with it.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut links = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = links.join_next() => continue,
        };
        let Ok((client, address)) = accepted else {
            sleep(ACCEPT_AGAIN).await;
            continue;
        };
        links.spawn(serve(shared.begin(address), client, shared.clone()));
    }
}

async fn serve(link: Link, client: TcpStream, shared: Arc<Shared>) {
    let number = link.number;
    let end = link.run(client).await;
    shared.end(number, end);
}
