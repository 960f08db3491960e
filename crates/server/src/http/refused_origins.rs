//! The web pages that were refused, each told in the log once: their operator may have forgotten to list them.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use axum::http::{HeaderMap, header};

/// Origins that are told of; what comes after them is not, or whoever sends made-up ones would fill the log.
const MOST: usize = 100;
/// Bytes of an origin that are told.
const BYTES: usize = 256;

/// The origins that the log has told of.
#[derive(Default)]
pub struct RefusedOrigins(Mutex<HashSet<Vec<u8>>>);

impl RefusedOrigins {
    /// Tells of the origin of a refused request, unless it was told of before.
    pub fn tell(&self, headers: &HeaderMap) {
        let Some(origin) = headers.get(header::ORIGIN).map(header::HeaderValue::as_bytes) else { return };
        let origin = &origin[..origin.len().min(BYTES)];
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= MOST || !told.insert(origin.to_vec()) {
            return;
        }
        let is_last = told.len() == MOST;
        drop(told);
        tracing::warn!(
            origin = %String::from_utf8_lossy(origin),
            "a web page was refused; if it is yours, add its origin to http.allowed_origins"
        );
        if is_last {
            tracing::warn!(origins = MOST, "further origins that are refused are not told of");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_origins_take_no_more_than_their_share() {
        let refused = RefusedOrigins::default();
        for number in 0..10 * MOST {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, format!("http://{number}.{}", "x".repeat(1000)).parse().unwrap());
            refused.tell(&headers);
        }
        let told = refused.0.lock().unwrap();
        assert!(told.len() == MOST && told.iter().all(|origin| origin.len() <= BYTES));
    }
}
