//! Where a password comes from: typed, read, or made up. Never from the command line, which others can see.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use anyhow::{Context, bail};
use wireproof_server::auth::passwords;

use crate::exit::Stop;

/// A password, and whether its owner knows it.
pub(crate) struct Password {
    pub(crate) text: String,
    made_up: bool,
}

impl Password {
    /// The first line of stdin if `stdin`, else what is typed at the terminal, else a random one.
    pub(crate) fn ask(stdin: bool) -> anyhow::Result<Self> {
        let text = match (stdin, io::stdin().is_terminal()) {
            (true, _) => read()?,
            (false, true) => prompt()?,
            (false, false) => return Ok(Self { text: passwords::random(), made_up: true }),
        };
        match passwords::check(&text) {
            Ok(()) => Ok(Self { text, made_up: false }),
            Err(refused) => Err(Stop::Usage(refused.message).into()),
        }
    }

    /// Tells a password that was made up, the only time that anybody can see it.
    pub(crate) fn tell(&self) -> anyhow::Result<()> {
        if !self.made_up {
            return Ok(());
        }
        // A stdout that nobody reads is a failure here: the account stands, and nobody has its password.
        let lost = "nobody could read the password that was made up; set one with `wireproof user password`";
        let mut out = io::stdout();
        writeln!(out, "password: {}", self.text).and_then(|()| out.flush()).context(lost)
    }
}

fn read() -> anyhow::Result<String> {
    let mut line = String::new();
    // Four bytes are the most that a character takes; two for the end of the line.
    let most = passwords::LONGEST as u64 * 4 + 2;
    io::stdin().lock().take(most).read_line(&mut line).context("reading the password from stdin")?;
    let text = line.strip_suffix('\n').unwrap_or(&line);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

fn prompt() -> anyhow::Result<String> {
    let text = rpassword::prompt_password("Password: ").context("reading the password")?;
    if rpassword::prompt_password("Again: ").context("reading the password")? != text {
        bail!(Stop::Usage("the two passwords differ".to_owned()));
    }
    Ok(text)
}
