//! Tokens that were good until the server itself ended them: each is really made, and really ended.

use std::time::Duration;

use serde_json::json;

use super::TokenKind;
use crate::{account::TestAccount, rest::Reply, user::TestUser};

/// The password of accounts that are made to be ended.
const PASSWORD: &str = "good until it is ended";

/// How long a token lives that has to expire before its ticket is used.
const MOMENT: Duration = Duration::from_millis(300);

impl TestUser {
    /// A token of any kind, or a ticket; [`TokenKind::shown`] puts it where it belongs. Kinds that end an account or a
    /// login are of a new account of their own, so that the user stays as before. Panics for a kind that this server
    /// cannot refuse: a wrong issuer or audience where `jwt.issuer` or `jwt.audience` is not set, and a public key as
    /// the secret, as the server's own key has none.
    pub async fn token_of(&self, kind: TokenKind) -> String {
        match self.try_token_of(kind).await {
            Some(token) => token,
            None => panic!("{kind} cannot be here: {} (set jwt.issuer, jwt.audience)", kind.sentence()),
        }
    }

    /// The same, and nothing for a kind that cannot be here.
    pub async fn try_token_of(&self, kind: TokenKind) -> Option<String> {
        Some(match kind {
            TokenKind::Revoked => self.revoked().await,
            TokenKind::DisabledAccount => {
                let account = self.short_lived("disabled").await;
                let path = format!("/api/admin/users/{}", account.user().id());
                fine(&self.admin().patch(&path, json!({ "disabled": true })).await);
                account.access_token().to_owned()
            }
            TokenKind::LoggedOut => {
                let account = self.short_lived("logged-out").await;
                fine(&account.rest().post("/auth/logout", json!({})).await);
                account.access_token().to_owned()
            }
            TokenKind::RefreshToken => self.short_lived("refresh").await.refresh_token().to_owned(),
            TokenKind::UsedTicket => {
                let ticket = self.ticket().await;
                let opened = self.welcomed(self.connection().credentials(kind.shown(&ticket))).await;
                opened.close(1000).await;
                ticket
            }
            TokenKind::StaleTicket => {
                let ticket = self.buy(&self.token_for(MOMENT)).await;
                // Nothing tells that a token's time is over but the time.
                tokio::time::sleep(MOMENT + Duration::from_millis(20)).await;
                ticket
            }
            forged => forged.forge(&self.issuer(), &self.claims())?,
        })
    }

    /// A ticket that is good for one connection within its seconds.
    pub async fn ticket(&self) -> String {
        self.buy(&self.token()).await
    }

    async fn buy(&self, token: &str) -> String {
        let reply = self.rest().token(token).post("/ws/ticket", json!({})).await;
        fine(&reply);
        reply.json["ticket"].as_str().unwrap_or_else(|| panic!("no ticket: {}", reply.body)).to_owned()
    }

    async fn revoked(&self) -> String {
        let (mut claims, id) = (self.claims(), uuid::Uuid::now_v7().to_string());
        claims["jti"] = json!(id);
        let token = self.issuer().sign_claims(&claims);
        fine(&self.admin().post("/api/admin/revoke", json!({ "token_id": id })).await);
        token
    }

    /// A new account, logged in, that nobody else knows of.
    async fn short_lived(&self, what: &str) -> TestAccount {
        let user = self.called(&format!("{what}-{}", uuid::Uuid::now_v7()));
        let body = json!({ "user_id": user.id(), "password": PASSWORD });
        fine(&self.admin().post("/api/admin/users", body).await);
        TestAccount::login(user, PASSWORD).await
    }
}

fn fine(reply: &Reply) {
    assert!(reply.status < 300, "the server did not do what ends a token: {} {}", reply.status, reply.body);
}
