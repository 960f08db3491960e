//! What a client may count on when it connects.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::try_join_all;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{check, protocol::raw_handshake::shake};
use crate::{
    check::{Attempt, Check, CheckContext, CheckOutcome, Failure, Need, TestPrincipal, ensure, pass},
    profile::Kind,
};

/// Connections that each of two users opens at once.
const AT_ONCE: usize = 4;
/// Connections that say nothing.
const SILENT: usize = 16;
/// How long a connection may take to be made.
const REACH: Duration = Duration::from_secs(10);
/// A subprotocol that no server speaks.
const UNHEARD_OF: &str = "no-such-protocol.v9";
/// The site of another page.
const ELSEWHERE: &str = "https://elsewhere.example";

mod leaver;

/// The checks of this group.
pub(super) const CHECKS: &[Check] = &[
    check!(
        "connect.leaver",
        Critical,
        First,
        [Need::WebSocket, Need::Agent],
        "leaver_silences_all",
        "A client that leaves in the middle of its answer hurts nobody else.",
        leaver::leaver
    ),
    check!(
        "connect.welcome_first",
        Major,
        Quick,
        [Need::WebSocket, Need::Welcome],
        "welcome_late",
        "The first frame of a connection is the welcome.",
        welcome_first
    ),
    check!(
        "connect.unique_ids",
        Critical,
        Quick,
        [Need::WebSocket, Need::Welcome, Need::Field("connection")],
        "connection_id_repeated",
        "No two connections have the same id, however close in time they open.",
        unique_ids
    ),
    check!(
        "connect.paths",
        Major,
        Quick,
        [Need::WebSocket, Need::Alias],
        "alias_missing",
        "Every address of the socket serves what the first one serves.",
        paths
    ),
    check!(
        "connect.subprotocol",
        Major,
        Quick,
        [Need::PlainWebSocket],
        "subprotocol_not_offered",
        "The handshake selects a subprotocol that was offered, or none; when none was offered, none.",
        subprotocol
    ),
    check!(
        "connect.plain_get",
        Minor,
        Quick,
        [Need::WebSocket],
        "plain_get_accepted",
        "A request at the socket's address that asks for no WebSocket is answered with a 4xx.",
        plain_get
    ),
    check!(
        "connect.silent_clients",
        Critical,
        Quick,
        [Need::WebSocket],
        "silent_blocks_others",
        "Connections on which nothing is said, or half a handshake, keep nobody else from connecting.",
        silent_clients
    ),
    check!(
        "connect.foreign_origin",
        Critical,
        Quick,
        [Need::WebSocket, Need::OwnOrigin],
        "foreign_origin_accepted",
        "A browser that shows the page of another site gets no connection, whatever its credentials.",
        foreign_origin
    ),
];

async fn welcome_first(context: &CheckContext<'_>) -> CheckOutcome {
    let ada = context.principal("ada")?;
    let session = context.connect(&ada).await?;
    session.barrier().await?;
    let seen = session.seen();
    ensure(seen[0].kind == Kind::Welcome, || format!("the first frame was {}", seen[0].brief()))?;
    let welcomes = seen.iter().filter(|seen| seen.kind == Kind::Welcome).count();
    ensure(welcomes == 1, || format!("{welcomes} welcomes came on one connection"))?;
    pass("the welcome came first, and once")
}

async fn unique_ids(context: &CheckContext<'_>) -> CheckOutcome {
    let ada = context.principal("ada")?;
    // Where only one user's token was given, one user has to do.
    let bob = context.principal("bob").unwrap_or_else(|_| ada.clone());
    let both = [&ada, &bob].into_iter().cycle().take(2 * AT_ONCE);
    let sessions = try_join_all(both.map(|principal| context.connect(principal))).await?;
    let mut known = BTreeMap::new();
    for session in &sessions {
        let seen = session.seen();
        let welcome = seen.iter().find(|seen| seen.kind == Kind::Welcome);
        let id = welcome.and_then(|welcome| context.profile.fields.connection.text(&welcome.json));
        let Some(id) = id.filter(|id| !id.is_empty()) else {
            return Err(Failure::Broken(format!(
                "{}: the welcome tells no id of the connection",
                session.name
            )));
        };
        if let Some(other) = known.insert(id.clone(), &session.name) {
            return Err(Failure::Broken(format!("{other} and {} both have the id {id}", session.name)));
        }
    }
    pass(format!("{} connections that opened at once have {} ids", sessions.len(), known.len()))
}

async fn paths(context: &CheckContext<'_>) -> CheckOutcome {
    let ada = context.principal("ada")?;
    let mut served = Vec::new();
    for path in std::iter::once(context.target.path())
        .chain(context.profile.endpoint.aliases.iter().map(String::as_str))
    {
        let session =
            context.connect_as(&Attempt { url: &context.target.url_at(path), ..context.attempt(&ada) }).await;
        let at_path = |fault| match fault {
            Failure::Broken(why) => Failure::Broken(format!("at {path}: {why}")),
            // Another address of the same server was reached: this one is what is missing.
            Failure::Gone(why) => Failure::Broken(format!("at {path}: {why}")),
            other => other,
        };
        let session = session.map_err(at_path)?;
        session.barrier().await.map_err(at_path)?;
        if Need::Agent.missing(context.target).is_none() {
            session.run(&context.plain(path)?).await.map_err(at_path)?;
        }
        served.push(path);
    }
    pass(format!("the same is served at {}", served.join(", ")))
}

async fn subprotocol(context: &CheckContext<'_>) -> CheckOutcome {
    let ada = context.principal("ada")?;
    let known = context.profile.endpoint.subprotocol.as_str();
    let mut told = Vec::new();
    for offered in [vec![], vec![UNHEARD_OF], vec![UNHEARD_OF, known], vec![known]] {
        let offered: Vec<&str> = offered.into_iter().filter(|name| !name.is_empty()).collect();
        // A token among the subprotocols is an offer as well, and stays in.
        let offers = |request: &str| {
            let line = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Protocol: "));
            let tokens = line.unwrap_or_default().split(", ").filter(|entry| entry.starts_with("jwt."));
            offered.iter().map(|name| (*name).to_owned()).chain(tokens.map(str::to_owned)).collect::<Vec<_>>()
        };
        let change = |request: String| {
            let offers = offers(&request);
            let others = request.split("\r\n").filter(|line| !line.starts_with("Sec-WebSocket-Protocol: "));
            let mut lines: Vec<String> = others.map(str::to_owned).collect();
            if !offers.is_empty() {
                lines.insert(1, format!("Sec-WebSocket-Protocol: {}", offers.join(", ")));
            }
            lines.join("\r\n")
        };
        let (_hand, head) = shake(context, &ada, change).await?;
        let selected = head.header("sec-websocket-protocol");
        let is_token = |name: &str| ada.token.as_ref().is_some_and(|token| name == format!("jwt.{token}"));
        let was_offered = selected.is_none_or(|name| offered.contains(&name) || is_token(name));
        ensure(was_offered, || {
            format!("{:?} were offered, and {:?} was selected", offered, selected.unwrap_or_default())
        })?;
        told.push(format!("{offered:?}: HTTP {}, {}", head.status, selected.unwrap_or("none")));
    }
    pass(told.join("; "))
}

async fn plain_get(context: &CheckContext<'_>) -> CheckOutcome {
    let ada = context.principal("ada")?;
    // Who asks for a WebSocket there gets one: what is refused is refused for what it does not ask.
    context.connect(&ada).await?;
    let answer = context.http("GET", context.target.path(), ada.token.as_deref(), None).await?;
    ensure((400..500).contains(&answer.status), || {
        format!("a plain GET of {} was answered with HTTP {}", context.target.path(), answer.status)
    })?;
    pass(format!("HTTP {}", answer.status))
}

async fn foreign_origin(context: &CheckContext<'_>) -> CheckOutcome {
    let ada = context.principal("ada")?;
    context.connect(&ada).await?;
    let mut told = vec![own_origin(context, &ada).await?];
    let alike = format!(
        "http://{}.elsewhere.example",
        context.target.authority().split(':').next().unwrap_or_default()
    );
    for origin in [ELSEWHERE, &alike, "null"] {
        let connect =
            context.target.connect(context.target.url(), ada.token.as_deref(), context.profile.auth.place);
        let shown = ada.token.as_deref();
        let how = context
            .assert_no_access(connect.header("origin", origin), shown, &format!("a page of {origin}"))
            .await?;
        told.push(format!("{origin}: {how}"));
    }
    pass(told.join("; "))
}

/// A page that the server itself shows is let in: what is refused next is refused for where it is from.
async fn own_origin(context: &CheckContext<'_>, principal: &TestPrincipal) -> Result<String, Failure> {
    let scheme = if context.target.is_encrypted() { "https" } else { "http" };
    let own = format!("{scheme}://{}", context.target.authority());
    let connect =
        context.target.connect(context.target.url(), principal.token.as_deref(), context.profile.auth.place);
    match context.open(connect.header("origin", &own), &principal.user).await {
        Ok(_) => Ok(format!("{own} is let in")),
        Err(error) => Err(Failure::Broken(format!("a page of the server's own, {own}, is refused: {error}"))),
    }
}

async fn silent_clients(context: &CheckContext<'_>) -> CheckOutcome {
    let ada = context.principal("ada")?;
    context.connect(&ada).await?;
    let mut silent = Vec::new();
    for number in 0..SILENT {
        let mut stream = dial(context).await?;
        if number % 2 == 1 {
            // Gone already: then it is in nobody's way.
            let _ =
                stream.write_all(format!("GET {} HTTP/1.1\r\nHost:", context.target.path()).as_bytes()).await;
        }
        silent.push(stream);
    }
    let session = context.connect(&ada).await.map_err(|fault| match fault {
        Failure::Broken(why) | Failure::Gone(why) => {
            Failure::Broken(format!("while {SILENT} connections say nothing or half a handshake: {why}"))
        }
        other => other,
    })?;
    session.barrier().await?;
    drop(silent);
    pass(format!("{SILENT} connections say nothing or half a handshake, and another one is served"))
}

async fn dial(context: &CheckContext<'_>) -> Result<TcpStream, Failure> {
    let dialled = tokio::time::timeout(REACH, TcpStream::connect(context.target.host_and_port())).await;
    let gone =
        |why: String| Failure::Gone(format!("{} cannot be reached: {why}", context.target.authority()));
    dialled.map_err(|_| gone(format!("no answer within {REACH:?}")))?.map_err(|error| gone(error.to_string()))
}
