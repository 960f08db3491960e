//! A user with real tokens: over the socket and over HTTP.

use std::{net::SocketAddr, panic::Location, sync::Arc, time::Duration};

use http::Method;
use serde_json::Value;
use wireproof_client::{Connect, OpenError};
use wireproof_protocol::{Position, UserId};

use crate::{
    client::TestClient,
    expect::Unmet,
    issuer::Issuer,
    rest::{Reply, Rest},
    server_info::ServerInfo,
};

/// How long a user's token lives.
const TOKEN_LIFE: Duration = Duration::from_secs(3600);

/// Why a user has no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// It was not opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No welcome came.
    #[error(transparent)]
    Welcome(#[from] Unmet),
}

/// One user of a test server; a clone is the same user.
#[derive(Clone)]
pub struct TestUser {
    info: Arc<ServerInfo>,
    user_id: UserId,
}

impl TestUser {
    pub(crate) fn new(info: Arc<ServerInfo>, user_id: UserId) -> Self {
        Self { info, user_id }
    }

    /// The user's id, as tokens carry it.
    pub fn id(&self) -> &UserId {
        &self.user_id
    }

    /// Where the user's server listens.
    pub fn address(&self) -> SocketAddr {
        self.info.address
    }

    /// A token that is good for an hour.
    pub fn token(&self) -> String {
        self.token_for(TOKEN_LIFE)
    }

    /// A token that is good for so long from now.
    pub fn token_for(&self, ttl: Duration) -> String {
        self.info.keys.sign(&self.user_id, ttl)
    }

    /// Who signs the server's own tokens: the same key under the same name, for tokens that no server would sign.
    pub fn issuer(&self) -> Issuer {
        self.info.issuer()
    }

    /// What a good token of the user says, for an hour; to be changed and signed by [`TestUser::issuer`].
    pub fn claims(&self) -> Value {
        let claims = self.info.keys.claims(&self.user_id, TOKEN_LIFE);
        serde_json::to_value(claims).unwrap_or_else(|e| panic!("claims are JSON: {e}"))
    }

    /// Another user of the same server.
    pub(crate) fn called(&self, name: &str) -> Self {
        let user_id = UserId::new(name).unwrap_or_else(|e| panic!("{name:?} cannot be a user: {e}"));
        Self { info: self.info.clone(), user_id }
    }

    /// HTTP of an administrator of the same server.
    pub(crate) fn admin(&self) -> Rest {
        self.info.admin()
    }

    /// A connection with a good token in its header, to be changed before it is opened with [`TestUser::open`].
    pub fn connection(&self) -> Connect {
        Connect::to(self.info.url()).token(self.token())
    }

    /// Connects at the head of the log. Panics when there is no welcome.
    #[track_caller]
    pub fn connect(&self) -> impl Future<Output = TestClient> + use<> {
        self.welcomed(self.connection())
    }

    /// Connects and asks for all that came after a position. Panics when there is no welcome.
    #[track_caller]
    pub fn connect_at(&self, position: Position) -> impl Future<Output = TestClient> + use<> {
        self.welcomed(self.connection().resume(position))
    }

    #[track_caller]
    pub(crate) fn welcomed(&self, connect: Connect) -> impl Future<Output = TestClient> + use<> {
        let (at, opening) = (Location::caller(), self.open(connect));
        async move {
            let client = opening.await;
            client.welcomed().await.unwrap_or_else(|unmet| unmet.fail(at));
            client
        }
    }

    /// Connects with whatever is shown and waits for the welcome; the failure is an error.
    pub async fn try_connect(&self, connect: Connect) -> Result<TestClient, ConnectError> {
        let client = TestClient::open(connect).await?.named(self.user_id.as_str());
        client.welcomed().await?;
        Ok(client)
    }

    /// Opens a connection with whatever it shows, and waits for no welcome. Panics when the upgrade is refused.
    #[track_caller]
    pub fn open(&self, connect: Connect) -> impl Future<Output = TestClient> + use<> {
        let (at, name) = (Location::caller(), self.user_id.to_string());
        async move {
            match TestClient::open(connect).await {
                Ok(client) => client.named(&name),
                Err(error) => panic!("at {at}: {name} could not connect: {error}"),
            }
        }
    }

    /// HTTP with the user's token.
    pub fn rest(&self) -> Rest {
        Rest::to(self.info.address).token(self.token())
    }

    /// `GET path`
    pub async fn get(&self, path: &str) -> Reply {
        self.rest().get(path).await
    }

    /// `POST path` with a JSON body.
    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.rest().post(path, body).await
    }

    /// `PATCH path` with a JSON body.
    pub async fn patch(&self, path: &str, body: Value) -> Reply {
        self.rest().patch(path, body).await
    }

    /// `DELETE path`
    pub async fn delete(&self, path: &str) -> Reply {
        self.rest().delete(path).await
    }

    /// Any request with any text as its body.
    pub async fn send(&self, method: Method, path: &str, body: &str) -> Reply {
        self.rest().send(method, path, body.to_owned()).await
    }
}
