//! All checks, group by group. A group's file has its rows first, then the functions that the rows name.

use std::sync::LazyLock;

use super::Check;

mod auth;
mod connect;
mod errors;
mod events;
mod health;
mod isolation;
mod limits;
mod log;
mod order;
mod performance;
mod proof;
mod protocol;
mod race;
mod requests;
mod resume;
mod secrets;
mod whole_runs;

/// A row of a group: id, severity, schedule, what it needs, the fault that must make it fail, the promise, the function.
macro_rules! check {
    ($id:literal, $severity:ident, $schedule:ident, [$($need:expr),*], $fault:literal, $sentence:literal, $run:path) => {
        $crate::check::Check {
            id: std::borrow::Cow::Borrowed($id),
            sentence: $sentence,
            severity: $crate::check::Severity::$severity,
            needs: &[$($need),*],
            fault_name: $fault,
            schedule: $crate::check::Schedule::$schedule,
            run: |context| Box::pin($run(context)),
        }
    };
}
use check;

/// All checks, in the order of reports.
pub static CHECKS: LazyLock<Vec<&'static Check>> = LazyLock::new(|| {
    let groups: [&'static [Check]; 13] = [
        connect::CHECKS,
        auth::CHECKS,
        events::CHECKS,
        order::CHECKS,
        isolation::CHECKS,
        resume::CHECKS,
        race::CHECKS,
        errors::CHECKS,
        limits::CHECKS,
        health::CHECKS,
        protocol::CHECKS,
        performance::CHECKS,
        proof::CHECKS,
    ];
    groups.into_iter().flatten().collect()
});

#[cfg(test)]
mod tests;
