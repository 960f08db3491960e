//! A stream that counts: what was read tells when a codec has nothing left in its buffer, what was written tells
//! whether a client takes anything.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::metrics::Metrics;

#[cfg(feature = "sabotage")]
use super::faulty::Faulty as Stream;
#[cfg(not(feature = "sabotage"))]
use crate::tls::Stream;

/// The stream and its counts.
pub struct Counted {
    stream: Stream,
    /// Bytes read so far.
    pub read: u64,
    /// Bytes written so far.
    pub written: u64,
    metrics: Arc<Metrics>,
}

impl Counted {
    /// A stream of which `read` bytes were read before.
    pub fn new(stream: Stream, read: u64, metrics: Arc<Metrics>) -> Self {
        metrics.bytes_received.inc_by(read);
        Self { stream, read, written: 0, metrics }
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let read = (buf.filled().len() - before) as u64;
        self.read += read;
        self.metrics.bytes_received.inc_by(read);
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = &polled {
            self.written += *written as u64;
            self.metrics.bytes_sent.inc_by(*written as u64);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
