//! The server that is judged, that of this program or one at an address; its profile, and the judge's credentials there.

use std::{fmt::Write as _, path::Path};

use anyhow::Context;
use wireproof_client::token_fault;
use wireproof_judge::{
    check::{Credentials, Embedded, Judge, Target, TargetError},
    profile::Profile,
};
use wireproof_server::auth::keys::KEY_FILE;

use super::Check;
use crate::exit::{ASK_BY_NAME, Stop};

/// A server that is judged.
pub(super) enum CheckTarget {
    /// The server of this program.
    Own(Box<Embedded>),
    /// One at an address, and the command that judges it again.
    At(Box<Target>, String),
}

impl CheckTarget {
    pub(super) async fn find(check: &Check) -> anyhow::Result<Self> {
        let Some(url) = &check.url else {
            return Ok(Self::Own(Box::new(Embedded::start().await.context("starting a server")?)));
        };
        let profile = Profile::find(&check.profile).map_err(|error| Stop::Usage(error.to_string()))?;
        let credentials = credentials(check)?;
        let mut target = Target::new(url, profile, credentials)
            .and_then(|target| target.within(check.timeout))
            .map_err(usage)?;
        if let Some(ca) = &check.ca {
            target = target.trusting(ca).map_err(usage)?;
        }
        if check.insecure {
            target = target.insecure().map_err(usage)?;
        }
        Ok(Self::At(Box::new(target), command(check, url)))
    }

    pub(super) fn target(&self) -> &Target {
        match self {
            CheckTarget::Own(embedded) => &embedded.target,
            CheckTarget::At(target, _) => target,
        }
    }

    /// The command that judges the same server again.
    pub(super) fn command(&self) -> String {
        match self {
            CheckTarget::Own(_) => "wireproof check --embedded".to_owned(),
            CheckTarget::At(_, command) => command.clone(),
        }
    }

    /// Nothing is judged where nobody is, or where the judge may not come in.
    pub(super) async fn reach(&self, judge: &Judge) -> anyhow::Result<()> {
        let reached = judge.reach(self.target()).await;
        Ok(reached.map_err(|error| match error {
            TargetError::Misaddressed(why) => {
                Stop::Refused(format!("{}; next: {ASK_BY_NAME}", why.trim_end_matches('.')))
            }
            TargetError::Refused(why) => Stop::Refused(format!("{why}. {ADMIT}")),
            TargetError::Unreachable(why) if why.contains("certificate") => {
                Stop::Unreachable(format!("{why}. {TRUST}. {FIND}"))
            }
            TargetError::Unreachable(why) => Stop::Unreachable(format!("{why}. {FIND}")),
            other => Stop::Usage(other.to_string()),
        })?)
    }

    pub(super) async fn close(self) {
        if let CheckTarget::Own(mut embedded) = self {
            embedded.server.shutdown().await;
        }
    }
}

const ADMIT: &str = "Give the server's key with --data-dir or --secret-file, or tokens with --token-file";
const TRUST: &str = "Trust its certificate with --ca FILE, or judge it unverified with --insecure";
const FIND: &str =
    "Nothing was checked. Is the server running, is this its address and path, and does --profile fit it?";

fn usage(error: TargetError) -> Stop {
    Stop::Usage(error.to_string())
}

fn credentials(check: &Check) -> anyhow::Result<Credentials> {
    if let Some(folder) = &check.data_dir {
        return Ok(Credentials::Secret(key_of(folder)?));
    }
    if let Some(path) = &check.secret_file {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        return Ok(Credentials::Secret(text.trim_end_matches(['\n', '\r']).as_bytes().to_vec()));
    }
    if let Some(path) = &check.token_file {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        return Ok(Credentials::Tokens(tokens(&text)?));
    }
    // Where some are needed the server says so: whoever cannot be reached at all is told that first.
    Ok(Credentials::None)
}

fn tokens(text: &str) -> anyhow::Result<Vec<(String, String)>> {
    let lines = text
        .trim_start_matches('\u{feff}')
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let read = lines.enumerate().map(|(number, line)| match line.split_once(char::is_whitespace) {
        Some((user, token)) => match token_fault(token.trim()) {
            None => Ok((user.to_owned(), token.trim().to_owned())),
            Some(fault) => {
                let why = format!("the token in entry {} of the tokens cannot be used: {fault}", number + 1);
                Err(Stop::Usage(why).into())
            }
        },
        // The line is not shown: it may be a token.
        None => Err(Stop::Usage(format!("entry {} of the tokens is not `USER TOKEN`", number + 1)).into()),
    });
    read.collect()
}

/// The key of a server's data folder.
fn key_of(folder: &Path) -> anyhow::Result<Vec<u8>> {
    let path = folder.join(KEY_FILE);
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!("reading the server's key {}; is it the server's --data-dir?", path.display())
    })?;
    let digits = text.trim().as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let key: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    key.filter(|key| !key.is_empty()).with_context(|| format!("{} holds no key in hex", path.display()))
}

fn command(check: &Check, url: &str) -> String {
    let mut command = format!("wireproof check {url} --profile {}", check.profile);
    let files = [
        ("--data-dir", &check.data_dir),
        ("--secret-file", &check.secret_file),
        ("--token-file", &check.token_file),
        ("--ca", &check.ca),
    ];
    for (flag, path) in files {
        if let Some(path) = path {
            // Writing to a text does not fail.
            let _ = write!(command, " {flag} {}", path.display());
        }
    }
    if check.insecure {
        command.push_str(" --insecure");
    }
    command
}
