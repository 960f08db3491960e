//! A user who logged in with a password, and the tokens that this gave.

use serde_json::{Value, json};
use wireproof_client::Connect;

use crate::{
    client::TestClient,
    rest::{Reply, Rest},
    user::TestUser,
};

/// One login of one account; a test changes it by logging in or refreshing again.
#[derive(Clone)]
pub struct TestAccount {
    user: TestUser,
    password: String,
    tokens: Value,
}

impl TestAccount {
    /// Logs in. Panics when that is refused.
    pub(crate) async fn login(user: TestUser, password: &str) -> Self {
        let account = Self { user, password: password.to_owned(), tokens: Value::Null };
        let reply = account.try_login().await;
        assert_eq!(reply.status, 200, "{} could not log in: {}", account.user.id(), reply.body);
        account.with(&reply)
    }

    /// The account with the tokens of an answer.
    pub fn with(&self, reply: &Reply) -> Self {
        Self { tokens: reply.json.clone(), ..self.clone() }
    }

    /// Logs in once more, and gives the answer.
    pub async fn try_login(&self) -> Reply {
        let body = json!({ "user_id": self.user.id(), "password": self.password });
        Rest::to(self.user.address()).post("/auth/login", body).await
    }

    /// Asks for the next tokens, and gives the answer.
    pub async fn try_refresh(&self) -> Reply {
        let body = json!({ "refresh_token": self.refresh_token() });
        Rest::to(self.user.address()).post("/auth/refresh", body).await
    }

    /// The user; its [`TestUser::token`] is no token of this login.
    pub fn user(&self) -> &TestUser {
        &self.user
    }

    /// The answer that gave the tokens.
    pub fn tokens(&self) -> &Value {
        &self.tokens
    }

    /// The access token.
    pub fn access_token(&self) -> &str {
        self.tokens["access_token"].as_str().unwrap_or_else(|| panic!("no access token: {}", self.tokens))
    }

    /// The refresh token.
    pub fn refresh_token(&self) -> &str {
        self.tokens["refresh_token"].as_str().unwrap_or_else(|| panic!("no refresh token: {}", self.tokens))
    }

    /// HTTP with the access token.
    pub fn rest(&self) -> Rest {
        Rest::to(self.user.address()).token(self.access_token())
    }

    /// A connection with the access token in its header.
    pub fn connection(&self) -> Connect {
        self.user.connection().token(self.access_token())
    }

    /// Connects with the access token. Panics when there is no welcome.
    #[track_caller]
    pub fn connect(&self) -> impl Future<Output = TestClient> + use<> {
        self.user.welcomed(self.connection())
    }
}
