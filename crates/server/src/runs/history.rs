//! What a run may read of its thread: the messages before its own.

use tokio_util::sync::CancellationToken;
use wireproof_agents::{AgentError, HistoryMessage, ReadEarlier};
use wireproof_protocol::{Message, MessageId, ThreadId, UserId};

use super::Runs;
use crate::store::{STORE_PATIENCE, StoreError, in_time, while_away};

/// Messages that an agent may ask for at once, its own included.
const MOST_MESSAGES: usize = 100;
/// Messages that are passed over because they came after the run's own.
const MOST_LATER: usize = 100;
/// Bytes of text before the run's own message; the store reads about as many at once, from the latest message on.
const MOST_BYTES: usize = 1 << 20;

impl Runs {
    /// What a run's thread has before the run's message, read once that is stored.
    pub(super) fn earlier_for(
        &self,
        user_id: &UserId,
        thread_id: &ThreadId,
        message_id: MessageId,
        stored: CancellationToken,
    ) -> ReadEarlier {
        let (store, draining, wait) = (self.store.clone(), self.draining.clone(), self.limits.store_wait);
        let (user_id, thread_id) = (user_id.clone(), thread_id.clone());
        std::sync::Arc::new(move |most| {
            let (store, draining, stored) = (store.clone(), draining.clone(), stored.clone());
            let (user_id, thread_id) = (user_id.clone(), thread_id.clone());
            Box::pin(async move {
                stored.cancelled().await;
                let most = most.min(MOST_MESSAGES - 1);
                let rows = (most + 1 + MOST_LATER) as u64;
                let read = while_away(wait, &draining, || store.messages(&user_id, &thread_id, rows, None));
                match in_time(wait + STORE_PATIENCE, read).await {
                    Ok((messages, ..)) => Ok(before(message_id, messages, most)),
                    // The thread was deleted meanwhile.
                    Err(StoreError::NotFound) => Ok(Vec::new()),
                    Err(e) => {
                        tracing::error!(%user_id, error = %e, "the messages before a run could not be read");
                        Err(AgentError::failed("internal", "The messages before this one could not be read."))
                    }
                }
            })
        })
    }
}

/// The latest messages before the run's own, oldest first; none when its own is not there: nothing else says which came
/// before it.
fn before(own: MessageId, mut messages: Vec<Message>, most: usize) -> Vec<HistoryMessage> {
    let place = messages.iter().rposition(|message| message.message_id == own).unwrap_or(0);
    messages.truncate(place);
    let mut bytes = 0;
    let fits = messages.iter().rev().take(most).take_while(|message| {
        bytes += message.content.len();
        bytes <= MOST_BYTES
    });
    let first = place - fits.count();
    let earlier = messages.drain(first..).map(|message| HistoryMessage {
        message_id: message.message_id,
        role: message.role,
        content: message.content,
        incomplete: message.incomplete,
    });
    earlier.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wireproof_protocol::Role;

    fn message(content: &str) -> Message {
        Message {
            message_id: MessageId::new(),
            thread_id: ThreadId::generate(),
            role: Role::User,
            content: content.to_owned(),
            created_at: 1.0,
            run_id: None,
            incomplete: false,
        }
    }

    #[test]
    fn what_is_before_the_own_message_is_bounded_in_number_and_in_bytes() {
        let large = "x".repeat(MOST_BYTES - 1);
        let messages: Vec<_> = ["a", &large, "b", "own", "later"].iter().map(|text| message(text)).collect();
        let own = messages[3].message_id;
        let texts = |own, most| -> Vec<_> {
            let before = before(own, messages.clone(), most);
            before.into_iter().map(|message| message.content.chars().take(3).collect::<String>()).collect()
        };
        assert_eq!(texts(own, 1), ["b"]);
        assert_eq!(texts(own, 9), ["xxx", "b"]);
        assert_eq!(texts(own, 0), [""; 0]);
        assert_eq!(texts(messages[2].message_id, 9), ["a", "xxx"]);
        assert_eq!(texts(MessageId::new(), 9), [""; 0]);
    }
}
