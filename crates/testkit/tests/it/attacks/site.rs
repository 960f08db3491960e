//! What is attacked: a server with a user who has something to lose, and an attacker with an account of its own.

use serde_json::{Value, json};
use tempfile::TempDir;
use wireproof_protocol::{Position, UserId};
use wireproof_server::auth::Claims;
use wireproof_testkit::{Issuer, JwksServer, TestClient, TestServer, TestUser};

use crate::acting::patient;

/// What the server under attack asks of `iss` and `aud`.
pub const ISSUER: &str = "https://issuer.example";
pub const AUDIENCE: &str = "wireproof";
/// The secret of the server under attack, and that of another environment of the same product.
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";
pub const OTHER_SECRET: &str = "fedcba9876543210fedcba9876543210";

pub struct Site {
    pub server: TestServer,
    /// The victim, who has a thread, a run that goes on, and a device that sees all of the victim's events.
    pub victim: TestUser,
    pub device: TestClient,
    pub thread_id: String,
    pub run_id: String,
    pub position: Position,
    /// Somebody with good credentials of their own.
    pub attacker: TestUser,
    attacker_epoch: String,
    /// Whose public key is in the server's PEM file, and whose is in the key set that it fetches.
    pub es256: Issuer,
    pub rs256: Issuer,
    /// Whose key is nowhere.
    pub rogue: Issuer,
    _jwks: JwksServer,
    _folder: TempDir,
}

impl Site {
    pub async fn build() -> Self {
        let (es256, rs256) = (Issuer::es256("es-1"), Issuer::rs256("rs-1"));
        let (jwks, folder) = (JwksServer::start(&[&rs256]).await, tempfile::tempdir().unwrap());
        let pem = folder.path().join("issuer.pem");
        std::fs::write(&pem, es256.public_pem()).unwrap();
        let builder = TestServer::builder().agents([patient()]).config(|config| {
            config.jwt.secret = SECRET.to_owned();
            config.jwt.issuer = ISSUER.to_owned();
            config.jwt.audience = AUDIENCE.to_owned();
            config.jwt.public_key_file = pem;
            config.jwt.jwks_url = jwks.url();
            config.limits.messages_per_minute = 0;
            config.limits.other_frames_per_minute = 0;
            config.limits.connections_per_user = 0;
            config.limits.header_seconds = 1.0;
            config.limits.authenticate_seconds = 1.0;
            config.accounts.registration = true;
        });
        let server = builder.start().await;
        let (victim, attacker) = (server.user("victim"), server.user("attacker"));
        let device = victim.connect().await;
        let run = device.chat_with("patient", "my secret").await;
        device.expect("agent_started").await;
        let position = device.position().unwrap();
        let (thread_id, run_id) = (run.thread_id.to_string(), run.run_id.to_string());
        let attacker_epoch = attacker.connect().await.welcome().epoch.to_string();
        let rogue = Issuer::es256("rogue");
        Self {
            server,
            victim,
            device,
            thread_id,
            run_id,
            position,
            attacker,
            attacker_epoch,
            es256,
            rs256,
            rogue,
            _jwks: jwks,
            _folder: folder,
        }
    }

    /// Claims that would be good for the victim, with some of them changed; `null` takes one away.
    pub fn claims(&self, change: Value) -> Value {
        let now = unix_now();
        let mut claims = json!({
            "sub": "victim", "exp": now + 600.0, "iat": now, "iss": ISSUER, "aud": AUDIENCE,
        });
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        claims
    }

    /// A token signed with the server's own key over claims that would be good but for a change.
    pub fn signed(&self, change: Value) -> String {
        hs256(SECRET, &json!({ "alg": "HS256", "typ": "JWT" }), &self.claims(change))
    }

    /// The epoch of the attacker's own log.
    pub fn attacker_epoch(&self) -> String {
        self.attacker_epoch.clone()
    }

    /// A good token of a name.
    pub fn good(&self, name: &str) -> String {
        self.granting(name, None)
    }

    /// A good token of a name that grants just this.
    pub fn granting(&self, name: &str, permissions: Option<Vec<String>>) -> String {
        let now = unix_now();
        let claims = Claims {
            sub: UserId::new(name).unwrap().to_string(),
            exp: now + 600.0,
            iat: Some(now),
            iss: Some(ISSUER.into()),
            aud: Some(AUDIENCE.into()),
            permissions,
            ..Claims::default()
        };
        self.server.keys().sign_claims(&claims)
    }
}

/// A token of each issuer that the server trusts, for a name.
impl Site {
    pub fn foreign(&self, name: &str) -> [String; 2] {
        let claims = self.claims(json!({ "sub": name }));
        [self.es256.sign_claims(&claims), self.rs256.sign_claims(&claims)]
    }
}

pub fn unix_now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
}

/// A part of a token.
pub fn part(json: &Value) -> String {
    encode(json.to_string().as_bytes())
}

pub fn encode(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A token under any header, signed by HMAC-SHA-256 with any bytes, a public key among them.
pub fn hs256(secret: impl AsRef<[u8]>, header: &Value, claims: &Value) -> String {
    Issuer::hs256("any", secret.as_ref()).sign(header, claims)
}
