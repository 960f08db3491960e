//! `wireproof man`: the help of the commands as manual pages.

use std::{io::Write, path::PathBuf};

use anyhow::Context;
use clap::Args;
use clap_mangen::Man as Page;
use wireproof_server::files;

use crate::{exit::Stop, output::exact};

/// The arguments of `wireproof man`; what it does is said where the commands are listed.
#[derive(Args)]
#[command(after_help = "Examples:
  wireproof man serve | man -l -
  wireproof man --to ./man1

Exit codes: 0 written, 1 failed, 2 there is no such command.")]
pub(crate) struct Man {
    /// The command; the program as a whole when absent.
    #[arg(value_name = "COMMAND", conflicts_with = "to")]
    of: Option<String>,
    /// Write the pages wireproof.1, wireproof-serve.1 and so on here; the folder must be there.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        // Built, a command knows its whole name.
        let mut program = crate::command();
        program.build();
        let Some(folder) = self.to else {
            let of = match &self.of {
                None => &program,
                Some(name) => program
                    .find_subcommand(name)
                    .ok_or_else(|| Stop::Usage(format!("there is no command {name:?}")))?,
            };
            return exact().write_all(&page(of)?).context("writing to stdout");
        };
        for command in std::iter::once(&program).chain(program.get_subcommands()) {
            let page = page(command)?;
            let path = folder.join(format!("{}.1", name(command)));
            files::write(&path, &page).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(())
    }
}

fn page(command: &clap::Command) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    Page::new(command.clone()).title(name(command)).render(&mut text).context("writing a manual page")?;
    Ok(text)
}

/// The name of a page: `wireproof` or `wireproof-serve`.
fn name(command: &clap::Command) -> String {
    command.get_display_name().unwrap_or(command.get_name()).to_owned()
}
