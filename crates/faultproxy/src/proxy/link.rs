//! One connection: two sockets, a pump for each direction, and the orders that end or silence both at once.

use std::{
    io,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex, split},
    net::TcpStream,
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};
use tokio_rustls::TlsConnector;

use super::{
    active_toxic::{InForce, Stream},
    control_frames::Marks,
    fault::{Afterwards, Cut, Fault},
    journal::{Journal, Note, Phase},
    mutation::{Conversation, MAIL, Mutation, relay},
    plan::Plan,
    pump::{Pump, Tally},
    shared::Mutating,
    toxic::Direction,
};

/// How long a closed connection's peers may take to close, too.
const LINGER: Duration = Duration::from_secs(1);

/// Bytes between the toxics and the mutations of a connection.
const BETWEEN: usize = 64 << 10;

/// What is done to a connection as a whole.
#[derive(Debug)]
pub(crate) enum LinkCommand {
    Cut(Cut),
    BlackHole { toxic: Option<u64>, time: Option<Duration>, then: Afterwards },
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Both peers closed, one after the other.
    Closed,
    /// A peer reset it, or vanished; the other one was reset.
    Broken,
    /// The proxy reset it.
    CutReset,
    /// The proxy closed it.
    CutFin,
    /// The server could not be reached; the client was reset.
    Unreachable,
}

/// What a connection is given.
pub(crate) struct Link {
    pub(crate) number: u64,
    pub(crate) seed: u64,
    pub(crate) upstream: SocketAddr,
    pub(crate) connect: Duration,
    pub(crate) toxics: watch::Receiver<InForce>,
    pub(crate) mutating: Option<Mutating>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) tallies: [Arc<Tally>; 2],
    pub(crate) give_orders: mpsc::Sender<LinkCommand>,
    pub(crate) orders: mpsc::Receiver<LinkCommand>,
}

impl Link {
    /// Serves the connection to its end.
    pub(crate) async fn run(mut self, mut client: TcpStream) -> End {
        if let Some(cut) = self.refused() {
            return cut_one(&mut client, cut).await;
        }
        let mut server = match timeout(self.connect, TcpStream::connect(self.upstream)).await {
            Ok(Ok(server)) => server,
            Ok(Err(error)) => return self.unreachable(&mut client, error).await,
            Err(_) => return self.unreachable(&mut client, io::ErrorKind::TimedOut.into()).await,
        };
        // Small writes must arrive as they are; a socket that refuses this is dead and shows it below.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let end = match self.mutating.take() {
            None => {
                let (from_server, to_server) = server.split();
                self.carry(&mut client, from_server, to_server).await
            }
            Some(mutating) => self.mutate(mutating, &mut client, &mut server).await,
        };
        match end {
            End::CutFin => {
                tokio::join!(close(&mut client), close(&mut server));
                End::CutFin
            }
            End::Closed => End::Closed,
            end => {
                reset(&client);
                reset(&server);
                end
            }
        }
    }

    fn pump<R, W>(&self, direction: Direction, from: R, to: W, marks: &Marks, began: Instant) -> Pump<R, W> {
        Pump {
            connection: self.number,
            direction,
            from,
            to,
            plan: Plan::new(Stream { seed: self.seed, connection: self.number, direction }, marks.clone()),
            toxics: self.toxics.clone(),
            orders: self.give_orders.clone(),
            journal: self.journal.clone(),
            tally: self.tallies[direction as usize].clone(),
            began,
        }
    }

    /// How the connection is refused, if it is.
    fn refused(&mut self) -> Option<Cut> {
        let stream = Stream { seed: self.seed, connection: self.number, direction: Direction::ToServer };
        let in_force = self.toxics.borrow().clone();
        let (id, fault, cut) = in_force.iter().find_map(|active| match active.toxic.fault {
            Fault::AcceptThenClose(cut) if stream.is_hit_by(active) => {
                Some((active.id, &active.toxic.fault, cut))
            }
            _ => None,
        })?;
        self.journal.write(self.number, None, Note::of(id, fault, 0, 0).detail(cut.name()));
        Some(cut)
    }

    async fn unreachable(&self, client: &mut TcpStream, error: io::Error) -> End {
        let detail = format!("{}: {error}", self.upstream);
        self.journal.write(self.number, None, Note::plain("upstream_unreachable", 0, 0).detail(detail));
        cut_one(client, Cut::Reset).await;
        End::Unreachable
    }

    /// Carries a connection with mutations: they stand between the toxics and the server.
    async fn mutate(&mut self, mutating: Mutating, client: &mut TcpStream, server: &mut TcpStream) -> End {
        if mutating.setup.mutations.contains(&Mutation::Nagle) {
            // As above: a dead socket shows it when it is written to.
            let _ = client.set_nodelay(false);
        }
        let Some(tls) = mutating.setup.tls.clone() else {
            return self.mutated(mutating, client, server).await;
        };
        let shaken = TlsConnector::from(tls.config).connect(tls.name, server);
        match timeout(self.connect, shaken).await {
            Ok(Ok(mut server)) => self.mutated(mutating, client, &mut server).await,
            Ok(Err(error)) => self.unreachable(client, error).await,
            Err(_) => self.unreachable(client, io::ErrorKind::TimedOut.into()).await,
        }
    }

    async fn mutated<S>(&mut self, mutating: Mutating, client: &mut TcpStream, server: &mut S) -> End
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (post, mail) = mpsc::channel(MAIL);
        let place = (self.number, self.seed);
        let mut talk = Conversation::new(mutating.setup, mutating.world, place, self.journal.clone(), post);
        let (near, far) = duplex(BETWEEN);
        let (from_near, to_near) = split(near);
        let end = {
            let mut relayed = pin!(relay(&mut talk, far, &mut *server, mail));
            let mut carried = pin!(self.carry(client, from_near, to_near));
            tokio::select! {
                biased;
                end = &mut carried => end,
                over = &mut relayed => match over {
                    // What is under way to the client still gets there.
                    Ok(()) => carried.await,
                    Err(_) => End::Broken,
                },
            }
        };
        if end == End::Broken {
            talk.world.broken.store(true, Ordering::Relaxed);
        }
        if end == End::Broken && talk.has(&Mutation::KeepPlace) {
            // The client has gone; the server is not told for as long as there is a proxy.
            std::future::pending::<()>().await;
        }
        let words = talk.last_words();
        if !words.is_empty() && server.write_all(&words).await.is_ok() {
            // A reset would take them with it.
            close(server).await;
        }
        end
    }

    /// Carries bytes both ways until the connection is to end.
    async fn carry(
        &mut self,
        client: &mut TcpStream,
        from_server: impl AsyncRead + Unpin,
        to_server: impl AsyncWrite + Unpin,
    ) -> End {
        let (began, marks) = (Instant::now(), Marks::new(self.seed, self.number));
        let (from_client, to_client) = client.split();
        let there = self.pump(Direction::ToServer, from_client, to_server, &marks, began).run();
        let back = self.pump(Direction::ToClient, from_server, to_client, &marks, began).run();
        let mut both = pin!(async { tokio::try_join!(there, back) });
        let mut silence = Silence::default();
        loop {
            let until = silence.until;
            tokio::select! {
                biased;
                Some(order) = self.orders.recv() => match order {
                    LinkCommand::Cut(Cut::Reset) => return End::CutReset,
                    LinkCommand::Cut(Cut::Fin) => return End::CutFin,
                    LinkCommand::Cut(Cut::BlackHole) => silence.begin(None, None, Afterwards::GoOn),
                    LinkCommand::BlackHole { toxic, time, then } => silence.begin(toxic, time, then),
                },
                _ = self.toxics.changed(), if silence.reigns => {
                    let in_force = self.toxics.borrow_and_update().clone();
                    if silence.toxic.is_some_and(|id| in_force.iter().all(|active| active.id != id)) {
                        self.note_end(&silence);
                        silence = Silence::default();
                    }
                }
                () = sleep_until(until.unwrap_or(began)), if until.is_some() => {
                    self.note_end(&silence);
                    match silence.then {
                        Afterwards::GoOn => silence = Silence::default(),
                        Afterwards::Reset => return End::CutReset,
                        Afterwards::Fin => return End::CutFin,
                    }
                }
                // While there is silence nothing is read, written or timed.
                ended = &mut both, if !silence.reigns => match ended {
                    Ok(_) => return End::Closed,
                    Err(_) => return End::Broken,
                },
            }
        }
    }

    fn note_end(&self, silence: &Silence) {
        let note = Note { toxic: silence.toxic, ..Note::plain("black_hole", 0, 0) };
        self.journal.write(self.number, None, note.phase(Phase::Ended));
    }
}

/// A black hole that is open.
#[derive(Default)]
struct Silence {
    reigns: bool,
    toxic: Option<u64>,
    until: Option<Instant>,
    then: Afterwards,
}

impl Silence {
    fn begin(&mut self, toxic: Option<u64>, time: Option<Duration>, then: Afterwards) {
        *self = Self { reigns: true, toxic, until: time.map(|time| Instant::now() + time), then };
    }
}

async fn cut_one(client: &mut TcpStream, cut: Cut) -> End {
    match cut {
        Cut::Fin => {
            close(client).await;
            End::CutFin
        }
        Cut::Reset | Cut::BlackHole => {
            reset(client);
            End::CutReset
        }
    }
}

/// The socket's end, which is near, will be a reset.
fn reset(socket: &TcpStream) {
    // Failing means that it is dead already.
    let _ = socket.set_zero_linger();
}

/// Closes with a FIN: a socket that is dropped with something unread would send a reset.
async fn close(socket: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    if socket.shutdown().await.is_err() {
        return;
    }
    let mut unread = [0; 4096];
    let rest = async { while matches!(socket.read(&mut unread).await, Ok(1..)) {} };
    // Whoever does not close in time gets the reset.
    let _ = timeout(LINGER, rest).await;
}
