//! `wireproof completions`: a script for a shell that completes the commands and flags of this program.

use std::io::Write;

use anyhow::Context;
use clap::Args;
use clap_complete::{Shell, generate};

use crate::output::exact;

/// The arguments of `wireproof completions`; what it does is said where the commands are listed.
#[derive(Args)]
#[command(after_help = "Examples:
  wireproof completions bash > ~/.local/share/bash-completion/completions/wireproof
  wireproof completions fish > ~/.config/fish/completions/wireproof.fish

Exit codes: 0 printed, 1 failed, 2 there is no such shell.")]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let mut script = Vec::new();
        generate(self.shell, &mut crate::command(), "wireproof", &mut script);
        exact().write_all(&script).context("writing to stdout")
    }
}
