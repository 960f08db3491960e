//! The proof: many users at once, in each other's way and over connections that are lost, and a judge of all that came.

use super::check;
use crate::{
    check::{Check, CheckContext, CheckOutcome, Evidence, Failure, Need},
    proof::{Size, judge},
    workload,
};

/// The checks of this group.
pub(super) const CHECKS: &[Check] = &[
    check!(
        "isolation.proof",
        Critical,
        Alone,
        [Need::PlainWebSocket, Need::Agent, Need::TwoUsers],
        "leak_rarely",
        "Of many users at once, in each other's way on purpose, none gets a byte or a run of another.",
        proof
    ),
    check!(
        "delivery.proof",
        Critical,
        FullAlone,
        [Need::PlainWebSocket, Need::Agent, Need::Resume],
        "lost_rarely",
        "Over connections that are cut, slowed and opened again, every event comes once, in order, and to an end.",
        proof
    ),
];

/// Both are the same proof under two seeds: what one finds of the other's kind is as wrong.
async fn proof(context: &CheckContext<'_>) -> CheckOutcome {
    let alone = context.target.given().is_empty() && context.target.lacks_users(2).is_some();
    let users = if alone { 1 } else { context.users };
    let header = workload::run(context, Size::of(users)).await?;
    let ops = context.recorder.snapshot();
    let judgement = judge(&header, &ops);
    match judgement.violations.first() {
        None => Ok(Evidence { what: judgement.tell(), ..Evidence::default() }),
        Some(first) => {
            let told = first.tell(&header, &ops);
            Err(Failure::Broken(format!("{}\n{told}", judgement.tell())))
        }
    }
}
