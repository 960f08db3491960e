//! Starting other programs: run, ask, read, and copy what they print while reading it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, ensure};

/// The command as one would type it: the program without its folder, then the arguments.
pub(crate) fn line(command: &Command) -> String {
    let program = command.get_program();
    let program = Path::new(program).file_name().unwrap_or(program);
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Runs it with this terminal; an exit code other than 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| cannot_start(command))?;
    ensure!(status.success(), "`{}` ended with {status}", line(command));
    Ok(())
}

/// Whether it can be started and ends with 0. Prints nothing.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// Runs it and returns what it wrote to stdout; stderr goes to this terminal.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output().with_context(|| cannot_start(command))?;
    ensure!(output.status.success(), "`{}` ended with {}", line(command), output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What a command printed, on both streams, and whether it ended with 0.
pub(crate) struct Copied {
    pub(crate) text: String,
    pub(crate) outcome: Result<()>,
}

/// Runs it, showing its lines as they come and keeping them.
pub(crate) fn run_and_copy(command: &mut Command) -> Result<Copied> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| cannot_start(command))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let text = thread::scope(|scope| {
        let stdout = scope.spawn(|| stdout.map(|from| copy_lines(from, io::stdout())));
        let stderr = stderr.map(|from| copy_lines(from, io::stderr())).transpose()?;
        let stdout = stdout.join().unwrap_or_default().transpose()?;
        io::Result::Ok(stderr.unwrap_or_default() + &stdout.unwrap_or_default())
    })?;
    let status = child.wait()?;
    let outcome = if status.success() {
        Ok(())
    } else {
        Err(anyhow::anyhow!("`{}` ended with {status}", line(command)))
    };
    Ok(Copied { text, outcome })
}

fn copy_lines(from: impl Read, mut to: impl Write) -> io::Result<String> {
    let (mut from, mut text, mut line) = (BufReader::new(from), String::new(), Vec::new());
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        to.flush()?;
        text.push_str(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok(text)
}

fn cannot_start(command: &Command) -> String {
    format!("cannot start `{}`", line(command))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_streams_and_the_outcome_are_kept() {
        let copied = run_and_copy(&mut shell("echo out; echo err >&2; exit 3")).unwrap();
        assert!(copied.text.contains("out\n") && copied.text.contains("err\n"));
        assert!(copied.outcome.unwrap_err().to_string().contains("exit status: 3"));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run(&mut Command::new("no-such-program")).unwrap_err();
        assert!(format!("{error:#}").contains("no-such-program"));
        assert!(!succeeds(&mut Command::new("no-such-program")));
    }
}
