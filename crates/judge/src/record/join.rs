//! Several histories on one clock as one.

use super::Op;

/// Puts histories together in the order of their times; connections get the name of theirs in front, so that two of one
/// name stay two.
pub fn join<'a>(histories: impl IntoIterator<Item = (&'a str, &'a [Op])>) -> Vec<Op> {
    let mut joined = Vec::new();
    for (name, ops) in histories {
        joined.extend(ops.iter().cloned().map(|mut op| {
            if !op.conn.is_empty() {
                op.conn = format!("{name}:{}", op.conn);
            }
            op
        }));
    }
    // Stable: what one history had in order stays so.
    joined.sort_by_key(|op: &Op| op.t_ns);
    for (i, op) in joined.iter_mut().enumerate() {
        op.i = i as u64;
    }
    joined
}
