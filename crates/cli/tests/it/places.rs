//! Where commands write: never through another user's link, never into another's file, never in the place of what is no
//! file; and whole or not at all.

use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use tempfile::{TempDir, tempdir};

use crate::process::{Ended, Server, as_a_stranger, finish, wireproof};

/// A store that nobody has open, and a folder like `/tmp` that everybody may write in.
struct Stage {
    _folder: TempDir,
    data: PathBuf,
    shared: PathBuf,
}

impl Stage {
    async fn build() -> Result<Self> {
        let folder = tempdir()?;
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        let (data, shared) = (folder.path().join("data"), folder.path().join("shared"));
        Server::start(&data).await?.kill().await?;
        fs::create_dir(&shared)?;
        fs::set_permissions(&shared, Permissions::from_mode(0o1777))?;
        Ok(Self { _folder: folder, data, shared })
    }

    async fn backup(&self, to: &Path, force: bool) -> Result<Ended> {
        let mut command = wireproof(["backup", "--data-dir"]);
        command.arg(&self.data).arg("--to").arg(to).args(force.then_some("--force"));
        finish(command).await
    }
}

/// A backup that can be restored, which only its owner reads.
async fn is_a_backup(path: &Path) -> Result<()> {
    let found = fs::symlink_metadata(path).with_context(|| path.display().to_string())?;
    ensure!(found.is_file() && found.mode() & 0o777 == 0o600, "mode {:o}", found.mode());
    ensure!(found.uid() == rustix::process::geteuid().as_raw(), "it belongs to {}", found.uid());
    let into = tempdir()?;
    let mut command = wireproof(["restore", "--from"]);
    command.arg(path).arg("--data-dir").arg(into.path());
    let restored = finish(command).await?;
    ensure!(restored.code == Some(0), "{}", restored.stderr);
    Ok(())
}

/// Bug: a link or a file that was planted at the name of the draft was followed, and given everybody's messages.
#[tokio::test]
async fn what_is_planted_where_a_backup_is_written_gets_nothing() -> Result<()> {
    let stage = Stage::build().await?;
    let victim = stage.shared.join("victim");
    fs::write(&victim, "precious")?;
    let plant = r#"cd "$1" && ln -s victim b.db.draft && echo mine > c.db.draft && echo mine > d.db && ln -s victim e.db
mkdir f.db && mkfifo g.db && echo mine > .wireproof-0123456789abcdef.draft"#;
    let planted = as_a_stranger(plant, &stage.shared).await?;
    ensure!(planted.code == Some(0), "{}", planted.stderr);
    for name in ["b.db", "c.db"] {
        let to = stage.shared.join(name);
        let taken = stage.backup(&to, false).await?;
        ensure!(taken.code == Some(0), "{name}: {}", taken.stderr);
        is_a_backup(&to).await?;
    }
    for (name, words) in
        [("e.db", "belongs to another user"), ("f.db", "is a directory"), ("g.db", "is a pipe")]
    {
        for force in [false, true] {
            let refused = stage.backup(&stage.shared.join(name), force).await?;
            ensure!(refused.code == Some(1) && refused.stderr.contains(words), "{name}: {}", refused.stderr);
        }
    }
    // A file of another's is not written into: it keeps what it says, or its name is given to a new one.
    let before = fs::File::open(stage.shared.join("d.db"))?;
    ensure!(stage.backup(&stage.shared.join("d.db"), false).await?.code == Some(1));
    let forced = stage.backup(&stage.shared.join("d.db"), true).await?;
    ensure!(before.metadata()?.len() == 5, "the planted file was written");
    if forced.code == Some(0) {
        is_a_backup(&stage.shared.join("d.db")).await?;
    }
    ensure!(fs::read_to_string(&victim)? == "precious", "the link's target was overwritten");
    ensure!(fs::read_to_string(stage.shared.join("c.db.draft"))? == "mine\n");
    ensure!(stage.shared.join(".wireproof-0123456789abcdef.draft").exists(), "another's file was removed");
    Ok(())
}

/// Bug: `backup --to FIFO --force` put a file in the place of a pipe.
#[tokio::test]
async fn what_is_no_regular_file_is_refused_and_left() -> Result<()> {
    let stage = Stage::build().await?;
    let folder = tempdir()?;
    let (pipe, socket, directory) =
        (folder.path().join("pipe"), folder.path().join("socket"), folder.path().join("directory"));
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)?;
    let _listener = UnixListener::bind(&socket)?;
    fs::create_dir(&directory)?;
    let (to_pipe, to_device) = (folder.path().join("to-pipe"), folder.path().join("to-device"));
    symlink(&pipe, &to_pipe)?;
    symlink("/dev/null", &to_device)?;
    let all = [&pipe, &socket, &directory, &to_pipe, &to_device, &PathBuf::from("/dev/null")];
    for place in all {
        for force in [false, true] {
            let refused = stage.backup(place, force).await?;
            let place = place.display();
            ensure!(refused.code == Some(1), "{place}: {:?} {}", refused.code, refused.stderr);
            ensure!(refused.stderr.contains("no regular file"), "{place}: {}", refused.stderr);
        }
    }
    ensure!(fs::metadata(&pipe)?.file_type().is_fifo() && fs::metadata(&socket)?.file_type().is_socket());
    ensure!(fs::metadata("/dev/null")?.file_type().is_char_device(), "/dev/null is gone");
    ensure!(fs::read_dir(folder.path())?.count() == 5, "a draft is left");
    // Nor is a backup read from one: it would wait for ever.
    let into = tempdir()?;
    let mut command = wireproof(["restore", "--from"]);
    command.arg(&pipe).arg("--data-dir").arg(into.path());
    let refused = finish(command).await?;
    ensure!(
        refused.code == Some(1) && refused.stderr.contains("not a wireproof backup"),
        "{}",
        refused.stderr
    );
    Ok(())
}

/// Bug: a link was replaced by the backup in place of being followed.
#[tokio::test]
async fn a_link_of_ones_own_is_followed() -> Result<()> {
    let stage = Stage::build().await?;
    let (here, there) = (tempdir()?, tempdir()?);
    let (link, target) = (here.path().join("latest"), there.path().join("backup-1"));
    symlink(&target, &link)?;
    symlink("latest", here.path().join("relative"))?;
    let place = here.path().join("relative");
    let first = stage.backup(&place, false).await?;
    ensure!(first.code == Some(0), "{}", first.stderr);
    is_a_backup(&target).await?;
    let again = stage.backup(&place, false).await?;
    ensure!(again.code == Some(1) && again.stderr.contains("is there already"), "{}", again.stderr);
    let forced = stage.backup(&place, true).await?;
    ensure!(forced.code == Some(0), "{}", forced.stderr);
    is_a_backup(&target).await?;
    ensure!(fs::symlink_metadata(&link)?.is_symlink() && fs::symlink_metadata(&place)?.is_symlink());
    // The store's own places stay its own, by whatever way.
    symlink(stage.data.join("jwt.key"), here.path().join("key"))?;
    symlink(here.path().join("loop"), here.path().join("loop"))?;
    for (name, words) in [("key", "place of the store itself"), ("loop", "link to itself")] {
        let refused = stage.backup(&here.path().join(name), true).await?;
        ensure!(refused.code == Some(1) && refused.stderr.contains(words), "{name}: {}", refused.stderr);
    }
    Ok(())
}

/// In a folder where everybody may rename what is another's, no name is safe.
#[tokio::test]
async fn a_folder_that_everybody_may_change_is_refused() -> Result<()> {
    let stage = Stage::build().await?;
    fs::set_permissions(&stage.shared, Permissions::from_mode(0o777))?;
    let refused = stage.backup(&stage.shared.join("b.db"), false).await?;
    ensure!(refused.code == Some(1) && refused.stderr.contains("every user"), "{}", refused.stderr);
    ensure!(fs::read_dir(&stage.shared)?.count() == 0);
    Ok(())
}

/// What a killed backup left takes room for no longer than until the next one in its folder.
#[tokio::test]
async fn drafts_of_killed_backups_are_swept_away() -> Result<()> {
    let stage = Stage::build().await?;
    let folder = tempdir()?;
    let (dead, alive) = (
        folder.path().join(".wireproof-00000000000000aa.draft"),
        folder.path().join(".wireproof-00000000000000bb.draft"),
    );
    fs::write(&dead, "half")?;
    fs::write(&alive, "half")?;
    let held = fs::File::open(&alive)?;
    held.try_lock()?;
    ensure!(stage.backup(&folder.path().join("b.db"), false).await?.code == Some(0));
    ensure!(!dead.exists(), "a dead draft is left");
    ensure!(alive.exists(), "a draft was taken from under who writes it");
    Ok(())
}

/// Bug: reports, histories and journals were written through whatever link stood at their place.
#[tokio::test]
async fn reports_go_through_nobody_elses_link() -> Result<()> {
    let stage = Stage::build().await?;
    let victim = stage.shared.join("victim");
    fs::write(&victim, "precious")?;
    let planted =
        as_a_stranger(r#"cd "$1" && ln -s victim report && echo mine > other"#, &stage.shared).await?;
    ensure!(planted.code == Some(0), "{}", planted.stderr);
    let (link, other) = (stage.shared.join("report"), stage.shared.join("other"));
    let check = ["check", "--embedded", "--only", "health"];
    for flag in ["--json", "--junit", "--html", "--record"] {
        let mut command = wireproof(check);
        command.arg(flag).arg(&link);
        let refused = finish(command).await?;
        ensure!(refused.code == Some(1), "{flag}: {:?} {}", refused.code, refused.stderr);
        ensure!(refused.stderr.contains("belongs to another user"), "{flag}: {}", refused.stderr);
    }
    let mut load = wireproof(["load", "-c", "1", "-d", "1s", "--record"]);
    let refused = finish({
        load.arg(&link);
        load
    });
    let refused = refused.await?;
    ensure!(
        refused.code == Some(2) && refused.stderr.contains("belongs to another user"),
        "{}",
        refused.stderr
    );
    for place in [&link, &other] {
        let mut proxy = wireproof(["proxy", "--upstream", "127.0.0.1:1", "--journal"]);
        proxy.arg(place);
        let refused = finish(proxy).await?;
        ensure!(refused.code == Some(1), "{:?} {}", refused.code, refused.stderr);
        ensure!(refused.stderr.contains("another user"), "{}", refused.stderr);
    }
    ensure!(fs::read_to_string(&victim)? == "precious" && fs::read_to_string(&other)? == "mine\n");

    // One's own links, pipes and devices take a report as ever.
    let folder = tempdir()?;
    symlink("there.xml", folder.path().join("link"))?;
    let mut command = wireproof(check);
    command.arg("--junit").arg(folder.path().join("link")).args(["--html", "/dev/null"]);
    let written = finish(command).await?;
    ensure!(written.code == Some(0), "{}", written.stderr);
    ensure!(fs::read_to_string(folder.path().join("there.xml"))?.contains("<testsuite"));
    ensure!(fs::metadata("/dev/null")?.file_type().is_char_device(), "/dev/null is gone");
    Ok(())
}

/// Bug: every path below `/dev` was taken for a device: in `/dev/shm` reports and journals went through another's link,
/// and a report that was there was written over in place of being replaced whole.
#[tokio::test]
async fn a_file_in_dev_shm_is_a_file() -> Result<()> {
    let folder = tempfile::tempdir_in("/dev/shm")?;
    let shared = folder.path();
    fs::set_permissions(shared, Permissions::from_mode(0o1777))?;
    fs::write(shared.join("victim"), "precious")?;
    let planted = as_a_stranger(
        r#"cd "$1" && ln -s victim report && ln -s /dev/null hole && echo mine > other"#,
        shared,
    )
    .await?;
    ensure!(planted.code == Some(0), "{}", planted.stderr);
    let report = async |to: &Path| {
        let mut command = wireproof(["check", "--embedded", "--only", "health", "--junit"]);
        command.arg(to);
        finish(command).await
    };
    for name in ["report", "hole"] {
        let place = shared.join(name);
        let mut proxy = wireproof(["proxy", "--upstream", "127.0.0.1:1", "--journal"]);
        proxy.arg(&place);
        for refused in [report(&place).await?, finish(proxy).await?] {
            ensure!(refused.code == Some(1), "{name}: {:?} {}", refused.code, refused.stderr);
            ensure!(refused.stderr.contains("belongs to another user"), "{name}: {}", refused.stderr);
        }
    }
    ensure!(fs::read_to_string(shared.join("victim"))? == "precious");

    let (mine, before) = (shared.join("mine"), shared.join("before"));
    fs::write(&mine, "an earlier report")?;
    fs::hard_link(&mine, &before)?;
    let written = report(&mine).await?;
    ensure!(written.code == Some(0), "{}", written.stderr);
    ensure!(fs::read_to_string(&mine)?.contains("<testsuite"));
    ensure!(fs::read_to_string(&before)? == "an earlier report", "it was written over");

    // What the process has open takes a report, also where that is a file.
    let mut command = tokio::process::Command::new("sh");
    let run = r#""$0" check --embedded --only health --junit /dev/fd/3 3>"$1""#;
    command.args(["-c", run, env!("CARGO_BIN_EXE_wireproof")]).arg(shared.join("open"));
    let written = finish(command).await?;
    ensure!(written.code == Some(0), "{}", written.stderr);
    ensure!(fs::read_to_string(shared.join("open"))?.contains("<testsuite"));
    Ok(())
}
