//! What a run may search: the messages of its own user, told as hits with the text around them.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use wireproof_agents::{SearchThreads, ThreadHit, ToolError};
use wireproof_protocol::{UserId, cut_chars};

use super::Runs;
use crate::store::FoundMessage;

/// Hits of a search that an agent may ask for at once.
const MOST_HITS: usize = 50;
/// Characters of what was searched for that an excerpt shows.
const MOST_HIT_CHARS: usize = 200;

impl Runs {
    /// The search of a user's run, which begins once the run's message is stored.
    pub(super) fn search_for(&self, user_id: &UserId, stored: CancellationToken) -> SearchThreads {
        let (store, user_id) = (self.store.clone(), user_id.clone());
        Arc::new(move |text, limit| {
            let (store, user_id, stored) = (store.clone(), user_id.clone(), stored.clone());
            Box::pin(async move {
                let failed = || ToolError::new("internal", "The search failed.");
                stored.cancelled().await;
                let found = store.search(&user_id, &text, limit.min(MOST_HITS)).await.map_err(|e| {
                    tracing::error!(%user_id, error = %e, "a search in the user's threads failed");
                    failed()
                })?;
                // Large messages are looked through once more: that is no work for an async thread.
                let hits = move || found.into_iter().map(|hit| thread_hit(hit, &text)).collect();
                tokio::task::spawn_blocking(hits).await.map_err(|_| failed())
            })
        })
    }
}

fn thread_hit(found: FoundMessage, text: &str) -> ThreadHit {
    let message = found.message;
    ThreadHit {
        thread_id: message.thread_id,
        title: found.title,
        role: message.role.as_str().to_owned(),
        excerpt: excerpt(&message.content, text),
        created_at: message.created_at,
    }
}

/// About 80 characters on either side of the hit, cut between characters.
fn excerpt(content: &str, text: &str) -> String {
    const AROUND: usize = 80;
    let lower = content.to_lowercase();
    let at = lower.find(&text.to_lowercase()).map_or(0, |byte| lower[..byte].chars().count());
    let start = cut_chars(content, at.saturating_sub(AROUND)).len();
    let hit = text.chars().take(MOST_HIT_CHARS).count();
    let piece = cut_chars(&content[start..], at.min(AROUND) + hit + AROUND);
    let (before, after) =
        (if start > 0 { "…" } else { "" }, if start + piece.len() < content.len() { "…" } else { "" });
    format!("{before}{}{after}", piece.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_holds_the_hit() {
        let text = format!("{}NEEDLE{}", "a ".repeat(200), " b".repeat(200));
        let piece = excerpt(&text, "needle");
        assert!(piece.contains("NEEDLE") && piece.chars().count() < 200);
        let long = "w".repeat(60_000);
        assert!(excerpt(&long, &long).chars().count() < 400);
        let flags = "🇩🇪".repeat(500);
        let piece = excerpt(&flags, "🇩🇪🇩🇪");
        assert!(piece.replace("🇩🇪", "").trim_matches('…').is_empty(), "{piece}");
    }
}
