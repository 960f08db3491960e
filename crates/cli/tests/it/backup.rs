//! Backups under load, and what becomes of them: whole logs, a new epoch, and no half of anything after a kill.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rand::RngExt;
use tempfile::{TempDir, tempdir};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use wireproof_client::Connection;
use wireproof_protocol::{ClientFrame, ControlBody, Epoch, Event, Incoming, Position, ResumeReason};

use crate::{
    history::{all_ended, fold, is_kept, until_completed},
    process::{Ended, Server, WITHIN, finish, run, serve, token, wireproof},
};

const USERS: usize = 4;
const ASKS: [&str; 3] =
    ["Count from 1 to 30 fast.", "What is 17*23, and how many words are in this sentence?", "What is 2^200?"];

fn backup_of(data_dir: &Path, to: &Path) -> tokio::process::Command {
    let mut command = wireproof(["backup", "--data-dir"]);
    command.arg(data_dir).arg("--to").arg(to);
    command
}

fn restore_to(data_dir: &Path, from: &Path) -> tokio::process::Command {
    let mut command = wireproof(["restore", "--data-dir"]);
    command.arg(data_dir).arg("--from").arg(from);
    command
}

fn is_fine(ended: &Ended, what: &str) -> Result<()> {
    ensure!(ended.code == Some(0), "{what} ended with {:?}: {}", ended.code, ended.stderr);
    Ok(())
}

fn chat(content: &str) -> ClientFrame {
    ClientFrame::Chat { content: content.to_owned(), thread_id: None, agent: None }
}

/// A user who asks for one run after the other, and what it was told by when.
struct Busy {
    name: String,
    epoch: Epoch,
    events: Vec<(Instant, Event)>,
}

impl Busy {
    async fn work(
        server: &Server,
        data_dir: &Path,
        name: String,
        stop: watch::Receiver<bool>,
    ) -> Result<Self> {
        let token = token(data_dir, &name).await?;
        let (mut connection, welcome) = server.connect(&token).open_welcomed().await?;
        let mut busy = Self { name, epoch: welcome.epoch, events: Vec::new() };
        for ask in ASKS.iter().cycle() {
            connection.send(&chat(ask), None).await?;
            busy.hear_a_run(&mut connection).await?;
            if *stop.borrow() {
                break;
            }
        }
        Ok(busy)
    }

    async fn hear_a_run(&mut self, connection: &mut Connection) -> Result<()> {
        loop {
            match connection.recv(WITHIN).await?.incoming {
                Incoming::Event(event) => {
                    let over = event.body.name() == "agent_completed";
                    self.events.push((Instant::now(), *event));
                    if over {
                        return Ok(());
                    }
                }
                Incoming::Control(control) if matches!(control.body, ControlBody::Error(_)) => {
                    // Too many messages a minute is no matter of backups.
                    bail!("refused: {:?}", control.body)
                }
                _ => {}
            }
        }
    }

    fn known_by(&self, time: Instant) -> Vec<Event> {
        self.events.iter().filter(|(at, _)| *at < time).map(|(_, event)| event.clone()).collect()
    }
}

fn unhurried(data_dir: &Path) -> tokio::process::Command {
    let mut command = serve(data_dir);
    command.env("WIREPROOF_LIMITS_MESSAGES_PER_MINUTE", "0").env("WIREPROOF_DRAIN_SPREAD_SECONDS", "0");
    command
}

/// A client that stands somewhere in the old log comes to the restored one, and is given a snapshot under a new epoch.
/// Returns the whole restored log.
async fn snapshot_then_log(server: &Server, data_dir: &Path, name: &str, old: Epoch) -> Result<Vec<Event>> {
    let token = fresh_token(server, data_dir, name).await?;
    let connect = server.connect(&token).resume(Position { epoch: old, seq: 3 });
    let (mut connection, welcome) = connect.open_welcomed().await?;
    ensure!(welcome.epoch != old && !welcome.resumed, "the epoch is {} and was {old}", welcome.epoch);
    let Incoming::Control(control) = connection.recv(WITHIN).await?.incoming else { bail!("no snapshot") };
    let ControlBody::Snapshot { reason: ResumeReason::EpochChanged, epoch, .. } = control.body else {
        bail!("in place of a snapshot came {:?}", control.body)
    };
    ensure!(epoch == welcome.epoch, "the snapshot is of {epoch}");
    connection.close(1000, "").await?;
    crate::history::read_log(server, &token, welcome.epoch).await
}

/// A token that is younger than the restore: those of the same moment are refused with those before.
async fn fresh_token(server: &Server, data_dir: &Path, name: &str) -> Result<String> {
    let deadline = Instant::now() + WITHIN;
    loop {
        let token = token(data_dir, name).await?;
        match server.connect(&token).open_welcomed().await {
            Ok(_) => return Ok(token),
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_under_load_restore_to_whole_logs_with_all_that_was_told_before() -> Result<()> {
    let folder = tempdir()?;
    let data_dir = folder.path().join("data");
    let server = Server::launch(unhurried(&data_dir)).await?;
    let (stop, stopping) = watch::channel(false);
    let mut backups: Vec<(Instant, PathBuf, Ended)> = Vec::new();
    let cast = {
        let works = (0..USERS)
            .map(|number| Busy::work(&server, &data_dir, format!("user-{number}"), stopping.clone()));
        let taking = async {
            for number in 0..4 {
                sleep(Duration::from_millis(400)).await;
                let to = folder.path().join(format!("backup-{number}"));
                let begun = Instant::now();
                let ended = finish(backup_of(&data_dir, &to)).await?;
                is_fine(&ended, "the backup")?;
                backups.push((begun, to, ended));
            }
            stop.send(true)?;
            anyhow::Ok(())
        };
        let (cast, taken) = tokio::join!(futures_util::future::try_join_all(works), taking);
        taken?;
        cast?
    };
    drop(server);
    let write_ahead = fs::metadata(data_dir.join("wireproof.db-wal")).map_or(0, |found| found.len());
    ensure!(write_ahead < 64 << 20, "the write-ahead log grew to {write_ahead} bytes");
    let mut under_way = 0;
    for (number, (begun, path, ended)) in backups.iter().enumerate() {
        ensure!(ended.stdout.contains(&format!("{USERS} users")), "it says what it holds: {}", ended.stdout);
        under_way += usize::from(!ended.stdout.contains("(0 under way)"));
        let mode = fs::metadata(path)?.permissions().mode() & 0o777;
        ensure!(mode == 0o600, "the backup has mode {mode:o}");
        let restored = folder.path().join(format!("restored-{number}"));
        is_fine(&finish(restore_to(&restored, path)).await?, "the restore")?;
        let server = Server::start(&restored).await?;
        for user in &cast {
            let log = snapshot_then_log(&server, &restored, &user.name, user.epoch).await?;
            let state = fold(&log)?;
            all_ended(&state)?;
            let known = user.known_by(*begun);
            ensure!(!known.is_empty(), "nothing had been told by the time of backup {number}");
            is_kept(&known, &log).with_context(|| format!("backup {number}, {}", user.name))?;
        }
        let (name, epoch) = (&cast[0].name, snapshot_epoch(&server, &restored, &cast[0].name).await?);
        ensure!(epoch != cast[0].epoch, "{name} is in the old number line");
        server.kill().await?;
    }
    ensure!(under_way > 0, "no backup was taken in the middle of a run: it shows nothing of load");
    Ok(())
}

async fn snapshot_epoch(server: &Server, data_dir: &Path, name: &str) -> Result<Epoch> {
    let token = fresh_token(server, data_dir, name).await?;
    Ok(server.connect(&token).open_welcomed().await?.1.epoch)
}

/// A server with a run of one user behind it, and the folder around its own.
async fn used(drain_spread: &str) -> Result<(TempDir, PathBuf, Server, Epoch, Vec<Event>)> {
    let folder = tempdir()?;
    let data_dir = folder.path().join("data");
    let mut command = serve(&data_dir);
    command.env("WIREPROOF_DRAIN_SPREAD_SECONDS", drain_spread);
    let server = Server::launch(command).await?;
    let (epoch, told) = one_run(&server, &data_dir, "What is 17*23?").await?;
    Ok((folder, data_dir, server, epoch, told))
}

async fn one_run(server: &Server, data_dir: &Path, ask: &str) -> Result<(Epoch, Vec<Event>)> {
    let (mut connection, welcome) =
        server.connect(&fresh_token(server, data_dir, "ada").await?).open_welcomed().await?;
    connection.send(&chat(ask), None).await?;
    let told = until_completed(&mut connection).await?;
    connection.close(1000, "").await?;
    Ok((welcome.epoch, told))
}

/// Bug: the server was gone before it had answered the request to restart.
#[tokio::test]
async fn a_restore_into_a_running_server_restarts_it_in_place_and_moves_the_old_store_aside() -> Result<()> {
    let (folder, data_dir, mut server, epoch, told) = used("0").await?;
    let file = folder.path().join("backup");
    is_fine(&finish(backup_of(&data_dir, &file)).await?, "the backup")?;
    let (_, later) = one_run(&server, &data_dir, "What is 2+3?").await?;
    let before = token(&data_dir, "ada").await?;

    let unforced = finish(restore_to(&data_dir, &file)).await?;
    assert_eq!(unforced.code, Some(2), "{}", unforced.stderr);
    assert!(unforced.stderr.contains("--force"), "{}", unforced.stderr);
    let mut forced = restore_to(&data_dir, &file);
    forced.arg("--force");
    let ended = finish(forced).await?;
    is_fine(&ended, "the restore")?;
    let url = server.next_ready().await?;
    assert_eq!(url, server.url, "it comes back at its own address");
    let refused = server.connect(&before).open_welcomed().await;
    assert!(refused.is_err(), "a token from before the restore may be one that was revoked");
    let log = snapshot_then_log(&server, &data_dir, "ada", epoch).await?;
    is_kept(&told, &log)?;
    let gone = later.last().context("a run has an end")?.event_id;
    assert!(log.iter().all(|event| event.event_id != gone), "what came after the cut is gone");
    let aside = fs::read_dir(&data_dir)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("wireproof-before-") && name.ends_with(".db"))
        .count();
    assert_eq!(aside, 1, "the old store is kept");
    one_run(&server, &data_dir, "What is 2+3?").await?;
    server.terminate()?;
    assert_eq!(server.ended().await?.0.code(), Some(0));
    Ok(())
}

/// Bug: only who was in the backup had its tokens revoked; a user who came after it went on with an old one.
#[tokio::test]
async fn tokens_of_who_came_after_the_backup_are_revoked_too() -> Result<()> {
    let (folder, data_dir, mut server, _, _) = used("0").await?;
    let file = folder.path().join("backup");
    is_fine(&finish(backup_of(&data_dir, &file)).await?, "the backup")?;
    let before = token(&data_dir, "eve").await?;
    let (mut eve, _) = server.connect(&before).open_welcomed().await?;
    eve.send(&chat("What is 2+3?"), None).await?;
    until_completed(&mut eve).await?;
    let mut command = restore_to(&data_dir, &file);
    command.arg("--force");
    is_fine(&finish(command).await?, "the restore")?;
    server.next_ready().await?;
    ensure!(
        server.connect(&before).open_welcomed().await.is_err(),
        "a token from before the restore is good"
    );
    Ok(())
}

#[tokio::test]
async fn with_keep_sessions_tokens_stay_good() -> Result<()> {
    let (folder, data_dir, mut server, _, _) = used("0").await?;
    let file = folder.path().join("backup");
    is_fine(&finish(backup_of(&data_dir, &file)).await?, "the backup")?;
    let before = token(&data_dir, "ada").await?;
    let mut command = restore_to(&data_dir, &file);
    command.args(["--force", "--keep-sessions"]);
    is_fine(&finish(command).await?, "the restore")?;
    server.next_ready().await?;
    server.connect(&before).open_welcomed().await?;
    Ok(())
}

/// The way back of docs/operations.md: a program that cannot read the store of a later one takes the backup of before.
#[tokio::test]
async fn a_store_of_a_later_version_gives_way_to_the_backup_of_before() -> Result<()> {
    let (folder, data_dir, server, epoch, told) = used("0").await?;
    let file = folder.path().join("backup");
    is_fine(&finish(backup_of(&data_dir, &file)).await?, "the backup")?;
    server.terminate()?;
    server.ended().await?;
    let store = rusqlite::Connection::open(data_dir.join("wireproof.db"))?;
    store.pragma_update(None, "user_version", 9999)?;
    store.close().map_err(|(_, error)| error)?;
    let refused = finish(serve(&data_dir)).await?;
    ensure!(refused.code == Some(1) && refused.stderr.contains("later version"), "{}", refused.stderr);

    let mut command = restore_to(&data_dir, &file);
    command.arg("--force");
    is_fine(&finish(command).await?, "the restore")?;
    let server = Server::start(&data_dir).await?;
    is_kept(&told, &snapshot_then_log(&server, &data_dir, "ada", epoch).await?)
}

/// Accounts: a restore brings no disabled account and no old password back.
#[tokio::test]
async fn an_account_that_was_disabled_after_the_backup_stays_so() -> Result<()> {
    let (folder, data_dir, server, _, _) = used("0").await?;
    server.kill().await?;
    let user = |arguments: &[&str]| {
        let mut command = wireproof(["user"]);
        command.args(arguments).arg("--data-dir").arg(&data_dir);
        command
    };
    let added = finish(user(&["add", "mallory"])).await?;
    is_fine(&added, "user add")?;
    let file = folder.path().join("backup");
    is_fine(&finish(backup_of(&data_dir, &file)).await?, "the backup")?;
    is_fine(&finish(user(&["disable", "mallory"])).await?, "user disable")?;
    let mut command = restore_to(&data_dir, &file);
    command.arg("--force");
    is_fine(&finish(command).await?, "the restore")?;
    let store = rusqlite::Connection::open(data_dir.join("wireproof.db"))?;
    let disabled: i64 =
        store.query_row("SELECT disabled FROM accounts WHERE user_id = 'mallory'", [], |row| row.get(0))?;
    assert_eq!(disabled, 1);
    Ok(())
}

/// Killed at any moment, a backup leaves no file of its name or a whole one, and the next is not in its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_is_killed_leaves_no_half() -> Result<()> {
    let (folder, data_dir, server, _, _) = used("0").await?;
    let file = folder.path().join("backup");
    let whole = {
        let begun = Instant::now();
        is_fine(&finish(backup_of(&data_dir, &file)).await?, "the backup")?;
        begun.elapsed()
    };
    for _ in 0..12 {
        let _ = fs::remove_file(&file);
        let wait = whole.mul_f64(rand::rng().random_range(0.0..1.2));
        killed_after(backup_of(&data_dir, &file), wait).await?;
        if file.exists() {
            let into = tempdir()?;
            is_fine(&finish(restore_to(into.path(), &file)).await?, "restoring what a killed backup left")?;
        }
        let _ = fs::remove_file(&file);
        is_fine(&finish(backup_of(&data_dir, &file)).await?, "the backup after a killed one")?;
        assert!(!folder.path().join("backup.draft").exists(), "a draft is left");
    }
    server.kill().await
}

/// Killed at any moment, a restore leaves the old store or the new one.
/// Bug: a kill in the middle of what is written into the staged file left a journal, with which no server started.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_is_killed_leaves_the_old_store_or_the_new_one() -> Result<()> {
    let (folder, data_dir, server, epoch, told) = used("0").await?;
    let file = folder.path().join("backup");
    is_fine(&finish(backup_of(&data_dir, &file)).await?, "the backup")?;
    let (_, later) = one_run(&server, &data_dir, "What is 2+3?").await?;
    server.kill().await?;
    let all: Vec<_> = told.iter().chain(&later).cloned().collect();
    let mut came = (0, 0);
    for round in 0..14 {
        let copy = tempdir()?;
        for entry in fs::read_dir(&data_dir)? {
            let entry = entry?;
            // The socket that the killed server left is nothing to copy.
            if entry.file_type()?.is_file() {
                fs::copy(entry.path(), copy.path().join(entry.file_name()))?;
            }
        }
        let mut command = restore_to(copy.path(), &file);
        command.args(["--force", "--keep-sessions"]);
        let most = if round % 2 == 0 { 60 } else { 400 };
        killed_after(command, Duration::from_millis(rand::rng().random_range(0..most))).await?;
        let server = Server::start(copy.path()).await?;
        let now = snapshot_epoch(&server, copy.path(), "ada").await?;
        let token = token(copy.path(), "ada").await?;
        let log = crate::history::read_log(&server, &token, now).await?;
        all_ended(&fold(&log)?)?;
        if now == epoch {
            came.0 += 1;
            is_kept(&all, &log).context("the old store")?;
        } else {
            came.1 += 1;
            is_kept(&told, &log).context("the new store")?;
            // Their deltas may have been merged since.
            let end = |events: &[Event]| events.last().map(|event| event.seq);
            assert_eq!(end(&log), end(&told), "an event from after the cut");
        }
        server.kill().await?;
    }
    eprintln!("{} times the old store, {} times the new one", came.0, came.1);
    Ok(())
}

async fn killed_after(mut command: tokio::process::Command, wait: Duration) -> Result<()> {
    let mut child =
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn()?;
    if timeout(wait, child.wait()).await.is_err() {
        child.kill().await?;
    }
    Ok(())
}

#[tokio::test]
async fn files_that_are_no_sound_backup_are_refused_with_the_reason() -> Result<()> {
    let (folder, data_dir, server, _, _) = used("0").await?;
    let file = folder.path().join("backup");
    is_fine(&finish(backup_of(&data_dir, &file)).await?, "the backup")?;
    server.kill().await?;
    let again = finish(backup_of(&data_dir, &file)).await?;
    assert_eq!(again.code, Some(1), "{}", again.stderr);
    assert!(
        again.stderr.contains("is there already") && again.stderr.contains("--force"),
        "{}",
        again.stderr
    );
    let own = finish(backup_of(&data_dir, &data_dir.join("wireproof.db"))).await?;
    assert_eq!(own.code, Some(1), "{}", own.stderr);

    let good = fs::read(&file)?;
    let mut newer = good.clone();
    newer[60..64].copy_from_slice(&99i32.to_be_bytes());
    let mut other = good.clone();
    other[68..72].copy_from_slice(b"else");
    let bare = fs::read(data_dir.join("wireproof.db"))?;
    let mut cases: Vec<(String, Vec<u8>, &str)> = vec![
        ("empty".into(), Vec::new(), "not a wireproof backup"),
        ("a text".into(), b"hello, world\n".repeat(900), "not a wireproof backup"),
        ("another program's database".into(), other, "not a wireproof backup"),
        ("of a later version".into(), newer, "later version"),
        ("half of it".into(), good[..good.len() / 2].to_vec(), "cut short"),
        ("without its last byte".into(), good[..good.len() - 1].to_vec(), "cut short"),
        ("without its last page".into(), good[..good.len() - 4096].to_vec(), "cut short"),
        ("a bare copy of a store".into(), bare, "bare copy"),
    ];
    for _ in 0..12 {
        let place = rand::rng().random_range(100..good.len() - 4096);
        let mut flipped = good.clone();
        flipped[place] ^= 1 << rand::rng().random_range(0..8);
        cases.push((format!("a bit flipped in byte {place}"), flipped, "damaged"));
    }
    for (what, bytes, words) in cases {
        let bad = folder.path().join("bad");
        fs::write(&bad, bytes)?;
        let into = tempdir()?;
        let ended = finish(restore_to(into.path(), &bad)).await?;
        assert_eq!(ended.code, Some(1), "{what}: {}{}", ended.stdout, ended.stderr);
        assert!(ended.stderr.contains(words) && ended.stderr.contains("bad"), "{what}: {}", ended.stderr);
        assert_eq!(fs::read_dir(into.path())?.count(), 0, "{what}: something is left in the folder");
    }
    let nothing = run(["backup", "--data-dir", "/nonexistent-wireproof", "--to", "never"]).await?;
    assert_eq!(nothing.code, Some(1));
    assert!(nothing.stderr.contains("holds no store"), "{}", nothing.stderr);
    Ok(())
}
