//! What a proxy's handle, its listener and its connections have in common: the toxics, the journal, who is connected.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
    time::sleep,
};

use super::{
    active_toxic::InForce,
    fault::Cut,
    journal::{Journal, Note},
    link::{End, Link, LinkCommand},
    mutation::{Setup, World},
    pump::Tally,
};

/// Ended connections that are remembered.
const REMEMBERED: usize = 20_000;
/// Orders that may wait for a connection.
const ORDERS: usize = 16;
/// Before another try after an accept that failed for want of resources.
const ACCEPT_AGAIN: Duration = Duration::from_millis(20);

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
pub(crate) struct Shared {
    pub(crate) address: SocketAddr,
    pub(crate) upstream: SocketAddr,
    /// How long the server may take to accept.
    pub(crate) connect: Duration,
    pub(crate) seed: u64,
    pub(crate) toxics: watch::Sender<InForce>,
    /// What is done to the messages of connections to come.
    pub(crate) mutating: Mutex<Option<Mutating>>,
    pub(crate) next_toxic: AtomicU64,
    pub(crate) journal: Arc<Journal>,
    pub(crate) links: Mutex<Links>,
    /// How many connections have ended.
    pub(crate) ended: watch::Sender<u64>,
}

/// The mutations of a proxy, and what its connections know of each other for them.
#[derive(Debug, Clone)]
pub(crate) struct Mutating {
    pub(crate) setup: Arc<Setup>,
    pub(crate) world: Arc<World>,
}

#[derive(Debug, Default)]
pub(crate) struct Links {
    pub(crate) accepted: u64,
    pub(crate) known: BTreeMap<u64, Known>,
}

#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) client: SocketAddr,
    pub(crate) end: Option<End>,
    pub(crate) tallies: [Arc<Tally>; 2],
    pub(crate) orders: mpsc::Sender<LinkCommand>,
}

impl Shared {
    pub(crate) fn links(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn mutating(&self) -> MutexGuard<'_, Option<Mutating>> {
        self.mutating.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn cut(&self, number: u64, known: &Known, cut: Cut) -> bool {
        let ordered = known.end.is_none() && known.orders.try_send(LinkCommand::Cut(cut)).is_ok();
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
        let (seed, upstream, connect) = (self.seed, self.upstream, self.connect);
        let (toxics, journal) = (self.toxics.subscribe(), self.journal.clone());
        let mutating = self.mutating().clone();
        Link { number, seed, upstream, connect, toxics, mutating, journal, tallies, give_orders, orders }
    }

    fn end(&self, number: u64, end: End) {
        let mut links = self.links();
        if let Some(known) = links.known.get_mut(&number) {
            known.end = Some(end);
        }
        self.ended.send_modify(|ended| *ended += 1);
        if links.known.len() > REMEMBERED {
            let oldest = links.known.iter().find(|(_, known)| known.end.is_some()).map(|(number, _)| *number);
            oldest.map(|oldest| links.known.remove(&oldest));
        }
    }
}

impl Known {
    pub(crate) fn seen(&self, number: u64) -> Connection {
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
pub(crate) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
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
