//! Carries a connection with mutations: what each peer sends goes through the conversation to the other.

use std::{io, sync::atomic::Ordering, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{Conversation, FrameMutation, Mutation, conversation::Outgoing, world::Mail};

/// Bytes that may wait for a peer; the other one is not read beyond.
const WAITING: usize = 1 << 20;
/// Messages that other connections may have handed over.
pub(crate) const MAIL: usize = 1024;

/// Runs until both peers have closed, or the connection is over, or an error of a socket.
pub(crate) async fn relay<C, S>(
    talk: &mut Conversation,
    client: C,
    server: S,
    mut mail: mpsc::Receiver<Mail>,
) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite,
    S: AsyncRead + AsyncWrite,
{
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (split(client), split(server));
    let hangs = talk.has(&Mutation::Frames(FrameMutation::LoseClose));
    let (world, silent) = (talk.world.clone(), talk.has(&Mutation::FallSilent));
    let mut turn = match talk.has(&Mutation::OneHandshake) {
        true => Some(world.handshake.lock().await),
        false => None,
    };
    let (mut of_client, mut of_server) = (BytesMut::new(), BytesMut::new());
    let (mut client_open, mut server_open, mut client_told, mut server_told) = (true, true, false, false);
    let (mut out, mut due) = (Outgoing::default(), Instant::now());
    loop {
        let is_due = due <= Instant::now();
        tokio::select! {
            read = from_client.read_buf(&mut of_client), if client_open && out.server.len() < WAITING => {
                client_open = read? > 0;
                talk.client_sent(&mut of_client, &mut out);
                if !client_open {
                    talk.client_ended(&mut of_client, &mut out);
                }
            }
            read = from_server.read_buf(&mut of_server), if server_open && out.client.len() < WAITING => {
                server_open = read? > 0;
                talk.server_sent(&mut of_server, &mut out);
                if !server_open {
                    talk.server_ended(&mut of_server, &mut out);
                }
            }
            Some(mail) = mail.recv() => talk.mailed(mail, &mut out),
            written = to_client.write(&out.client), if is_due && !out.client.is_empty() => {
                out.client.drain(..written?);
            }
            written = to_server.write(&out.server), if !out.server.is_empty() => {
                out.server.drain(..written?);
            }
            () = sleep_until(due), if !is_due => {}
        }
        if !talk.shakes_hands() {
            drop(turn.take());
        }
        if silent && world.broken.load(Ordering::Relaxed) {
            out.client.clear();
        }
        if out.delay_ms > 0 {
            due = Instant::now() + Duration::from_millis(std::mem::take(&mut out.delay_ms));
        }
        let flushed = (out.client.is_empty(), out.server.is_empty());
        if !client_open && flushed.1 && !server_told {
            server_told = true;
            to_server.shutdown().await?;
        }
        if (!server_open && !hangs || talk.over) && flushed.0 && !client_told {
            client_told = true;
            to_client.shutdown().await?;
        }
        if client_told && (server_told || talk.over) {
            return Ok(());
        }
    }
}
