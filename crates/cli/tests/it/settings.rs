//! Where settings come from, and what a server says of those that it cannot use.

use std::{fs, net::TcpListener};

use anyhow::{Context, Result};
use tempfile::tempdir;
use tokio::process::Command;

use crate::process::{Ended, Server, finish, serve, token, wireproof};

#[tokio::test]
async fn flags_win_over_environment_over_file() -> Result<()> {
    let folder = tempdir()?;
    let [flag, environment, file] = ["flag", "environment", "file"].map(|name| folder.path().join(name));
    let settings = folder.path().join("wireproof.toml");
    let lines = ["listen = '127.0.0.1:1'", "data_dir = 'FILE'", "[limits]", "queued_runs = 7"];
    let lines = [&lines[..], &["concurrent_runs = 3", "connections_per_user = 2"]].concat().join("\n");
    fs::write(&settings, lines.replace("FILE", &file.to_string_lossy()))?;

    let mut command = wireproof(["serve", "--listen", "127.0.0.1:0", "--data-dir"]);
    command.arg(&flag).arg("--config").arg(&settings);
    command.env("WIREPROOF_LISTEN", "127.0.0.1:2").env("WIREPROOF_DATA_DIR", &environment);
    command.env("WIREPROOF_LIMITS_QUEUED_RUNS", "9");
    let server = Server::launch(command).await?;
    let (_connection, welcome) = server.connect(&token(&flag, "ada").await?).open_welcomed().await?;
    assert!(flag.join("wireproof.db").exists() && !environment.exists() && !file.exists());
    assert_eq!(welcome.limits.queued_runs, 9, "the environment wins over the file");
    assert_eq!((welcome.limits.concurrent_runs, welcome.limits.connections_per_user), (3, 2));

    let mut command = wireproof(["serve", "--config"]);
    command.arg(&settings).env("WIREPROOF_LISTEN", "127.0.0.1:0").env("WIREPROOF_DATA_DIR", &environment);
    Server::launch(command).await?;
    assert!(environment.join("wireproof.db").exists() && !file.exists());
    Ok(())
}

/// A server that cannot start says nothing on stdout, and on stderr one sentence without a stack of causes.
fn assert_refused(ended: &Ended, code: i32, words: &[&str]) {
    let Ended { code: found, stdout, stderr } = ended;
    assert_eq!(*found, Some(code), "{stderr}");
    assert_eq!(stdout, "", "stdout is for the ready line");
    assert!(stderr.starts_with("error: ") && !stderr.contains("panicked"), "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "{word:?} is missing in: {stderr}");
    }
}

/// Bug: wrong settings ended with exit code 1, that of a failed check, and did not say what to do.
#[tokio::test]
async fn settings_that_cannot_be_used_are_named_with_what_to_do() -> Result<()> {
    let folder = tempdir()?;
    let file = folder.path().join("wireproof.toml");
    for (text, words) in [
        ("nonsense", &["wireproof.toml", "line 1"][..]),
        ("[limits]\nqueud_runs = 7", &["wireproof.toml", "line 2", "queud_runs", "queued_runs"]),
        ("[limits]\nqueued_runs = 'many'", &["wireproof.toml", "line 2", "string, expected"]),
        ("[limits]\nrun_seconds = 0", &["limits.run_seconds", "0.001"]),
        ("listen = 'nowhere'", &["wireproof.toml", "line 1"]),
    ] {
        fs::write(&file, text)?;
        let mut command = serve(folder.path());
        command.arg("--config").arg(&file);
        assert_refused(&finish(command).await?, 2, &[words, &["next: "]].concat());
    }
    fs::remove_file(&file)?;
    let mut command = serve(folder.path());
    command.arg("--config").arg(&file);
    assert_refused(&finish(command).await?, 2, &["wireproof.toml", "No such file", "next: "]);

    for (name, value, words) in [
        (
            "WIREPROOF_LIMITS_QUEUED_RUNS",
            "many",
            &["WIREPROOF_LIMITS_QUEUED_RUNS", "many", "whole number"][..],
        ),
        ("WIREPROOF_JWT_SECRET", "hunter2", &["jwt.secret", "32 bytes"]),
    ] {
        let mut command = serve(folder.path());
        command.env(name, value);
        let ended = finish(command).await?;
        assert_refused(&ended, 2, &[words, &["next: "]].concat());
        assert!(!ended.stderr.contains("hunter2"), "a secret was shown: {}", ended.stderr);
    }
    assert_refused(&finish(wireproof(["serve", "--listen", "nowhere"])).await?, 2, &["nowhere", "--listen"]);
    Ok(())
}

#[tokio::test]
async fn a_port_in_use_is_named_with_what_to_do() -> Result<()> {
    let folder = tempdir()?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let mut command = wireproof(["serve", "--listen", &address, "--data-dir"]);
    command.arg(folder.path());
    let words = ["cannot listen on", &address, "in use", "Give another --listen address"];
    assert_refused(&finish(command).await?, 1, &words);
    Ok(())
}

#[tokio::test]
async fn a_folder_that_is_a_file_and_a_key_that_is_none_are_named() -> Result<()> {
    let folder = tempdir()?;
    let file = folder.path().join("a-file");
    fs::write(&file, "no folder")?;
    assert_refused(&finish(serve(&file)).await?, 1, &["a-file"]);
    assert_eq!(fs::read(&file)?, b"no folder");

    let key = folder.path().join("jwt.key");
    fs::write(&key, "no key")?;
    assert_refused(&finish(serve(folder.path())).await?, 1, &["jwt.key", "is not a key", "move it away"]);
    assert_eq!(fs::read(&key)?, b"no key");
    Ok(())
}

#[tokio::test]
async fn a_second_process_on_a_data_folder_is_refused_and_the_first_goes_on() -> Result<()> {
    let folder = tempdir()?;
    let first = Server::start(folder.path()).await?;
    let words = ["in use by another process", "stop it, or give another --data-dir"];
    assert_refused(&finish(serve(folder.path())).await?, 1, &words);
    first.connect(&token(folder.path(), "ada").await?).open_welcomed().await.context("the first server")?;
    // What a killed process held is free at once.
    first.kill().await?;
    Server::start(folder.path()).await.context("after the first is gone")?;
    Ok(())
}

/// The commands that need a data folder's key read the same settings as the server.
#[tokio::test]
async fn a_token_is_signed_with_the_secret_of_the_settings() -> Result<()> {
    let folder = tempdir()?;
    let secret = "a secret of thirty-two bytes, or more";
    let with_secret = |mut command: Command| {
        command.env("WIREPROOF_JWT_SECRET", secret);
        command
    };
    let server = Server::launch(with_secret(serve(folder.path()))).await?;
    let signed = finish(with_secret(wireproof(["token", "--user", "ada"]))).await?;
    server.connect(signed.stdout.trim_end()).open_welcomed().await?;
    assert!(!folder.path().join("jwt.key").exists(), "no key is made where none is used");
    let other = tempdir()?;
    let refused = server.connect(&token(other.path(), "ada").await?).open_welcomed().await;
    assert!(refused.is_err_and(|error| error.is_refusal()));
    Ok(())
}
