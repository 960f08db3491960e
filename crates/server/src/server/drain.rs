//! Disconnects the clients one after the other, so that neither this server nor the next one gets them all at once.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use rand::seq::SliceRandom;
use tokio::time::{Instant, sleep};
use wireproof_protocol::CloseCode;

use crate::{
    app::Context,
    hub::{ConnectionCommand, ConnectionHandle},
};

/// The time that each connection adds to the spread of the closes, up to the setting: few clients need little time.
const SHARE: Duration = Duration::from_millis(5);
/// The pause between two checks for users without a run.
const LOOK: Duration = Duration::from_millis(20);

/// Tells every connection that it will be closed and when to come back, then closes them evenly over the time, each
/// when its time has come and its user's runs are over. Returns when all were told to close, or none is left.
pub async fn send_away(context: &Context, spread: Duration) {
    let mut outboxes = context.hub.connections_where(|_| true);
    outboxes.shuffle(&mut rand::rng());
    let spread = spread.min(SHARE * u32::try_from(outboxes.len()).unwrap_or(u32::MAX));
    context.shutdown.back_in(spread);
    for handle in &outboxes {
        // The first to be closed comes back first, so the clients come back as evenly as they leave.
        handle.command(ConnectionCommand::GoAway { reconnect_after_ms: spread.as_millis() as u64 });
    }
    let begun = Instant::now();
    let (mut due, mut busy) = (times(outboxes, spread), Vec::new());
    while !(due.is_empty() && busy.is_empty()) && context.hub.connections() > 0 {
        while let Some((_, handle)) = due.pop_front_if(|(time, _)| *time <= begun.elapsed()) {
            busy.push(handle);
        }
        busy.retain(|handle| !close(context, handle));
        sleep(LOOK).await;
    }
}

/// The time of each close, counted from the beginning.
fn times(
    outboxes: Vec<Arc<ConnectionHandle>>,
    spread: Duration,
) -> VecDeque<(Duration, Arc<ConnectionHandle>)> {
    let share = spread.div_f64(outboxes.len().max(1) as f64);
    outboxes.into_iter().enumerate().map(|(index, handle)| (share.mul_f64(index as f64), handle)).collect()
}

/// Closes a connection unless a run of its user goes on.
fn close(context: &Context, handle: &ConnectionHandle) -> bool {
    let over = context.runs.alive_of(&handle.principal().user_id) == 0;
    if over {
        // The hub may not have handed on a run's last events yet: the log has them.
        handle.feed().read_on();
        handle.command(ConnectionCommand::Close(CloseCode::Restart, "the server restarts"));
    }
    over
}
