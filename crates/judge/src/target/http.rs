//! Requests over HTTP to the server that is judged.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use super::Target;

/// The most bytes of a body that are read: what a server says without an end is not followed.
const BODY: usize = 4 << 20;

/// An answer over HTTP.
#[derive(Debug, Clone)]
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// The headers, by lower-case name.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: String,
    /// The body as JSON; `null` when it is none.
    pub json: Value,
}

impl Target {
    /// Asks over HTTP.
    pub async fn http(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<String>,
    ) -> Result<HttpAnswer, reqwest::Error> {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap_or(reqwest::Method::GET);
        let mut request = self.http.request(method, format!("{}{path}", self.origin("http")));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let headers = answer
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let body = beginning(answer).await;
        let json = serde_json::from_str(&body).unwrap_or(Value::Null);
        Ok(HttpAnswer { status, headers, body, json })
    }
}

/// What an address answers is what counts, and not what stands where it points to: a page to log in is no open door.
pub(super) fn client(within: Duration) -> reqwest::ClientBuilder {
    reqwest::Client::builder().timeout(within).redirect(reqwest::redirect::Policy::none())
}

/// The body as far as it came: one that breaks off, or has no end, has a beginning all the same.
pub(crate) async fn beginning(mut answer: reqwest::Response) -> String {
    let mut body = Vec::new();
    while let Ok(Some(bytes)) = answer.chunk().await {
        body.extend_from_slice(&bytes);
        if body.len() > BODY {
            body.truncate(BODY);
            break;
        }
    }
    String::from_utf8_lossy(&body).into_owned()
}
