//! Where settings come from, and what a server says of those that it cannot use.

use std::{fs, net::TcpListener};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
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

/// Bug: without authentication it started where any page of the internet, or a proxy, brought others in.
#[tokio::test]
async fn without_authentication_nothing_may_reach_beyond_this_machine() -> Result<()> {
    let folder = tempdir()?;
    for (variable, value, key) in [
        ("WIREPROOF_HTTP_ALLOWED_ORIGINS", "*", "http.allowed_origins"),
        (
            "WIREPROOF_HTTP_ALLOWED_ORIGINS",
            "http://localhost:3000,https://app.example.com",
            "http.allowed_origins",
        ),
        ("WIREPROOF_HTTP_TRUSTED_PROXIES", "127.0.0.1", "http.trusted_proxies"),
    ] {
        let mut command = serve(folder.path());
        command.arg("--insecure-no-auth").env(variable, value);
        assert_refused(&finish(command).await?, 2, &[key, "--insecure-no-auth", "away", "next: "]);
    }
    let mut command = wireproof(["serve", "--insecure-no-auth", "--listen", "0.0.0.0:0", "--data-dir"]);
    command.arg(folder.path());
    assert_refused(&finish(command).await?, 2, &["0.0.0.0:0", "--insecure-no-auth", "127.0.0.1", "next: "]);
    ensure!(fs::read_dir(folder.path())?.next().is_none(), "something was made before the refusal");
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
    fs::remove_file(&file)?;

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

/// What a file says that no server can start with, and a word of what is said about it.
const UNUSABLE: [(&str, &[&str]); 16] = [
    ("[jwt]\nalgorithms = ['hs256']", &["jwt.algorithms", "hs256", "HS256, EdDSA"]),
    ("[jwt]\nalgorithms = []", &["jwt.algorithms"]),
    (
        "[jwt]\ndefault_permissions = ['everything']",
        &["jwt.default_permissions", "everything", "threads:read"],
    ),
    ("[jwt.permission_map]\nread = ['reading']", &["jwt.permission_map", "reading", "threads:read"]),
    ("[jwt]\njwks_url = 'http://issuer.example/keys'", &["jwt.jwks_url", "https"]),
    ("[jwt]\njwks_url = 'HTTPS://issuer.example:99999/keys'", &["jwt.jwks_url", "99999"]),
    ("[jwt]\npublic_key_file = '/nowhere/issuer.pem'", &["/nowhere/issuer.pem"]),
    ("[tls]\ncert_file = '/nowhere/cert.pem'", &["tls.cert_file and tls.key_file"]),
    ("[tls]\ncert_file = '/nowhere/cert.pem'\nkey_file = '/nowhere/key.pem'", &["/nowhere/"]),
    ("[log]\nlevel = 'warning'", &["log.level", "warning", "off, error, warn, info, debug or trace"]),
    ("[log]\nlevel = 'info,hyper'", &["log.level", "hyper"]),
    ("[otel]\nendpoint = '127.0.0.1:4318'", &["otel.endpoint", "http://127.0.0.1:4318"]),
    ("[limits]\nrun_seconds = nan", &["limits.run_seconds", "NaN", "300.0"]),
    ("[metrics]\nallow = ['10.0.0.0/40']", &["metrics.allow", "10.0.0.0/40"]),
    ("[http]\nallowed_origins = ['app.example.com']", &["http.allowed_origins", "https://app.example.com"]),
    ("data_dirr = 'x'", &["data_dirr", "did you mean data_dir?"]),
];

/// The doctor was content with settings that no server starts with, and the server then ended with 1, not with 2.
#[tokio::test]
async fn the_doctor_says_what_the_start_says_and_the_start_ends_with_2() -> Result<()> {
    let folder = tempdir()?;
    let (file, data) = (folder.path().join("wireproof.toml"), folder.path().join("data"));
    for (text, words) in UNUSABLE {
        fs::write(&file, format!("{text}\n"))?;
        let started = wireproof_with("serve", &file, &data, &["--listen", "127.0.0.1:0"]).await?;
        assert_refused(&started, 2, words);
        assert!(!data.join("wireproof.db").exists(), "{text}: a store was made");
        let examined = wireproof_with("doctor", &file, &data, &["--json"]).await?;
        assert_eq!(examined.code, Some(1), "{text}: {}{}", examined.stdout, examined.stderr);
        let findings: Vec<Value> = serde_json::from_str(&examined.stdout)?;
        let said = |finding: &Value| {
            let (what, next) = (finding["what"].as_str(), finding["remedy"].as_str());
            words.iter().all(|word| what.is_some_and(|what| what.contains(word))) && next.is_some()
        };
        assert_eq!(findings.iter().filter(|finding| said(finding)).count(), 1, "{text}: {}", examined.stdout);
    }
    Ok(())
}

async fn wireproof_with(
    name: &str,
    file: &std::path::Path,
    data: &std::path::Path,
    more: &[&str],
) -> Result<Ended> {
    let mut command = wireproof([name, "--config"]);
    command.arg(file).arg("--data-dir").arg(data).args(more).env_remove("WIREPROOF_LOG");
    finish(command).await
}

/// Of several faults in a file only the first was named.
#[tokio::test]
async fn all_faults_of_a_file_are_named_at_once() -> Result<()> {
    let folder = tempdir()?;
    let (file, data) = (folder.path().join("wireproof.toml"), folder.path().join("data"));
    fs::write(
        &file,
        "listen = ':99999'\n[limits]\nqueud_runs = 7\nbody_seconds = -1\n[jwt]\nalgorithms = ['hs256']\n\
         default_permissions = ['everything']\n[tls]\nkey_file = 'key.pem'\n[log]\nlevel = 'warning'\n",
    )?;
    let keys = ["listen", "limits.queud_runs", "limits.body_seconds", "log.level"];
    let started = wireproof_with("serve", &file, &data, &[]).await?;
    assert_refused(&started, 2, &keys);
    let examined = wireproof_with("doctor", &file, &data, &["--json"]).await?;
    let findings: Vec<Value> = serde_json::from_str(&examined.stdout)?;
    for key in keys.into_iter().chain(["jwt.algorithms", "jwt.default_permissions", "tls.cert_file"]) {
        let names = |finding: &&Value| finding["what"].as_str().is_some_and(|what| what.contains(key));
        assert_eq!(findings.iter().filter(names).count(), 1, "{key} in {}", examined.stdout);
    }
    assert_eq!(findings.len(), 7, "{}", examined.stdout);
    fs::write(&file, "[jwt]\nalgorithms = ['hs256']\n[tls]\nkey_file = 'key.pem'\n")?;
    let started = wireproof_with("serve", &file, &data, &["--listen", ":0"]).await?;
    assert_refused(&started, 2, &["jwt.algorithms", "tls.key_file"]);
    Ok(())
}

/// A misspelt variable was passed over in silence, and the server ran without it.
#[tokio::test]
async fn a_misspelt_variable_is_a_warning_at_the_start() -> Result<()> {
    let folder = tempdir()?;
    let log = folder.path().join("log");
    let mut command = serve(&folder.path().join("data"));
    command.env("WIREPROOF_LIMIT_CONNECTIONS", "5").env("WIREPROOF_NOTHING_LIKE_IT", "1");
    command.env("WIREPROOF_TOKEN", "x").env("WIREPROOF_URL", "x");
    command.stderr(fs::File::create(&log)?);
    let server = Server::launch(command).await?;
    server.terminate()?;
    server.ended().await?;
    let log = fs::read_to_string(log)?;
    let warned = |name: &str| log.lines().filter(|line| line.contains(name)).count();
    let meant = "WIREPROOF_LIMIT_CONNECTIONS is no setting and has no effect; did you mean WIREPROOF_LIMITS_CONNECTIONS?";
    assert_eq!((warned(meant), warned("WIREPROOF_NOTHING_LIKE_IT")), (1, 1), "{log}");
    for known in ["WIREPROOF_TOKEN", "WIREPROOF_URL", "WIREPROOF_LOG"] {
        assert_eq!(warned(known), 0, "{log}");
    }
    Ok(())
}

/// `token` in a wrong folder made a new key in silence, whose tokens no server takes.
#[tokio::test]
async fn a_token_of_a_new_key_says_so_on_stderr() -> Result<()> {
    let folder = tempdir()?;
    let command = || {
        let mut command = wireproof(["token", "--user", "ada", "--data-dir"]);
        command.arg(folder.path());
        command
    };
    let first = finish(command()).await?;
    assert!(first.stderr.contains("made a new key") && first.stderr.contains("jwt.key"), "{}", first.stderr);
    assert_eq!(first.stdout.lines().count(), 1, "{}", first.stdout);
    let second = finish(command()).await?;
    assert_eq!((second.code, second.stderr.as_str()), (Some(0), ""));
    let given = finish({
        let mut command = wireproof(["token", "--user", "ada", "--data-dir"]);
        command.arg(folder.path().join("other"));
        command.env("WIREPROOF_JWT_SECRET", "a secret of thirty-two bytes, or more");
        command
    });
    assert_eq!(given.await?.stderr, "");
    Ok(())
}
