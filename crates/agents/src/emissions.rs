//! The channel from an agent to what records its run, bounded in number and in bytes.

use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, mpsc};
use wireproof_protocol::json_extent;

use crate::{AgentError, Emission, EmissionPart};

/// Where an agent's emissions go in; clones share the bounds.
#[derive(Debug, Clone)]
pub struct EmissionSender {
    sender: mpsc::Sender<(Emission, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
    bytes: usize,
}

/// Where they come out, in the order of their saying.
#[derive(Debug)]
pub struct EmissionReceiver(mpsc::Receiver<(Emission, OwnedSemaphorePermit)>);

/// A channel that holds at most `count` emissions of about `bytes` together; a single larger one goes through alone.
pub fn emissions(count: usize, bytes: u32) -> (EmissionSender, EmissionReceiver) {
    let (sender, receiver) = mpsc::channel(count);
    let room = Arc::new(Semaphore::new(bytes as usize));
    (EmissionSender { sender, room, bytes: bytes as usize }, EmissionReceiver(receiver))
}

impl EmissionSender {
    /// Sends once there is room. Errs with `Cancelled` when nobody receives any more.
    pub async fn send(&self, mut emission: Emission) -> Result<(), AgentError> {
        let size = size(&mut emission, self.bytes).clamp(1, self.bytes);
        let room = self.room.clone().acquire_many_owned(size as u32);
        let room = tokio::select! {
            room = room => room.map_err(|_: AcquireError| AgentError::Cancelled)?,
            () = self.sender.closed() => return Err(AgentError::Cancelled),
        };
        self.sender.send((emission, room)).await.map_err(|_| AgentError::Cancelled)
    }
}

impl EmissionReceiver {
    /// The next emission; none when every sender is gone.
    pub async fn recv(&mut self) -> Option<Emission> {
        self.0.recv().await.map(|(emission, _)| emission)
    }

    /// The next emission if it is there already.
    pub fn try_recv(&mut self) -> Option<Emission> {
        self.0.try_recv().ok().map(|(emission, _)| emission)
    }

    /// Takes no more; what is in the channel can still be received.
    pub fn close(&mut self) {
        self.0.close();
    }
}

/// About how many bytes an emission takes in memory; counting stops once there are more than `most`.
fn size(emission: &mut Emission, most: usize) -> usize {
    let sizes = emission.parts_mut().map(|part| match part {
        EmissionPart::ToolName(text) | EmissionPart::Word(text) | EmissionPart::Text(text) => text.len(),
        EmissionPart::Value(value) => json_extent(value, most),
        EmissionPart::Error(error) => error.code.len() + error.message.len(),
    });
    sizes.fold(0, usize::saturating_add)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn piece(bytes: usize) -> Emission {
        Emission::MessageDelta { delta: "x".repeat(bytes) }
    }

    /// The channel was bounded in number only: 256 emissions of any size waited in memory.
    #[tokio::test]
    async fn what_waits_is_bounded_in_bytes() {
        let (sender, mut receiver) = emissions(256, 1_000);
        sender.send(piece(600)).await.unwrap();
        let blocked = timeout(Duration::from_millis(20), sender.send(piece(600))).await;
        assert!(blocked.is_err(), "1,200 bytes do not fit into 1,000");
        sender.send(piece(400)).await.unwrap();
        assert_eq!((receiver.recv().await, receiver.recv().await), (Some(piece(600)), Some(piece(400))));
        // One that is larger than all of it goes through alone.
        sender.send(piece(5_000)).await.unwrap();
        assert!(timeout(Duration::from_millis(20), sender.send(piece(1))).await.is_err());
        assert_eq!(receiver.recv().await, Some(piece(5_000)));
        sender.send(piece(1)).await.unwrap();
    }

    #[tokio::test]
    async fn a_sender_does_not_wait_for_nobody() {
        let (sender, mut receiver) = emissions(1, 10);
        sender.send(piece(10)).await.unwrap();
        let waiting = tokio::spawn(async move { sender.send(piece(10)).await });
        tokio::task::yield_now().await;
        receiver.close();
        assert_eq!(waiting.await.unwrap(), Err(AgentError::Cancelled));
        assert_eq!(receiver.try_recv(), Some(piece(10)));
        assert_eq!(receiver.recv().await, None);
    }
}
