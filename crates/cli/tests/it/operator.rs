//! The operator's socket: who gets in, what it grants, and that nobody else is ever spoken to in its name.

use std::{
    fs::{self, Permissions},
    io::Write,
    net::TcpListener,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    process::Command,
    time::timeout,
};

use crate::process::{Server, WITHIN, as_a_stranger, finish, run, serve, token_granting, wireproof};

const SOCKET: &str = "wireproof.sock";

/// What the operator's socket answers to a request.
async fn ask(data: &Path, head: &str, body: &str) -> Result<String> {
    let mut stream = UnixStream::connect(data.join(SOCKET)).await?;
    let length = body.len();
    let request = format!("{head} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    timeout(WITHIN, stream.read_to_string(&mut answer)).await.context("an answer in time")??;
    Ok(answer)
}

fn modes(data: &Path) -> Result<Vec<(String, u32)>> {
    let mut modes = vec![(".".to_owned(), fs::metadata(data)?.mode() & 0o777)];
    for entry in fs::read_dir(data)? {
        let entry = entry?;
        modes.push((entry.file_name().to_string_lossy().into_owned(), entry.metadata()?.mode() & 0o777));
    }
    modes.sort();
    Ok(modes)
}

fn is_private(data: &Path) -> Result<()> {
    for (name, mode) in modes(data)? {
        let right = if name == "." { 0o700 } else { 0o600 };
        ensure!(mode == right, "{name} has mode {mode:o}");
    }
    Ok(())
}

/// `wireproof serve` under a umask.
fn serve_with_umask(umask: &str, data: &Path) -> Command {
    let shell = format!("umask {umask}; exec \"$0\" serve --listen 127.0.0.1:0 --data-dir \"$1\"");
    let mut command = Command::new("sh");
    command.args(["-c", &shell, env!("CARGO_BIN_EXE_wireproof")]).arg(data);
    command.env("WIREPROOF_LOG", "warn").kill_on_drop(true);
    command
}

/// A data folder to which everybody finds the way.
fn reachable() -> Result<(TempDir, PathBuf)> {
    let folder = tempdir()?;
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
    let data = folder.path().join("data");
    Ok((folder, data))
}

/// Whether somebody knocked at a port.
fn was_knocked_at(listener: &TcpListener) -> Result<bool> {
    listener.set_nonblocking(true)?;
    Ok(listener.accept().is_ok())
}

/// Bug: the lock file and the folder were open to all under a usual umask, and an umask of 777 left files that their own
/// server could not open.
#[tokio::test]
async fn whatever_the_umask_only_the_owner_gets_at_the_files() -> Result<()> {
    for umask in ["000", "022", "777"] {
        let (_folder, data) = reachable()?;
        let server = Server::launch(serve_with_umask(umask, &data)).await?;
        let found: Vec<String> = modes(&data)?.into_iter().map(|(name, _)| name).collect();
        for name in ["jwt.key", "server.json", "wireproof.db", "wireproof.lock", SOCKET] {
            ensure!(found.contains(&name.to_owned()), "{umask}: no {name} among {found:?}");
        }
        is_private(&data).context(umask)?;
        ensure!(fs::metadata(data.join(SOCKET))?.file_type().is_socket());
        server.terminate()?;
        server.ended().await?;
        ensure!(!data.join(SOCKET).exists() && !data.join("server.json").exists(), "left after the end");
    }
    Ok(())
}

/// Bug: a folder and files that an earlier version left open to others stayed so.
#[tokio::test]
async fn looser_modes_from_before_are_tightened_at_the_start() -> Result<()> {
    let (_folder, data) = reachable()?;
    Server::start(&data).await?.kill().await?;
    for entry in fs::read_dir(&data)? {
        fs::set_permissions(entry?.path(), Permissions::from_mode(0o644))?;
    }
    fs::set_permissions(&data, Permissions::from_mode(0o755))?;
    let _server = Server::start(&data).await?;
    is_private(&data)
}

/// Bug: what root's commands made in the folder of the server's user, that user could not open: neither the lock nor a store,
/// a key or a staged backup.
#[tokio::test]
async fn what_root_makes_in_anothers_folder_is_that_users() -> Result<()> {
    let (folder, data) = reachable()?;
    fs::create_dir(&data)?;
    let as_root = async |program: &str, arguments: &[&str], last: &Path| -> Result<()> {
        let is_root = rustix::process::geteuid().is_root();
        let mut command = Command::new(if is_root { program } else { "sudo" });
        command
            .args((!is_root).then_some("-n"))
            .args((!is_root).then_some(program))
            .args(arguments)
            .arg(last);
        let ended = finish(command).await.context("this takes root, or sudo that asks for no password")?;
        ensure!(
            ended.code == Some(0),
            "this takes root, or sudo that asks for no password: {}",
            ended.stderr
        );
        Ok(())
    };
    as_root("chown", &["65534:65534"], &data).await?;
    let program = env!("CARGO_BIN_EXE_wireproof");
    let (other, backup) = (folder.path().join("other"), folder.path().join("backup"));
    Server::start(&other).await?.kill().await?;
    let mut command = wireproof(["backup", "--to"]);
    command.arg(&backup).arg("--data-dir").arg(&other);
    ensure!(finish(command).await?.code == Some(0), "no backup");
    as_root(program, &["user", "add", "ada", "--data-dir"], &data).await?;
    as_root(program, &["token", "--user", "ada", "--data-dir"], &data).await?;
    // Staged and not applied: a process holds the folder that answers nobody.
    let hold = r#"exec 9<>"$1/wireproof.lock"; flock 9; exec sleep 30"#;
    let holding = data.clone();
    let holder = tokio::spawn(async move { as_a_stranger(hold, &holding).await });
    let waiting = async {
        while !wireproof_server::store::embedded::Embedded::is_held(&data).unwrap_or(false) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    timeout(WITHIN, waiting).await.context("nobody holds the folder")?;
    let from = backup.to_str().context("a path in UTF-8")?;
    let staged = as_root(program, &["restore", "--force", "--from", from, "--data-dir"], &data).await;
    ensure!(staged.is_err_and(|e| e.to_string().contains("is ready")), "it was not left for the next start");
    holder.abort();
    let owners = as_a_stranger(r#"stat -c '%n %u' "$1"/* "$1"/.w* 2>/dev/null; true"#, &data).await?.stdout;
    ensure!(["lock", "db", "key", "restore"].iter().all(|name| owners.contains(name)), "{owners}");
    ensure!(owners.lines().all(|line| line.ends_with(" 65534")), "{owners}");
    Ok(())
}

/// Bug: a folder in which everybody may plant files was taken as a data folder.
#[tokio::test]
async fn a_folder_that_others_share_is_refused_and_left_as_it_was() -> Result<()> {
    let (_folder, data) = reachable()?;
    fs::create_dir(&data)?;
    for (mode, foreign, words) in
        [(0o1777, false, "every user of this machine may write"), (0o755, true, "not all that is in it")]
    {
        if foreign {
            fs::write(data.join("thesis.txt"), "mine")?;
        }
        fs::set_permissions(&data, Permissions::from_mode(mode))?;
        let mut user = wireproof(["user", "add", "ada", "--data-dir"]);
        user.arg(&data);
        let mut token = wireproof(["token", "--user", "ada", "--data-dir"]);
        token.arg(&data);
        for command in [serve(&data), user, token] {
            let refused = finish(command).await?;
            ensure!(
                refused.code == Some(1) && refused.stderr.contains(words),
                "{mode:o}: {}",
                refused.stderr
            );
            ensure!(refused.stderr.contains("chmod 700"), "what to do: {}", refused.stderr);
        }
        ensure!(fs::metadata(&data)?.mode() & 0o7777 == mode, "its mode was changed");
        ensure!(fs::read_dir(&data)?.count() == usize::from(foreign), "something was made in it");
    }
    Ok(())
}

/// Bug: in a folder that everybody could write in, a start took the key, the store, the staged backup and the lock that
/// another user of the machine had put there: it looked at names, and not at who had made the files.
#[tokio::test]
async fn what_another_user_planted_in_the_folder_is_not_taken() -> Result<()> {
    let (_folder, data) = reachable()?;
    fs::create_dir(&data)?;
    let names = [
        "jwt.key",
        "jwt.key.previous",
        "wireproof.db",
        "wireproof.db-wal",
        "wireproof.db-shm",
        "wireproof.restore",
        "wireproof.lock",
        "server.json",
        SOCKET,
    ];
    let ways = [r#"echo mine > "$1/NAME""#, r#"ln -s /etc/passwd "$1/NAME""#, r#"mkfifo "$1/NAME""#];
    // Each name twice, in two ways.
    for (number, name) in names.into_iter().cycle().take(2 * names.len()).enumerate() {
        let (planted, way) = (data.join(name), ways[(number + number / names.len()) % ways.len()]);
        fs::set_permissions(&data, Permissions::from_mode(0o777))?;
        let plant = as_a_stranger(&way.replace("NAME", name), &data).await?;
        ensure!(plant.code == Some(0), "{name}: {}", plant.stderr);
        // As it was found, and when somebody did only what the first refusal says last.
        for (mode, words) in [(0o777, "every user of this machine"), (0o700, "belongs to another user")] {
            fs::set_permissions(&data, Permissions::from_mode(mode))?;
            let mut token = wireproof(["token", "--user", "ada", "--data-dir"]);
            token.arg(&data);
            let mut doctor = wireproof(["doctor", "--data-dir"]);
            doctor.arg(&data).env("WIREPROOF_LISTEN", "127.0.0.1:0");
            for command in [serve(&data), token, doctor] {
                let refused = finish(command).await.with_context(|| format!("{name}, {mode:o}, {way}"))?;
                let said = format!("{}{}", refused.stdout, refused.stderr);
                ensure!(refused.code == Some(1) && said.contains(words), "{name}, {mode:o}, {way}: {said}");
                ensure!(mode != 0o700 || said.contains(name) && said.contains("chown"), "{name}: {said}");
            }
            ensure!(fs::metadata(&data)?.mode() & 0o7777 == mode, "{name}: the folder's mode was changed");
        }
        ensure!(fs::read_dir(&data)?.count() == 1, "{name}: something was made beside it");
        ensure!(fs::symlink_metadata(&planted)?.uid() == 65534, "{name}: it was taken over");
        fs::remove_file(&planted)?;
    }
    // An empty one is made private and taken.
    fs::set_permissions(&data, Permissions::from_mode(0o777))?;
    let _server = Server::start(&data).await?;
    is_private(&data)
}

/// Bug: whoever looked whether the folder is held, as `doctor` and `restore` do, took the lock for a moment, and a start
/// that met it failed with "in use by another process".
#[tokio::test]
async fn a_start_waits_for_who_looks_whether_the_folder_is_held() -> Result<()> {
    let (_folder, data) = reachable()?;
    Server::start(&data).await?.kill().await?;
    for _ in 0..3 {
        let lock = fs::File::open(data.join("wireproof.lock"))?;
        let looking = tokio::spawn(async move {
            loop {
                if lock.try_lock_shared().is_ok() {
                    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
                    let _ = lock.unlock();
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        });
        let started = Server::start(&data).await;
        looking.abort();
        started?.kill().await?;
    }
    Ok(())
}

/// A volume that root made for a group is taken, and so is what the server's own user made in it before.
#[tokio::test]
async fn a_volume_that_root_made_for_a_group_is_taken() -> Result<()> {
    let (folder, data) = reachable()?;
    fs::create_dir(&data)?;
    if !rustix::process::geteuid().is_root() {
        let mut chown = Command::new("sudo");
        chown.args(["-n", "chown", "0"]).arg(&data);
        ensure!(finish(chown).await?.code == Some(0), "this takes root, or sudo that asks for no password");
    }
    let group = as_a_stranger("id -g", &data).await?.stdout;
    ensure!(group.trim() == "65534", "{group}");
    let mut give = Command::new(if rustix::process::geteuid().is_root() { "sh" } else { "sudo" });
    if !rustix::process::geteuid().is_root() {
        give.args(["-n", "sh"]);
    }
    give.args(["-c", r#"chgrp 65534 "$1" && chmod 2770 "$1""#, "sh"]).arg(&data);
    ensure!(finish(give).await?.code == Some(0));
    // Where strangers find it.
    let program = folder.path().join("wireproof");
    fs::copy(env!("CARGO_BIN_EXE_wireproof"), &program)?;
    for act in ["token --user ada", "user add ada", "token --user ada", "user list"] {
        let run = format!(r#""$1/../wireproof" {act} --data-dir "$1""#);
        let taken = as_a_stranger(&run, &data).await?;
        ensure!(taken.code == Some(0), "{act}: {}", taken.stderr);
    }
    Ok(())
}

/// Bug: after a kill -9 another user of the machine could take the lock, listen on the old port and be given a token of
/// the operator's.
#[tokio::test]
async fn after_a_kill_another_user_gets_no_token_no_data_and_no_lock() -> Result<()> {
    let (folder, data) = reachable()?;
    let server = Server::launch(serve_with_umask("022", &data)).await?;
    let mut add = wireproof(["user", "add", "ada", "--data-dir"]);
    add.arg(&data);
    ensure!(finish(add).await?.code == Some(0), "no account");
    let address = server.address().to_owned();

    // While it runs: its socket knows strangers by their user, also where its mode does not keep them out.
    let knock = r#"python3 -c 'import socket, sys
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1] + "/wireproof.sock")
peer.sendall(b"GET /api/admin/users HTTP/1.1\r\nHost: localhost\r\n\r\n")
sys.stdout.write(peer.recv(65536).decode())' "$1""#;
    let kept_out = as_a_stranger(knock, &data).await?;
    ensure!(kept_out.code != Some(0) && kept_out.stderr.contains("Permission denied"), "{}", kept_out.stderr);
    fs::set_permissions(&data, Permissions::from_mode(0o755))?;
    fs::set_permissions(data.join(SOCKET), Permissions::from_mode(0o666))?;
    let turned_away = as_a_stranger(knock, &data).await?;
    ensure!(turned_away.stdout.is_empty(), "a stranger was answered: {}", turned_away.stdout);
    fs::set_permissions(data.join(SOCKET), Permissions::from_mode(0o600))?;
    fs::set_permissions(&data, Permissions::from_mode(0o700))?;

    server.kill().await?;
    ensure!(data.join("server.json").exists() && data.join(SOCKET).exists(), "a kill takes nothing away");
    for attack in [
        r#"ls "$1""#,
        r#"cat "$1/jwt.key""#,
        r#"cat "$1/wireproof.db""#,
        r#"cat "$1/server.json""#,
        r#"exec 9<"$1/wireproof.lock""#,
        r#"flock --nonblock "$1/wireproof.lock" true"#,
        r#"ln -s /etc/passwd "$1/wireproof.restore""#,
        r#"touch "$1/planted""#,
        r#"mv "$1/wireproof.sock" "$1/other""#,
    ] {
        let ended = as_a_stranger(attack, &data).await?;
        ensure!(ended.code != Some(0) && ended.stdout.is_empty(), "{attack}: {}", ended.stdout);
        ensure!(ended.stderr.contains("denied"), "{attack}: {}", ended.stderr);
    }

    // The impostor has the port; the commands find that no server runs, or do the work themselves.
    let impostor = TcpListener::bind(&address)?;
    let (backup, from) = (folder.path().join("backup.db"), folder.path().join("backup.db"));
    for (code, arguments) in [
        (3, vec!["admin", "connections"]),
        (3, vec!["admin", "revoke", "--user", "ada"]),
        (3, vec!["admin", "drain"]),
        (0, vec!["user", "list"]),
        (0, vec!["user", "disable", "ada"]),
        (0, vec!["backup", "--to", backup.to_str().context("a path in UTF-8")?]),
        (0, vec!["restore", "--force", "--from", from.to_str().context("a path in UTF-8")?]),
    ] {
        let mut command = wireproof(arguments.iter().copied());
        command.arg("--data-dir").arg(&data);
        let ended = finish(command).await?;
        ensure!(ended.code == Some(code), "{arguments:?}: {:?} {}", ended.code, ended.stderr);
    }
    ensure!(!was_knocked_at(&impostor)?, "a command spoke to whoever had the port");
    is_private(&data)
}

/// Bug: commands asked whoever listened at the address that a file named, and believed the answer.
#[tokio::test]
async fn a_process_of_another_user_at_the_socket_is_told_nothing() -> Result<()> {
    let (folder, data) = reachable()?;
    Server::start(&data).await?.kill().await?;
    // What a loose folder of an earlier version allowed: a stranger holds the lock and listens in the server's place.
    fs::set_permissions(&data, Permissions::from_mode(0o777))?;
    fs::set_permissions(data.join("wireproof.lock"), Permissions::from_mode(0o666))?;
    fs::remove_file(data.join(SOCKET))?;
    let heard = folder.path().join("heard");
    fs::write(&heard, "")?;
    fs::set_permissions(&heard, Permissions::from_mode(0o666))?;
    let script = r#"python3 -c 'import fcntl, socket, sys
lock = open(sys.argv[1] + "/wireproof.lock")
fcntl.flock(lock, fcntl.LOCK_EX)
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1] + "/wireproof.sock")
listener.listen()
open(sys.argv[1] + "/../heard", "w").write("ready ")
listener.settimeout(20)
peer, _ = listener.accept()
peer.settimeout(20)
open(sys.argv[1] + "/../heard", "a").write("%r" % peer.recv(65536))' "$1""#;
    let (listening, data_of_it) = (data.clone(), data.clone());
    let stranger = tokio::spawn(async move { as_a_stranger(script, &listening).await });
    let ready = async {
        while fs::read_to_string(&heard)?.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    };
    timeout(WITHIN, ready).await.context("the stranger never listened")??;
    let mut command = wireproof(["admin", "revoke", "--user", "ada", "--data-dir"]);
    command.arg(&data_of_it);
    let ended = finish(command).await?;
    ensure!(
        ended.code == Some(3) && ended.stderr.contains("another user"),
        "{:?} {}",
        ended.code,
        ended.stderr
    );
    stranger.await??;
    let heard = fs::read_to_string(heard)?;
    ensure!(heard == "ready b''", "the stranger heard {heard}");
    Ok(())
}

/// Bug: with TLS on, the commands wanted a certificate for an address that it does not bear.
#[tokio::test]
async fn with_tls_on_all_commands_of_the_operator_work() -> Result<()> {
    let folder = tempdir()?;
    let data = folder.path().join("data");
    let key = rcgen::KeyPair::generate()?;
    let cert = rcgen::CertificateParams::new(vec!["somewhere.example".to_owned()])?.self_signed(&key)?;
    fs::write(folder.path().join("cert.pem"), cert.pem())?;
    fs::write(folder.path().join("key.pem"), key.serialize_pem())?;
    let mut command = serve(&data);
    command
        .env("WIREPROOF_TLS_CERT_FILE", folder.path().join("cert.pem"))
        .env("WIREPROOF_TLS_KEY_FILE", folder.path().join("key.pem"))
        .env("WIREPROOF_DRAIN_SPREAD_SECONDS", "0");
    let mut server = Server::launch(command).await?;
    ensure!(server.url.starts_with("wss://"));
    let backup = folder.path().join("backup");
    let backup = backup.to_str().context("a path in UTF-8")?;
    // Without the server's settings: what it needs to know is the folder.
    for arguments in [
        &["admin", "connections"][..],
        &["user", "add", "ada"],
        &["user", "disable", "ada"],
        &["backup", "--to", backup],
        &["restore", "--force", "--from", backup],
    ] {
        let mut command = wireproof(arguments);
        command.arg("--data-dir").arg(&data);
        let ended = finish(command).await?;
        ensure!(ended.code == Some(0), "{arguments:?}: {}", ended.stderr);
    }
    server.next_ready().await?;
    Ok(())
}

/// The longest path of a socket is 107 bytes, and a data folder may be deeper.
#[tokio::test]
async fn a_deep_data_folder_has_its_socket_all_the_same() -> Result<()> {
    let folder = tempdir()?;
    let data = folder.path().join("d".repeat(120)).join("e".repeat(120));
    let server = Server::start(&data).await?;
    ensure!(fs::metadata(data.join(SOCKET))?.file_type().is_socket(), "it is in the folder itself");
    is_private(&data)?;
    let mut command = wireproof(["admin", "connections", "--data-dir"]);
    command.arg(&data);
    let ended = finish(command).await?;
    ensure!(ended.code == Some(0) && ended.stdout == "0 connections\n", "{}{}", ended.stdout, ended.stderr);
    server.terminate()?;
    server.ended().await?;
    ensure!(!data.join(SOCKET).exists());
    Ok(())
}

/// Bug: a token whose `sub` was the operator's name shared its limits and looked like it in logs, and `user add` made
/// accounts of such names.
#[tokio::test]
async fn no_token_and_no_account_is_the_operator() -> Result<()> {
    let folder = tempdir()?;
    let data = folder.path();
    let secret = "a secret of thirty-two bytes or more";
    let mut command = serve(data);
    command.env("WIREPROOF_JWT_SECRET", secret);
    let server = Server::launch(command).await?;
    for name in ["wireproof:operator", "WIREPROOF:operator", "wireproof:", "wireproof:x"] {
        let forged = wireproof_testkit::Issuer::hs256("", secret.as_bytes().to_vec());
        let token = forged.sign_claims(&wireproof_testkit::Issuer::claims(name));
        ensure!(server.connect(&token).open_welcomed().await.is_err(), "{name} opened a socket");
        for arguments in [&["token", "--user", name][..], &["user", "add", name]] {
            let mut command = wireproof(arguments);
            command.arg("--data-dir").arg(data).env("WIREPROOF_JWT_SECRET", secret);
            let refused = finish(command).await?;
            ensure!(matches!(refused.code, Some(2 | 4)), "{arguments:?}: {:?}", refused.code);
            ensure!(refused.stderr.contains("the server's own"), "{}", refused.stderr);
        }
    }
    server.terminate()?;
    server.ended().await?;
    let mut command = wireproof(["user", "add", "wireproof:operator", "--data-dir"]);
    command.arg(data);
    let offline = finish(command).await?;
    ensure!(offline.code == Some(4) && offline.stderr.contains("the server's own"), "{}", offline.stderr);
    Ok(())
}

/// Bug: the operator's requests were counted as a user's, so limits for users kept the operator from the server.
#[tokio::test]
async fn the_operator_is_not_bound_by_limits_of_users_and_opens_no_socket() -> Result<()> {
    let folder = tempdir()?;
    let mut command = serve(folder.path());
    for name in ["MESSAGES_PER_MINUTE", "MESSAGE_BURST", "OTHER_FRAMES_PER_MINUTE", "OTHER_FRAME_BURST"] {
        command.env(format!("WIREPROOF_LIMITS_{name}"), "1");
    }
    let _server = Server::launch(command).await?;
    for _ in 0..5 {
        let answer = ask(folder.path(), "GET /api/admin/connections", "").await?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let answer =
            ask(folder.path(), "POST /api/admin/revoke", &json!({ "user_id": "x" }).to_string()).await?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    for head in ["POST /ws/ticket", "GET /ws", "GET /websocket"] {
        let answer = ask(folder.path(), head, "").await?;
        ensure!(answer.starts_with("HTTP/1.1 403"), "{head}: {answer}");
    }
    let me = ask(folder.path(), "GET /auth/me", "").await?;
    let body: Value = serde_json::from_str(me.split("\r\n\r\n").nth(1).context("a body")?)?;
    ensure!(body["user_id"] == "wireproof:operator", "{me}");
    Ok(())
}

/// Bug: when `server.json` could not be written, the start failed and the accept loop went on; and whoever was taken for
/// the server stayed in the folder.
#[tokio::test]
async fn a_start_that_fails_leaves_no_listener_and_no_file() -> Result<()> {
    for blocked in ["server.json", "server.json.draft", SOCKET] {
        let folder = tempdir()?;
        // Where a folder with something in it stands, no file can be put.
        fs::create_dir(folder.path().join(blocked))?;
        fs::write(folder.path().join(blocked).join("wireproof"), "")?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let data = folder.path().to_str().context("a path in UTF-8")?;
        let failed = run(["serve", "--listen", &port, "--data-dir", data]).await?;
        ensure!(
            failed.code == Some(1) && failed.stderr.contains(blocked.trim_end_matches(".draft")),
            "{}",
            failed.stderr
        );
        for name in ["server.json", SOCKET, "server.json.draft"] {
            let left = fs::symlink_metadata(folder.path().join(name)).is_ok();
            ensure!(left == (name == blocked), "{blocked}: {name}");
        }
        // Nobody has the port or the lock: the same start succeeds once nothing is in its way.
        fs::remove_dir_all(folder.path().join(blocked))?;
        let mut command = wireproof(["serve", "--listen", &port, "--data-dir", data]);
        command.kill_on_drop(true);
        Server::launch(command).await?;
    }
    Ok(())
}

/// Bug: `serve … | true` ended with 0 and not a word.
#[tokio::test]
async fn a_server_whose_ready_line_nobody_reads_says_so_and_fails() -> Result<()> {
    let folder = tempdir()?;
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let mut command = serve(folder.path());
    let child = command.stdout(writer).stderr(std::process::Stdio::piped()).spawn()?;
    let output = timeout(WITHIN, child.wait_with_output()).await.context("it serves all the same")??;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1) && said.contains("ready line"), "{:?} {said}", output.status);
    ensure!(!folder.path().join(SOCKET).exists(), "it leaves its socket");
    Ok(())
}

/// Bug: a command that nobody listened to any more stopped in the middle and called it success: `restore` before anything was
/// restored, `doctor` before it had counted its errors, `user add` with a password that nobody has.
#[tokio::test]
async fn a_reader_that_went_away_changes_no_exit_code() -> Result<()> {
    let folder = tempdir()?;
    let data = folder.path().join("data");
    Server::start(&data).await?.kill().await?;
    let backup = folder.path().join("backup");
    let mut command = wireproof(["backup", "--data-dir"]);
    command.arg(&data).arg("--to").arg(&backup);
    ensure!(finish(command).await?.code == Some(0));
    let unread = async |command: &mut Command| -> Result<(Option<i32>, String)> {
        let (reader, writer) = std::io::pipe()?;
        drop(reader);
        let child = command.stdout(writer).stderr(std::process::Stdio::piped()).spawn()?;
        let output = timeout(WITHIN, child.wait_with_output()).await.context("it does not end")??;
        Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    let mut restore = wireproof(["restore", "--force", "--data-dir"]);
    let restored = unread(restore.arg(&data).arg("--from").arg(&backup)).await?;
    ensure!(restored.0 == Some(0), "{}", restored.1);
    ensure!(!data.join("wireproof.restore").exists(), "nothing was restored");
    let mut doctor = wireproof(["doctor", "--data-dir"]);
    let ill =
        unread(doctor.arg(&data).env("WIREPROOF_JWT_SECRET", "changeme changeme changeme changeme")).await?;
    ensure!(ill.0 == Some(1), "{:?} {}", ill.0, ill.1);
    let mut add = wireproof(["user", "add", "eve", "--data-dir"]);
    let added = unread(add.arg(&data)).await?;
    ensure!(added.0 == Some(1) && added.1.contains("user password"), "{:?} {}", added.0, added.1);
    // What was only to be read is no failure.
    let mut token = wireproof(["token", "--user", "ada", "--data-dir"]);
    let signed = unread(token.arg(&data)).await?;
    ensure!(signed == (Some(0), String::new()), "{signed:?}");
    Ok(())
}

/// Bug: an administrator elsewhere could name no certificate of the server's own.
#[tokio::test]
async fn a_server_elsewhere_with_a_certificate_of_its_own_is_asked_with_ca() -> Result<()> {
    let folder = tempdir()?;
    let data = folder.path().join("data");
    let key = rcgen::KeyPair::generate()?;
    let cert = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()])?.self_signed(&key)?;
    let (cert_file, key_file) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    fs::write(&cert_file, cert.pem())?;
    fs::File::create(&key_file)?.write_all(key.serialize_pem().as_bytes())?;
    let mut command = serve(&data);
    command.env("WIREPROOF_TLS_CERT_FILE", &cert_file).env("WIREPROOF_TLS_KEY_FILE", &key_file);
    let server = Server::launch(command).await?;
    let token = token_granting(&data, "root", &["admin:*"]).await?;
    let url = server.url.replace("wss://", "https://").replace("/ws", "");
    let ask = async |ca: bool| {
        let mut command = wireproof(["admin", "connections", "--url", &url]);
        if ca {
            command.arg("--ca").arg(&cert_file);
        }
        command.env("WIREPROOF_TOKEN", &token);
        finish(command).await
    };
    let distrusted = ask(false).await?;
    ensure!(distrusted.code == Some(3) && distrusted.stderr.contains("certificate"), "{}", distrusted.stderr);
    let asked = ask(true).await?;
    ensure!(asked.code == Some(0) && asked.stdout == "0 connections\n", "{}", asked.stderr);
    Ok(())
}
