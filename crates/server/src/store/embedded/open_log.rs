//! What a connection starts with, read with one query at most.

use wireproof_protocol::{Position, UserId};

use super::{Embedded, READ_TRIES, log, runs};
use crate::store::{OpenedLog, StoreError};

impl Embedded {
    /// The head, the runs that are not over, and the events after a position where the log has it.
    pub(super) async fn open_log(
        &self,
        user_id: &UserId,
        position: Option<Position>,
        max_bytes: usize,
    ) -> Result<OpenedLog, StoreError> {
        let epoch = self.epochs.of(user_id);
        let after = position.filter(|position| position.epoch == epoch).map(|position| position.seq);
        for _ in 0..READ_TRIES {
            let (known, anew) = (self.recent.head(user_id), self.recent.anew());
            let in_log = after.filter(|after| known.is_some_and(|head| *after <= head));
            let recent = in_log.and_then(|after| self.recent.read(user_id, after, max_bytes));
            let (user, missing) = (user_id.clone(), after.filter(|_| recent.is_none()));
            let (seq, old, active_runs) = self
                .query(move |connection| {
                    let seq = known.map_or_else(|| log::head(connection, &user), Ok)?;
                    let missing = missing.filter(|after| *after <= seq);
                    let page = missing.map(|after| log::read(connection, &user, after, max_bytes));
                    Ok((seq, page, runs::active_runs(connection, Some(&user))?))
                })
                .await?;
            if known.is_none() {
                self.recent.keep(user_id, seq, anew);
            }
            let head = Position { epoch, seq };
            let page = match (after, old) {
                (Some(after), Some(Ok(mut page))) => {
                    if page.complete && !self.recent.complete(user_id, after, max_bytes, &mut page) {
                        // The tail was folded between the two looks: the log has it now.
                        continue;
                    }
                    Some(page)
                }
                (_, Some(Err(StoreError::TooOld { .. }))) => None,
                (_, Some(Err(e))) => return Err(e),
                (_, _) => recent,
            };
            return Ok(OpenedLog { head, active_runs, page });
        }
        Err(StoreError::Backend("the log did not hold still".to_owned()))
    }
}
