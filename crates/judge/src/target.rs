//! The server that is judged: its address, its profile, whose tokens it takes, and what was found out about it.

use std::{path::Path, sync::OnceLock, time::Duration};

use wireproof_client::{Connect, OpenError, Trust};
use wireproof_protocol::{Address, Scheme};
use wireproof_testkit::Issuer;

use crate::profile::{Kind, Place, Profile, Transport};

mod credentials;
mod http;
mod post;

pub use credentials::Credentials;
pub use http::HttpAnswer;
pub(crate) use http::beginning;
use http::client;
pub(crate) use post::{EVENT_STREAM, Post, content_type, root};

/// How long a handshake or an HTTP answer may take, where nothing else was said.
pub const REACH: Duration = Duration::from_secs(10);

/// The server that is judged.
pub struct Target {
    url: String,
    profile: Profile,
    credentials: Credentials,
    trust: Trust,
    within: Duration,
    insecure: bool,
    http: reqwest::Client,
    issuer: Option<Issuer>,
    /// Tells the users of this run of the judge from those of another, who left a log and used up what may be said.
    nonce: String,
    /// Fields that the profile names and that no event had in the first look.
    absent: OnceLock<Vec<&'static str>>,
}

/// How a token is shown.
struct Shown {
    url: String,
    headers: Vec<(String, String)>,
    /// Subprotocols, in the order in which they are offered.
    offered: Vec<String>,
}

/// Why a server cannot be judged at all.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The address makes no sense.
    #[error("{url:?} cannot be judged: {why}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The certificates cannot be read.
    #[error("cannot read the certificates of {path}: {cause}")]
    Trust {
        /// The file.
        path: String,
        /// Why.
        cause: std::io::Error,
    },
    /// The HTTP client cannot be made.
    #[error("no HTTP client can be made: {0}")]
    Http(#[from] reqwest::Error),
    /// The profile does not fit the server: which key, and what came.
    #[error("{0}")]
    Misfit(String),
    /// Nobody answers, or something else does.
    #[error("{0}")]
    Unreachable(String),
    /// The server was reached and does not answer to the name of the host in the address.
    #[error("{0}")]
    Misaddressed(String),
    /// The server was reached and says no to the credentials.
    #[error("{0}")]
    Refused(String),
}

impl Target {
    /// A server at an address: `ws://`, `wss://`, `http://` or `https://`; the profile gives the path that it lacks.
    pub fn new(url: &str, profile: Profile, credentials: Credentials) -> Result<Self, TargetError> {
        let address = Address::any(url)
            .map_err(|error| TargetError::Url { url: error.shown().to_owned(), why: error.reason() })?;
        let posts = profile.endpoint.transport == Transport::Sse;
        let scheme = match (address.scheme().is_encrypted(), posts) {
            (false, false) => Scheme::Ws,
            (true, false) => Scheme::Wss,
            (false, true) => Scheme::Http,
            (true, true) => Scheme::Https,
        };
        let address = address.with_scheme(scheme).or_path(&profile.endpoint.path);
        let issuer = match &credentials {
            Credentials::Secret(secret) => Some(Issuer::hs256("", secret.clone()).nameless()),
            _ => None,
        };
        Ok(Self {
            url: address.to_string(),
            profile,
            credentials,
            trust: Trust::default(),
            within: REACH,
            insecure: false,
            http: client(REACH).build()?,
            issuer,
            nonce: format!("{:08x}", rand::random::<u32>()),
            absent: OnceLock::new(),
        })
    }

    /// With another deadline for a handshake and for an HTTP answer; before [`trusting`](Self::trusting).
    pub fn within(mut self, within: Duration) -> Result<Self, TargetError> {
        self.http = client(within).build()?;
        Ok(Self { within, ..self })
    }

    /// With the certificates of a PEM file trusted beside the system's.
    pub fn trusting(self, path: &Path) -> Result<Self, TargetError> {
        let failed = |cause| TargetError::Trust { path: path.display().to_string(), cause };
        let trust = Trust::with_pem_file(path).map_err(failed)?;
        self.with_trust(trust).map_err(failed)?
    }

    /// With every certificate taken, whoever made it; the report says so.
    pub fn insecure(self) -> Result<Self, TargetError> {
        let failed = |cause| TargetError::Trust { path: "this system".to_owned(), cause };
        Ok(Self { insecure: true, ..self.with_trust(Trust::insecure()).map_err(failed)?? })
    }

    /// Sockets and HTTP take the same certificates.
    fn with_trust(mut self, trust: Trust) -> std::io::Result<Result<Self, TargetError>> {
        let config = trust.config()?;
        self.trust = trust;
        let http = client(self.within).tls_backend_preconfigured((*config).clone()).build();
        Ok(http.map_err(TargetError::from).map(|http| {
            self.http = http;
            self
        }))
    }

    /// True when nobody looks at the server's certificate.
    pub fn is_insecure(&self) -> bool {
        self.insecure
    }

    /// The same server at another address.
    pub fn at(self, url: &str) -> Result<Self, TargetError> {
        let (nonce, trust, insecure) = (self.nonce, self.trust, self.insecure);
        let (within, http) = (self.within, self.http);
        Ok(Self { nonce, trust, insecure, within, http, ..Self::new(url, self.profile, self.credentials)? })
    }

    /// How long a handshake or an answer over HTTP may take.
    pub(crate) fn deadline(&self) -> Duration {
        self.within
    }

    /// What it speaks.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The address of its socket.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address of the socket at another path.
    pub fn url_at(&self, path: &str) -> String {
        format!("{}{path}", self.origin("ws"))
    }

    /// Host and port.
    pub fn authority(&self) -> &str {
        let rest = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        rest.split('/').next().unwrap_or(rest)
    }

    /// Where to connect: the host as names are looked up, and the port, which is the scheme's own when none is written.
    pub fn host_and_port(&self) -> (String, u16) {
        let whole = |address: Address| (address.host().to_owned(), address.port());
        // It was read when this was made.
        Address::any(&self.url).map_or_else(|_| (self.authority().to_owned(), 0), whole)
    }

    /// The path of its socket.
    pub fn path(&self) -> &str {
        let at = self.url.find("://").map_or(0, |at| at + 3) + self.authority().len();
        &self.url[at..]
    }

    /// True when it speaks TLS.
    pub fn is_encrypted(&self) -> bool {
        self.url.starts_with("wss:") || self.url.starts_with("https:")
    }

    fn origin(&self, scheme: &str) -> String {
        let s = if self.is_encrypted() { "s" } else { "" };
        format!("{scheme}{s}://{}", self.authority())
    }

    /// What the names of users whom the judge makes up end with: nobody had them before, under no seed.
    pub(crate) fn nonce(&self) -> &str {
        &self.nonce
    }

    /// Notes the fields that no event had; the first look counts.
    pub(crate) fn lacks(&self, absent: Vec<&'static str>) {
        self.absent.get_or_init(|| absent);
    }

    /// True when the first look found no event with this field.
    pub(crate) fn never_had(&self, field: &str) -> bool {
        self.absent.get().is_some_and(|absent| absent.contains(&field))
    }

    pub(crate) fn has_kind(&self, kind: Kind) -> bool {
        let events = &self.profile.events;
        let list = match kind {
            Kind::Welcome => &events.welcome,
            Kind::Error => &events.error,
            Kind::Accepted => &events.accepted,
            Kind::Started => &events.started,
            Kind::Thinking => &events.thinking,
            Kind::ToolStarted => &events.tool_started,
            Kind::ToolCompleted => &events.tool_completed,
            Kind::Delta => &events.delta,
            Kind::Completed => &events.completed,
            Kind::Message => &events.message,
            _ => return false,
        };
        !list.is_empty()
    }

    /// What shows a token in a place: the address, the headers, and the subprotocols that are offered.
    fn shown(&self, url: &str, token: Option<&str>, place: Option<Place>) -> Shown {
        let endpoint = &self.profile.endpoint;
        let (mut url, mut headers): (_, Vec<_>) =
            (url.to_owned(), endpoint.headers.clone().into_iter().collect());
        let mut offered = Vec::new();
        offered.extend((!endpoint.subprotocol.is_empty()).then(|| endpoint.subprotocol.clone()));
        match (token, place) {
            (Some(token), Some(Place::Header)) => {
                headers.push(("Authorization".to_owned(), format!("Bearer {token}")));
            }
            (Some(token), Some(Place::Subprotocol)) => offered.push(format!("jwt.{token}")),
            (Some(token), Some(Place::Query)) => url = with_query(&url, &format!("token={token}")),
            (_, Some(Place::Frame) | None) | (None, _) => {}
        }
        Shown { url, headers, offered }
    }

    /// The address and all headers of a handshake that shows a token in a place.
    pub(crate) fn handshake(
        &self,
        url: &str,
        token: Option<&str>,
        place: Option<Place>,
    ) -> (String, Vec<(String, String)>) {
        let Shown { url, mut headers, offered } = self.shown(url, token, place);
        if !offered.is_empty() {
            headers.push(("Sec-WebSocket-Protocol".to_owned(), offered.join(", ")));
        }
        (url, headers)
    }

    /// A connection to an address with a token in a place; nothing is opened yet.
    pub fn connect(&self, url: &str, token: Option<&str>, place: Option<Place>) -> Connect {
        let (url, headers) = self.handshake(url, token, place);
        let connect = Connect::to(url).within(self.within).trust(self.trust.clone()).any_subprotocol();
        headers.into_iter().fold(connect, |connect, (name, value)| connect.header(name, value))
    }

    /// Where messages are posted to, with a token in its place.
    pub(crate) fn post(&self, url: &str, token: Option<&str>, place: Option<Place>) -> Post {
        let Shown { url, headers, .. } = self.shown(url, token, place);
        let request = self.http.post(url);
        Post(headers.into_iter().fold(request, |request, (name, value)| request.header(name, value)))
    }
}

/// An address with a query added.
pub fn with_query(url: &str, query: &str) -> String {
    format!("{url}{}{query}", if url.contains('?') { '&' } else { '?' })
}

/// True when the failure says that nobody is there, rather than that somebody says no.
pub fn is_unreachable(error: &OpenError) -> bool {
    match error {
        OpenError::Unreachable { .. } | OpenError::Timeout { .. } | OpenError::NotUnderstood { .. } => true,
        OpenError::Ended { ended, .. } => ended.code.is_none(),
        OpenError::Refused { .. } | OpenError::Url { .. } | OpenError::Token { .. } => false,
    }
}
