//! What a person's terminal is spared of, what a program gets exactly, and what happens where nobody can be told.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Read,
    os::unix::ffi::OsStrExt,
    process::Stdio,
};

use anyhow::{Context, Result, ensure};
use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use tempfile::tempdir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    process::Command,
};
use wireproof_judge::{
    proof::synthetic::{Shape, honest},
    record::write_file,
};
use wireproof_protocol::printable;

use crate::process::{Ended, Server, finish, run, serve, token, wireproof};

/// Sets a title, writes to the clipboard, turns text around, and begins a control in one byte: as JSON has them.
const EVIL: &str = r"a\u001b]0;x\u0007b\u001b]52;c;eA==\u001b\\c\u202ed\u009b31me\u007ff\u2028g";

fn evil() -> Result<String> {
    Ok(serde_json::from_str(&format!("\"{EVIL}\""))?)
}

/// Fails on anything that a terminal obeys, but for the colours that the program sets itself.
fn assert_harmless(what: &str, shown: &str) -> Result<()> {
    let mut plain = String::new();
    let mut parts = shown.split("\u{1b}[");
    plain.extend(parts.next());
    for part in parts {
        let colour =
            part.find('m').filter(|end| part[..*end].bytes().all(|b| b.is_ascii_digit() || b == b';'));
        let end = colour.with_context(|| format!("{what}: a control that is no colour in {shown:?}"))?;
        plain.push_str(&part[end + 1..]);
    }
    ensure!(printable(&plain) == plain, "{what}: a terminal obeys something in {plain:?}");
    Ok(())
}

/// With colours on, as in a terminal: nothing is taken out on the way.
async fn coloured(mut command: Command) -> Result<Ended> {
    command.env("CLICOLOR_FORCE", "1");
    finish(command).await
}

/// Titles, messages and names reached the terminal of whoever looked, with the sequences in them.
#[tokio::test]
async fn what_users_say_moves_no_terminal() -> Result<()> {
    let folder = tempdir()?;
    let server = Server::start(folder.path()).await?;
    let user = token(folder.path(), "ada\u{202e}\u{9b}").await.or(token(folder.path(), "ada").await)?;
    let said = format!("What is 6*7? {}", evil()?);
    let mut chat = wireproof(["chat", "--url", &server.url, "--token", &user, &said]);
    chat.env("CLICOLOR_FORCE", "1");
    let ended = finish(chat).await?;
    ensure!(ended.code == Some(0), "{}", ended.stderr);
    ensure!(ended.stdout.contains("\u{1b}["), "no colours, so nothing is shown by it: {}", ended.stdout);
    assert_harmless("chat", &ended.stdout)?;

    // A thread that the client names: controls are refused in a name, signs of direction are not.
    let thread = "t\u{202e}\u{2066}u".to_owned();
    let mut named =
        wireproof(["chat", "--url", &server.url, "--token", &user, "--thread", &thread, "What is 6*7?"]);
    named.env("CLICOLOR_FORCE", "1");
    let ended = finish(named).await?;
    assert_harmless("chat --thread", &format!("{}{}", ended.stdout, ended.stderr))?;

    let (_connection, _) = server.connect(&user).open_welcomed().await?;
    let mut admin = wireproof(["admin", "connections", "--data-dir"]);
    admin.arg(folder.path());
    let listed = coloured(admin).await?;
    ensure!(listed.code == Some(0) && listed.stdout.contains("ada"), "{}{}", listed.stdout, listed.stderr);
    assert_harmless("admin", &listed.stdout)
}

/// `chat --json` lost characters of the frames on their way into a pipe, where colours are taken out.
#[tokio::test]
async fn frames_are_exact_for_programs() -> Result<()> {
    let folder = tempdir()?;
    let server = Server::start(folder.path()).await?;
    let user = token(folder.path(), "ada").await?;
    let said = format!("What is 6*7? {}", evil()?);
    let ended = run(["chat", "--json", "--url", &server.url, "--token", &user, &said]).await?;
    ensure!(ended.code == Some(0), "{}", ended.stderr);
    let frames = ended.stdout.lines().map(serde_json::from_str::<serde_json::Value>);
    let frames = frames.collect::<Result<Vec<_>, _>>()?;
    let message = frames.iter().find(|frame| frame["type"] == "message_created").context("the message")?;
    ensure!(message["content"] == said, "{said:?} became {}", message["content"]);
    ensure!(ended.stdout.contains('\u{7f}') && ended.stdout.contains('\u{202e}'), "{:?}", ended.stdout);
    Ok(())
}

/// A server's refusal was shown as it came, by every command that shows one.
#[tokio::test]
async fn what_a_server_answers_moves_no_terminal() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let at = listener.local_addr()?;
    let body = format!(r#"{{"error_code":"forbidden","message":"{EVIL}","retryable":false}}"#);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            // A client that leaves first is of no interest.
            let _ = stream.read(&mut request).await;
            let head = format!("HTTP/1.1 403 Forbidden\r\ncontent-length: {}\r\n", body.len());
            let _ = stream
                .write_all(format!("{head}content-type: application/json\r\n\r\n{body}").as_bytes())
                .await;
        }
    });
    for arguments in [
        vec!["chat".to_owned(), "--url".to_owned(), format!("ws://{at}"), "hi".to_owned()],
        vec!["load".to_owned(), "--url".to_owned(), format!("ws://{at}"), "-c".to_owned(), "1".to_owned()],
        vec!["admin".to_owned(), "--url".to_owned(), format!("http://{at}"), "connections".to_owned()],
        vec!["check".to_owned(), format!("ws://{at}")],
    ] {
        let mut command = wireproof(&arguments);
        command.env("WIREPROOF_TOKEN", "a.b.c");
        let ended = coloured(command).await?;
        ensure!(matches!(ended.code, Some(3 | 4)), "{arguments:?}: {:?} {}", ended.code, ended.stderr);
        assert_harmless(&format!("{arguments:?}"), &ended.stdout)?;
        assert_harmless(&format!("{arguments:?}"), &ended.stderr)?;
    }
    Ok(())
}

/// A history or a file of settings that somebody else wrote was cited as it stands.
#[tokio::test]
async fn what_stands_in_files_of_others_moves_no_terminal() -> Result<()> {
    let folder = tempdir()?;
    let file = folder.path().join("history.jsonl");
    let (mut header, mut ops) = honest(3, Shape { users: 3, devices: 1, runs: 2, cut_one_in: 8 })?;
    (header.target, header.profile) = (evil()?, evil()?);
    let lost = ops.iter().position(|op| op.ev.as_deref() == Some("agent_thinking")).context("a thought")?;
    ops.remove(lost);
    for op in &mut ops {
        op.text.push_str(&evil()?);
    }
    write_file(&file, &header, &ops)?;
    let mut verify = wireproof(["verify"]);
    verify.arg(&file);
    let ended = coloured(verify).await?;
    ensure!(!ended.stdout.is_empty(), "nothing was judged: {:?} {}", ended.code, ended.stderr);
    assert_harmless("verify", &ended.stdout)?;

    let settings = folder.path().join("wireproof.toml");
    fs::write(&settings, format!("\"{EVIL}\" = 1\n[log]\nlevel = \"{EVIL}\"\n"))?;
    for name in ["doctor", "serve"] {
        let mut command = wireproof([name, "--config"]);
        command.arg(&settings).arg("--data-dir").arg(folder.path().join("data"));
        let ended = coloured(command).await?;
        ensure!(matches!(ended.code, Some(1 | 2)), "{name}: {:?}", ended.code);
        assert_harmless(name, &format!("{}{}", ended.stdout, ended.stderr))?;
    }
    Ok(())
}

/// `2>/dev/full` ended with 101, that of a panic, whatever the command had to say.
#[tokio::test]
async fn where_nobody_can_be_told_the_exit_code_is_still_the_commands_own() -> Result<()> {
    let folder = tempdir()?;
    let data = folder.path().join("data");
    let data = data.to_str().context("a path in UTF-8")?;
    let full = || fs::File::options().write(true).open("/dev/full");
    for (code, arguments) in [
        (0, vec!["token", "--user", "ada", "--data-dir", data]),
        (2, vec!["chat", "--url", "ws://127.0.0.1:99999", "--token", "a.b.c", "hi"]),
        (3, vec!["chat", "--url", "ws://127.0.0.1:1", "--token", "a.b.c", "hi"]),
        (3, vec!["admin", "--data-dir", data, "connections"]),
        (2, vec!["serve", "--nonsense"]),
        (2, vec!["serve", "--insecure-no-auth", "--listen", "0.0.0.0:0", "--data-dir", data]),
        (2, vec!["proxy", "--upstream", "nowhere"]),
        (1, vec!["doctor", "--insecure-no-auth", "--data-dir", "/dev/null"]),
    ] {
        let mut command = wireproof(&arguments);
        command.env("WIREPROOF_LOG", "trace").stderr(full()?).stdout(Stdio::null());
        let status = command.status().await?;
        ensure!(status.code() == Some(code), "{arguments:?}: {status} with a full stderr");
        let closed = "exec \"$@\" 2>&- >&-";
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(closed).arg("sh").arg(env!("CARGO_BIN_EXE_wireproof")).args(&arguments);
        let status = shell.kill_on_drop(true).stdin(Stdio::null()).status().await?;
        ensure!(status.code() == Some(code), "{arguments:?}: {status} with stderr and stdout closed");
    }
    let mut command = serve(&folder.path().join("served"));
    command.env("WIREPROOF_LOG", "trace").stderr(full()?);
    let server = Server::launch(command).await?;
    let ended = run(["chat", "--url", &server.url, "--token", "a.b.c", "hi"]).await?;
    ensure!(ended.code == Some(4), "the server does not answer: {}", ended.stderr);
    server.terminate()?;
    ensure!(server.ended().await?.0.code() == Some(0), "the server did not end well");
    Ok(())
}

/// What a terminal of so many columns gets from a command that writes to it.
async fn in_a_terminal(columns: u16, arguments: &[&str]) -> Result<String> {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    tcsetwinsize(&ours, Winsize { ws_row: 40, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })?;
    let path = ptsname(&ours, Vec::new())?;
    let theirs = File::options().read(true).write(true).open(OsStr::from_bytes(path.to_bytes()))?;
    let mut child = wireproof(arguments).stdout(theirs).env("TERM", "xterm").spawn()?;
    let reading = tokio::task::spawn_blocking(move || {
        let (mut ours, mut shown, mut piece) = (File::from(ours), Vec::new(), [0; 4096]);
        // The last writer that goes away is an error here, and the end of what there is.
        while let Ok(read @ 1..) = ours.read(&mut piece) {
            shown.extend_from_slice(&piece[..read]);
        }
        shown
    });
    let status = tokio::time::timeout(crate::process::WITHIN, child.wait()).await??;
    ensure!(status.success(), "{arguments:?} ended with {status}");
    Ok(String::from_utf8(reading.await?)?.replace('\r', ""))
}

/// Lines of 127 columns came to terminals of 80, and broke in the middle of words.
#[tokio::test]
async fn the_demo_fits_its_terminal() -> Result<()> {
    for columns in [60, 80, 120] {
        let shown = in_a_terminal(columns, &["demo"]).await?;
        let plain = anstream::adapter::strip_str(&shown).to_string();
        ensure!(plain.len() < shown.len(), "no colours, so it is no terminal: {shown}");
        let widest = plain.lines().max_by_key(|line| line.chars().count()).context("nothing was shown")?;
        ensure!(widest.chars().count() <= usize::from(columns), "wider than {columns}: {widest}");
        ensure!(plain.contains("Nothing lost, nothing twice"), "{plain}");
    }
    Ok(())
}
