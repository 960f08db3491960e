//! The kit's own server as one that is judged: with every limit on, none of them in the way of the judge itself.

use wireproof_faultproxy::{
    FaultProxy,
    mutation::{Mutation, Setup},
};
use wireproof_testkit::{Builder, TestServer};

use super::{
    Credentials, Target, TargetError,
    faults::{InjectedFault, Source},
};
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
    /// What makes a fault on the way to it, if something does.
    _proxy: Option<FaultProxy>,
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
        Self::start_with(|builder| builder, |_| {}, None).await
    }

    /// Starts one with a fault of the table; one inside the server's code needs the feature, without which it is sound.
    pub async fn start_with_fault(fault: &InjectedFault, seed: u64) -> Result<Self, EmbeddedError> {
        // What the fault keeps back is waited for in vain: a shorter while says the same.
        let hurry = |profile: &mut Profile| {
            profile.timing.answer_seconds = 4.0;
            profile.timing.run_seconds = 12.0;
        };
        let mutations = match fault.source {
            Source::Wire(list) => Some((list(), seed)),
            _ => None,
        };
        Self::start_with(|builder| fault.source.build(builder), hurry, mutations).await
    }

    /// Starts a server that is changed behind the judge's back, under a profile that is changed before its eyes.
    async fn start_with(
        change: impl FnOnce(Builder) -> Builder,
        amend: impl FnOnce(&mut Profile),
        mutations: Option<(Vec<Mutation>, u64)>,
    ) -> Result<Self, EmbeddedError> {
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
        let server = change(TestServer::builder().config(settings)).start().await;
        let mut profile = Profile::find("wireproof")?;
        if let Some(jwt) = &mut profile.auth.jwt {
            jwt.issuer = ISSUER.to_owned();
            jwt.audience = AUDIENCE.to_owned();
        }
        profile.limits.token_grace_seconds = Some(TOKEN_GRACE);
        amend(&mut profile);
        let mut proxy = None;
        if let Some((mutations, seed)) = mutations {
            let started = FaultProxy::start(server.address(), seed).await?;
            let key = profile.token_key(secret.as_bytes());
            started.mutate(Setup { roles: profile.roles(), key, mutations, tls: None });
            proxy = Some(started);
        }
        let url = proxy.as_ref().map_or_else(|| server.url(), |proxy| proxy.url(&profile.endpoint.path));
        let target = Target::new(&url, profile, Credentials::Secret(secret.into_bytes()))?;
        Ok(Self { server, target, _proxy: proxy })
    }
}
