//! The kit's own server as one that is judged: with every limit on, none of them in the way of the judge itself.

#[cfg(feature = "sabotage")]
use wireproof_faultproxy::FaultProxy;
use wireproof_testkit::{Builder, TestServer};

#[cfg(feature = "sabotage")]
use super::faults::{InjectedFault, Source};
use super::{Credentials, Target, TargetError};
use crate::profile::{Profile, ProfileError};

/// Who made the tokens, as the embedded server asks of them.
const ISSUER: &str = "wireproof-check";
/// Whom the tokens are for.
const AUDIENCE: &str = "wireproof";

/// Seconds that a connection may outlive its token: nobody has to wait long to see it end.
const TOKEN_GRACE: f64 = 1.0;

/// A server of the kit and how it is judged.
pub struct Embedded {
    /// The server; it ends when this is dropped.
    pub server: TestServer,
    /// It, as the judge sees it.
    pub target: Target,
    /// What makes a fault on the way, if something does.
    #[cfg(feature = "sabotage")]
    spoiling: Option<Spoiling>,
}

/// Why the kit's server cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// Nothing can be put between.
    #[error("no proxy can be put before the server: {0}")]
    Proxy(#[from] std::io::Error),
    /// Its profile is broken.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// It cannot be a target.
    #[error(transparent)]
    Target(#[from] TargetError),
}

impl Embedded {
    /// Starts a sound server.
    pub async fn start() -> Result<Self, EmbeddedError> {
        Self::start_with(TestServer::builder(), |_| {}).await
    }

    /// Starts one with a fault of the table.
    #[cfg(feature = "sabotage")]
    pub async fn start_with_fault(fault: &InjectedFault, seed: u64) -> Result<Self, EmbeddedError> {
        // What the fault keeps back is waited for in vain: a shorter while says the same.
        let hurry = |profile: &mut Profile| {
            profile.timing.answer_seconds = 4.0;
            profile.timing.run_seconds = 12.0;
        };
        let builder = match fault.source {
            Source::Toxics(_) => TestServer::builder(),
            Source::Setting(change) => TestServer::builder().config(change),
            Source::Decorator(decorate) => decorate(TestServer::builder()),
            Source::Failpoint | Source::Bug => TestServer::builder().bug(fault.name, seed),
        };
        let mut embedded = Self::start_with(builder, hurry).await?;
        if let Source::Toxics(act) = fault.source {
            let proxy = FaultProxy::start(embedded.server.address(), seed).await?;
            embedded.target = embedded.target.at(&proxy.url("/ws"))?;
            embedded.spoiling = Some(Spoiling(act(proxy)));
        }
        Ok(embedded)
    }

    async fn start_with(builder: Builder, amend: impl FnOnce(&mut Profile)) -> Result<Self, EmbeddedError> {
        // Made anew for every server: nobody else has it.
        let secret = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
        let settings = |config: &mut wireproof_server::Config| {
            config.jwt.secret = secret.clone();
            config.jwt.issuer = ISSUER.to_owned();
            config.jwt.audience = AUDIENCE.to_owned();
            // The judge's own tokens name no key, as those of others do; its administrator is one all the same.
            config.jwt.external_admin = true;
            // All users of the judge come from one address, with many bad tokens.
            config.limits.failed_tokens_per_minute = 60_000;
            config.limits.token_grace_seconds = TOKEN_GRACE;
        };
        let server = builder.config(settings).start().await;
        let mut profile = Profile::find("wireproof")?;
        if let Some(jwt) = &mut profile.auth.jwt {
            jwt.issuer = ISSUER.to_owned();
            jwt.audience = AUDIENCE.to_owned();
        }
        profile.limits.token_grace_seconds = Some(TOKEN_GRACE);
        amend(&mut profile);
        let target = Target::new(&server.url(), profile, Credentials::Secret(secret.into_bytes()))?;
        Ok(Self {
            server,
            target,
            #[cfg(feature = "sabotage")]
            spoiling: None,
        })
    }
}

/// A task that ends when this is dropped.
#[cfg(feature = "sabotage")]
struct Spoiling(tokio::task::JoinHandle<()>);

#[cfg(feature = "sabotage")]
impl Drop for Spoiling {
    fn drop(&mut self) {
        self.0.abort();
    }
}
