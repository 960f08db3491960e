//! The key of a request with an id, from a frame or over HTTP.

use sha2::{Digest, Sha256};
use wireproof_protocol::{ClientFrame, RequestId};

use crate::store::RequestKey;

/// The id with a digest of the body: the same frame under its two names or shapes is the same body.
pub fn request_key(id: &RequestId, frame: &ClientFrame) -> RequestKey {
    // Serialising our own types does not fail.
    let body = serde_json::to_vec(frame).unwrap_or_default();
    RequestKey { id: id.clone(), digest: Sha256::digest(&body).into() }
}
