//! The machine: its clock, the port, and how many files a process may have open.

use std::{
    io::ErrorKind,
    net::TcpListener,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use wireproof_server::{
    Config,
    server::server_file::ServerFile,
    store::embedded::{Embedded, inspect::Seen},
};

use super::Findings;

/// Years that a clock which was set can show.
const YEARS: (i16, i16) = (2025, 2100);
/// How far files may be ahead of the clock that wrote them.
const AHEAD: Duration = Duration::from_secs(60);
/// Files of a server beside its connections.
const OTHER_FILES: u64 = 128;
/// With fewer files a server on the internet is soon full.
const FEW_FILES: u64 = 4096;

pub(super) fn examine(config: &Config, store: Option<Seen>, findings: &mut Findings) {
    clock(config, store, findings);
    port(config, findings);
    files(config, findings);
}

fn clock(config: &Config, store: Option<Seen>, findings: &mut Findings) {
    let year = jiff::Zoned::now().year();
    let remedy = "set the clock by NTP (timedatectl set-ntp true)";
    if !(YEARS.0..=YEARS.1).contains(&year) {
        let why = "tokens look expired, or as if they were not made yet";
        findings.error("clock.implausible", format!("the clock says it is {year}"), why, remedy);
    }
    let now = SystemTime::now();
    let latest = store
        .and_then(|seen| seen.latest)
        .map(|latest| UNIX_EPOCH + Duration::from_secs_f64(latest.max(0.0)));
    let key = modified(&config.data_dir.join("jwt.key"));
    if latest.into_iter().chain(key).any(|then| then > now + AHEAD) {
        findings.error(
            "clock.behind",
            "the clock stands before the latest change of the store or its key",
            "times in the log would run backwards, and tokens look as if they were not made yet",
            remedy,
        );
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|found| found.modified()).ok()
}

fn port(config: &Config, findings: &mut Findings) {
    let listen = config.listen;
    let Err(error) = TcpListener::bind(listen) else { return };
    match error.kind() {
        // Our own server, which runs on this folder.
        ErrorKind::AddrInUse if is_ours(config) => {}
        ErrorKind::AddrInUse => findings.error(
            "listen.taken",
            format!("another process listens on {listen}"),
            "the server cannot start there",
            format!("stop it (ss -ltnp 'sport = :{}' names it), or set another listen", listen.port()),
        ),
        ErrorKind::PermissionDenied => findings.error(
            "listen.privileged",
            format!("this user may not listen on {listen}"),
            "ports below 1024 are for root, or for who has CAP_NET_BIND_SERVICE",
            "set a port from 1024 up, or AmbientCapabilities=CAP_NET_BIND_SERVICE in the service",
        ),
        _ => findings.error(
            "listen.impossible",
            format!("{listen} cannot be listened on: {error}"),
            "the server cannot start there",
            "set listen to an address of this machine, or to 0.0.0.0 for all of them",
        ),
    }
}

fn is_ours(config: &Config) -> bool {
    let held = Embedded::is_held(&config.data_dir).unwrap_or(false);
    let presence = ServerFile::read(&config.data_dir).ok().flatten();
    held && presence.is_some_and(|presence| presence.url.ends_with(&format!(":{}", config.listen.port())))
}

fn files(config: &Config, findings: &mut Findings) {
    let Ok((soft, _)) = rlimit::Resource::NOFILE.get() else { return };
    let wanted = match config.limits.connections {
        0 => FEW_FILES,
        connections => connections as u64 + OTHER_FILES,
    };
    if soft < wanted {
        findings.warning(
            "limits.files",
            format!("a process may have {soft} files open, and limits.connections asks for {wanted}"),
            "connections beyond it are turned away",
            format!("ulimit -n {wanted}, or LimitNOFILE={wanted} in the service"),
        );
    }
}
