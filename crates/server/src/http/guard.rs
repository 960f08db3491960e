//! Checks that every request passes before its handler: its origin, and the table of permissions. No handler can leave
//! them out.

use std::sync::Arc;

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tracing::Instrument;
use wireproof_protocol::{ControlBody, ErrorBody, ErrorCode};

use super::told_once::ToldOnce;
use crate::{
    app::Context,
    auth::{AuthError, Principal, table, table::Need, token},
    config::{
        hosts::Misaddressed,
        origins::{From, is_addressed_to_loopback},
    },
    error::Refusal,
    limits::{ClientAddress, holds::Hold},
};

/// How long a browser may keep the answer to a preflight, in seconds.
const PREFLIGHT_SECONDS: &str = "600";

/// The routes that lead to a WebSocket.
const SOCKETS: [&str; 3] = ["/ws", "/websocket", "/ws/ticket"];

/// The scheme under which a request reached the server, or the trusted proxy before it.
#[derive(Debug, Clone, Copy)]
pub struct Scheme(pub &'static str);

/// The principal of requests over the operator's socket; they need no credentials.
#[derive(Debug, Clone)]
pub struct Operator(pub Principal);

/// The hosts that a trusted proxy says its client asked for.
#[derive(Debug, Clone)]
pub struct ForwardedHosts(pub Vec<String>);

/// Refuses requests for no host, for two, or for a name that is not ours.
pub async fn host(
    State((context, refused)): State<(Arc<Context>, Arc<ToldOnce>)>,
    request: Request,
    next: Next,
) -> Response {
    if context.auth.insecure_no_auth && !is_addressed_to_loopback(request.headers()) {
        let sentence =
            "Without authentication the server answers only requests to localhost or a loopback address.";
        return Refusal::new(ErrorCode::Forbidden, sentence).into_response();
    }
    let needed = request.version() >= Version::HTTP_11;
    let addressed = context.hosts.judge(request.uri(), request.headers(), needed).and_then(|()| {
        let forwarded = request.extensions().get::<ForwardedHosts>();
        let mut forwarded = forwarded.iter().flat_map(|hosts| &hosts.0);
        forwarded.try_for_each(|host| context.hosts.is_ours(host.as_bytes()))
    });
    let (status, body) = match addressed {
        Ok(()) => return next.run(request).await,
        Err(Misaddressed::Malformed) => (
            StatusCode::BAD_REQUEST,
            ErrorBody::new(ErrorCode::InvalidFrame, "The request must have exactly one valid Host header."),
        ),
        Err(Misaddressed::Foreign(host)) => {
            refused.tell(
                host.as_bytes(),
                "a request to a name of this server that it was not given",
                "http.hosts",
            );
            let sentence =
                "This server does not answer to that host name. Its operator can add it to http.hosts.";
            (StatusCode::MISDIRECTED_REQUEST, ErrorBody::new(ErrorCode::Forbidden, sentence))
        }
    };
    if matches!(request.uri().path(), "/ws" | "/websocket") {
        context.metrics.handshake("host");
    }
    let close = [(header::CONNECTION, "close")];
    (status, close, axum::Json(ControlBody::Error(body))).into_response()
}

/// Refuses pages of foreign origins, and answers the preflights of listed ones (CORS).
pub async fn origin(
    State((context, refused)): State<(Arc<Context>, Arc<ToldOnce>)>,
    request: Request,
    next: Next,
) -> Response {
    let foreign = |sentence: &str| Refusal::new(ErrorCode::Forbidden, sentence).into_response();
    let scheme = request.extensions().get::<Scheme>().map_or("http", |scheme| scheme.0);
    let origin = match context.origins.judge(request.headers(), scheme) {
        From::Nowhere | From::Own => return next.run(request).await,
        From::Foreign => {
            if matches!(request.uri().path(), "/ws" | "/websocket") {
                context.metrics.handshake("origin");
            }
            if let Some(origin) = request.headers().get(header::ORIGIN) {
                refused.tell(origin.as_bytes(), "a web page of this origin", "http.allowed_origins");
            }
            return foreign("This web page may not speak to the server.");
        }
        From::Listed(origin) => origin,
    };
    let asks = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if asks { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    allow(response.headers_mut(), origin, asks);
    response
}

fn allow(headers: &mut HeaderMap, origin: HeaderValue, asks: bool) {
    let mut set = |name: HeaderName, value| headers.insert(name, HeaderValue::from_static(value));
    if asks {
        set(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PATCH, DELETE");
        set(header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, traceparent");
        set(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS);
    } else {
        set(header::ACCESS_CONTROL_EXPOSE_HEADERS, "retry-after");
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}

/// Checks the request against the table; handlers find the user as [`Principal`].
pub async fn permission(State(context): State<Arc<Context>>, mut request: Request, next: Next) -> Response {
    let Some(route) = request.extensions().get::<MatchedPath>().cloned() else {
        // No route: the answer is 404.
        return next.run(request).await;
    };
    if request.extensions().get::<Operator>().is_some() && SOCKETS.contains(&route.as_str()) {
        // A socket, or a ticket for one, would be a second way in under the operator's name.
        let sentence = "The operator's socket answers requests, and opens no WebSocket.";
        return Refusal::new(ErrorCode::Forbidden, sentence).into_response();
    }
    let method = request.method().as_str();
    let Some(need) = table::of_route(method, route.as_str()) else {
        return unlisted(route.as_str()).await;
    };
    if need != Need::Anyone {
        let found = match request.extensions().get::<Operator>() {
            Some(Operator(operator)) => Ok(operator.clone()),
            None => principal(&context, request.headers(), request.extensions().get(), need).await,
        };
        match found {
            Ok(principal) => request.extensions_mut().insert(principal),
            Err(refusal) => return refusal.into_response(),
        };
    }
    next.run(request).await
}

/// Carries a change out to its end, also when its client hangs up meanwhile: what was stored is also enforced.
pub async fn to_the_end(request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    // Its memory is held until it is done, also when no client waits for the answer any more.
    let held = request.extensions().get::<Arc<Hold>>().cloned();
    let done = next.run(request).in_current_span();
    let answered = tokio::spawn(async move {
        let response = done.await;
        drop(held);
        response
    });
    let answered = answered.await;
    answered.unwrap_or_else(|_| {
        Refusal::new(ErrorCode::Internal, "Something went wrong inside; try again.").into_response()
    })
}

async fn principal(
    context: &Context,
    headers: &HeaderMap,
    address: Option<&ClientAddress>,
    need: Need,
) -> Result<Principal, Refusal> {
    let principal = match (token::bearer(headers), address) {
        (Some(token), Some(address)) => context.authenticate(&token, *address).await?,
        (None, _) if !headers.contains_key(header::AUTHORIZATION) => context.auth.unauthenticated()?,
        _ => return Err(AuthError::Missing.into()),
    };
    need.check(principal.permissions)?;
    Ok(principal)
}

async fn unlisted(route: &str) -> Response {
    let methods = table::methods_of(route).join(", ");
    match HeaderValue::from_str(&methods) {
        Ok(allow) if !methods.is_empty() => {
            let mut response = super::no_method().await;
            response.headers_mut().insert(header::ALLOW, allow);
            response
        }
        _ => table::unlisted().into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// What stands in the text between `.route("` and the next call on the router.
    fn routes(text: &str) -> BTreeSet<(&'static str, String)> {
        let mut found = BTreeSet::new();
        for route in text.split(".route(\"").skip(1) {
            let (path, handlers) = route.split_once('"').unwrap();
            let handlers = handlers.split("\n        .").next().unwrap_or_default();
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
                let call = format!("{}(", method.to_lowercase());
                if [", ", "."].iter().any(|before| handlers.contains(&format!("{before}{call}"))) {
                    found.insert((method, path.to_owned()));
                }
            }
        }
        found
    }

    #[test]
    fn every_route_has_its_line_in_the_table_and_every_line_its_route() {
        let listed = table::ROUTES.iter().map(|(method, path, _)| (*method, (*path).to_owned())).collect();
        assert_eq!(routes(include_str!("../http.rs")), listed);
    }

    #[test]
    fn routes_stand_on_one_page() {
        for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http")).unwrap() {
            let path = file.unwrap().path();
            let text = fs::read_to_string(&path).unwrap_or_default();
            let own = text.split("#[cfg(test)]").next().unwrap_or_default();
            assert!(!own.contains(".route("), "{} has a route", path.display());
        }
    }
}
