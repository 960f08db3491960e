//! The control interface: toxics, connections and the journal over HTTP, in JSON. For programs of this machine; pages
//! in its browsers are kept out.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{Method, Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet, time::sleep};
use wireproof_faultproxy::{Cut, FaultProxy, Invalid, Toxic, mutation::Setup};
use wireproof_server::config::hosts::{Hosts, Misaddressed};

/// Largest body in bytes.
const BODY: usize = 1 << 20;
/// How long a request's head may take.
const HEAD: Duration = Duration::from_secs(10);
/// Before another try after an accept that failed for want of resources.
const AGAIN: Duration = Duration::from_millis(50);

/// Answers requests until it is dropped.
pub(super) async fn serve(listener: TcpListener, proxy: Arc<FaultProxy>, setup: Setup) {
    let setup = Arc::new(setup);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else {
            sleep(AGAIN).await;
            continue;
        };
        let (proxy, setup) = (proxy.clone(), setup.clone());
        let service = service_fn(move |request| {
            let (proxy, setup) = (proxy.clone(), setup.clone());
            async move { Ok::<_, Infallible>(respond(&proxy, &setup, request).await) }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEAD);
        let connection = http.serve_connection(TokioIo::new(stream), service);
        connections.spawn(async move {
            // Whoever goes away in the middle wants no answer.
            let _ = connection.await;
        });
    }
}

/// Why a request is not done.
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    field: Option<&'static str>,
}

type ControlAnswer = Result<(StatusCode, Value), Refusal>;

fn refuse(status: StatusCode, code: &'static str, message: impl Into<String>) -> Refusal {
    Refusal { status, code, message: message.into(), field: None }
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        let message = invalid.to_string();
        let field = Some(invalid.field);
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, code: "invalid_toxic", message, field }
    }
}

async fn respond(
    proxy: &FaultProxy,
    setup: &Setup,
    request: Request<hyper::body::Incoming>,
) -> Response<Full<Bytes>> {
    let (status, body) = match answer(proxy, setup, request).await {
        Ok(answer) => answer,
        Err(Refusal { status, code, message, field }) => {
            let mut body = json!({ "error_code": code, "message": message });
            if let Some(field) = field {
                body["field"] = json!(field);
            }
            (status, body)
        }
    };
    let text = if body.is_null() { String::new() } else { format!("{body}\n") };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

async fn answer(proxy: &FaultProxy, setup: &Setup, request: Request<hyper::body::Incoming>) -> ControlAnswer {
    let (head, body) = request.into_parts();
    // The name of a page can be made to point here, and its browser then sends no Origin for what it only reads.
    match Hosts::default().judge(&head.uri, &head.headers, head.version >= Version::HTTP_11) {
        Ok(()) => {}
        Err(Misaddressed::Malformed) => {
            return Err(refuse(StatusCode::BAD_REQUEST, "invalid_host", "a request names one host"));
        }
        Err(Misaddressed::Foreign(_)) => {
            let why = "this answers to localhost and to addresses, and to no other name";
            return Err(refuse(StatusCode::MISDIRECTED_REQUEST, "foreign_host", why));
        }
    }
    // No program of this machine sends one; a browser does for every page that is not ours to trust.
    if head.headers.contains_key(header::ORIGIN) {
        let why = "requests from pages in a browser are not taken; use a program such as curl";
        return Err(refuse(StatusCode::FORBIDDEN, "from_a_page", why));
    }
    let body = match Limited::new(body, BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is over 1 MiB")),
    };
    let path: Vec<&str> = head.uri.path().split('/').filter(|part| !part.is_empty()).collect();
    match (&head.method, path.as_slice()) {
        (&Method::GET, []) => Ok((StatusCode::OK, state(proxy))),
        (&Method::GET, ["toxics"]) => Ok((StatusCode::OK, toxics(proxy))),
        (&Method::POST, ["toxics"]) => add(proxy, parse(&body)?),
        (&Method::PUT, ["toxics"]) => replace(proxy, parse(&body)?),
        (&Method::DELETE, ["toxics"]) => {
            proxy.clear();
            Ok((StatusCode::NO_CONTENT, Value::Null))
        }
        (&Method::GET, ["toxics", number]) => one(proxy, parse_number(number)?),
        (&Method::DELETE, ["toxics", number]) => match proxy.remove(parse_number(number)?) {
            true => Ok((StatusCode::NO_CONTENT, Value::Null)),
            false => Err(refuse(StatusCode::NOT_FOUND, "not_found", format!("there is no toxic {number}"))),
        },
        (&Method::GET, ["mutations"]) => Ok((StatusCode::OK, mutations(proxy))),
        (&Method::PUT, ["mutations"]) => {
            proxy.mutate(Setup { mutations: parse(&body)?, ..setup.clone() });
            Ok((StatusCode::OK, mutations(proxy)))
        }
        (&Method::DELETE, ["mutations"]) => {
            proxy.mutate(Setup::default());
            Ok((StatusCode::NO_CONTENT, Value::Null))
        }
        (&Method::GET, ["connections"]) => {
            Ok((StatusCode::OK, json!({ "connections": proxy.connections() })))
        }
        (&Method::POST, ["connections", "cut"]) => {
            let Order { cut } = parse(&body)?;
            Ok((StatusCode::OK, json!({ "cut": proxy.cut_all(cut) })))
        }
        (&Method::POST, ["connections", number, "cut"]) => {
            let Order { cut } = parse(&body)?;
            match proxy.cut(parse_number(number)?, cut) {
                true => Ok((StatusCode::OK, json!({ "cut": 1 }))),
                false => {
                    let why = format!("connection {number} is not open");
                    Err(refuse(StatusCode::NOT_FOUND, "not_open", why))
                }
            }
        }
        (&Method::GET, ["journal"]) => journal(proxy, head.uri.query()),
        (_, [] | ["toxics" | "mutations" | "connections" | "journal", ..]) => {
            let why = format!("{} {} is nothing that can be done", head.method, head.uri.path());
            Err(refuse(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", why))
        }
        _ => {
            let why = "there are /, /toxics, /mutations, /connections and /journal";
            Err(refuse(StatusCode::NOT_FOUND, "not_found", why))
        }
    }
}

/// `{"cut": "reset"}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    cut: Cut,
}

fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    let invalid = |code, error: serde_json::Error| refuse(StatusCode::BAD_REQUEST, code, error.to_string());
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => invalid("invalid_body", error),
        _ => invalid("invalid_json", error),
    })
}

fn parse_number(text: &str) -> Result<u64, Refusal> {
    let why = || refuse(StatusCode::BAD_REQUEST, "invalid_number", format!("{text:?} is no number"));
    text.parse().map_err(|_| why())
}

fn shown(number: u64, toxic: &Toxic) -> Value {
    json!({ "number": number, "toxic": toxic })
}

fn toxics(proxy: &FaultProxy) -> Value {
    let toxics: Vec<Value> = proxy.toxics().iter().map(|(number, toxic)| shown(*number, toxic)).collect();
    json!({ "toxics": toxics })
}

fn mutations(proxy: &FaultProxy) -> Value {
    json!({ "mutations": proxy.mutations() })
}

fn one(proxy: &FaultProxy, number: u64) -> ControlAnswer {
    match proxy.toxics().iter().find(|(found, _)| *found == number) {
        Some((number, toxic)) => Ok((StatusCode::OK, shown(*number, toxic))),
        None => Err(refuse(StatusCode::NOT_FOUND, "not_found", format!("there is no toxic {number}"))),
    }
}

fn add(proxy: &FaultProxy, toxic: Toxic) -> ControlAnswer {
    let number = proxy.try_add(toxic)?;
    let (_, added) = one(proxy, number)?;
    Ok((StatusCode::CREATED, added))
}

/// All or none of them.
fn replace(proxy: &FaultProxy, wanted: Vec<Toxic>) -> ControlAnswer {
    wanted.iter().try_for_each(Toxic::check)?;
    proxy.clear();
    for toxic in wanted {
        proxy.try_add(toxic)?;
    }
    Ok((StatusCode::OK, toxics(proxy)))
}

fn journal(proxy: &FaultProxy, query: Option<&str>) -> ControlAnswer {
    let since = match query.map(|query| query.strip_prefix("since=")) {
        None => 0,
        Some(Some(number)) => parse_number(number)?,
        Some(None) => {
            return Err(refuse(
                StatusCode::BAD_REQUEST,
                "invalid_query",
                "the query is since=NUMBER or none",
            ));
        }
    };
    Ok((StatusCode::OK, json!({ "entries": proxy.journal_since(since) })))
}

fn state(proxy: &FaultProxy) -> Value {
    json!({
        "listen": proxy.address(),
        "upstream": proxy.upstream(),
        "seed": proxy.seed(),
        "open_connections": proxy.open(),
        "toxics": proxy.toxics().len(),
        "mutations": proxy.mutations().len(),
    })
}
