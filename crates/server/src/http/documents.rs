//! The OpenAPI and AsyncAPI documents: public, and cached by clients.

use std::sync::LazyLock;

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{asyncapi, openapi};

/// How long a client may use its copy without asking again, in seconds.
const CACHED: &str = "public, max-age=300";

/// A document as it goes out, and the name of this version of it.
struct Served {
    text: Bytes,
    tag: String,
}

impl Served {
    fn new(document: &Value) -> Self {
        // Serialising a value does not fail.
        let text = serde_json::to_vec(document).unwrap_or_default();
        let digest = Sha256::digest(&text);
        let tag = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>();
        Self { text: text.into(), tag: format!("\"{tag}\"") }
    }

    fn answer(&self, asked: &HeaderMap) -> Response {
        let tags = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let known = |tag: &str| matches!(tag.trim(), "*") || tag.trim().trim_start_matches("W/") == self.tag;
        let mut response = if tags.flat_map(|tags| tags.split(',')).any(known) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            ([(header::CONTENT_TYPE, "application/json")], self.text.clone()).into_response()
        };
        let headers = response.headers_mut();
        let mut set = |name: HeaderName, value: HeaderValue| headers.insert(name, value);
        set(header::CACHE_CONTROL, HeaderValue::from_static(CACHED));
        if let Ok(tag) = HeaderValue::from_str(&self.tag) {
            set(header::ETAG, tag);
        }
        response
    }
}

/// `GET /openapi.json`
pub async fn openapi(headers: HeaderMap) -> Response {
    static SERVED: LazyLock<Served> = LazyLock::new(|| Served::new(openapi::document()));
    SERVED.answer(&headers)
}

/// `GET /asyncapi.json`
pub async fn asyncapi(headers: HeaderMap) -> Response {
    static SERVED: LazyLock<Served> = LazyLock::new(|| Served::new(asyncapi::document()));
    SERVED.answer(&headers)
}
