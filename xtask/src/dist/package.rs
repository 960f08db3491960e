//! The Debian package: files where Debian has them, a user for the service, and settings that an upgrade leaves alone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::files::{Files, copy};
use super::{answer, fresh};
use crate::process;
use crate::workspace::Workspace;

/// After unpacking: the user of the unit. The service is not started: its settings come first.
const AFTER_INSTALLING: &str = r#"#!/bin/sh
set -e
if [ "$1" = configure ]; then
    getent passwd wireproof >/dev/null ||
        useradd --system --user-group --home-dir /var/lib/wireproof --shell /usr/sbin/nologin wireproof
    chown root:wireproof /etc/wireproof/wireproof.toml
    chmod 640 /etc/wireproof/wireproof.toml
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload
        # An upgrade: clients are told to come back, and resume.
        if [ -n "$2" ]; then systemctl try-restart wireproof.service; fi
    fi
fi
"#;

const BEFORE_REMOVING: &str = r#"#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    systemctl disable --now wireproof.service
fi
"#;

/// After removing: what users said in /var/lib/wireproof stays, also with --purge.
const AFTER_REMOVING: &str = r#"#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
"#;

/// Builds the package.
pub(super) fn build(workspace: &Workspace, files: &Files, into: &Path) -> Result<PathBuf> {
    let architecture = answer("dpkg", &["--print-architecture"])?;
    let name = format!("wireproof_{}_{architecture}", files.version);
    let root = fresh(into.join(&name))?;
    lay_out(workspace, files, &root)?;
    write(&root.join("DEBIAN/control"), &control(files, &architecture)?, 0o644)?;
    write(&root.join("DEBIAN/conffiles"), "/etc/wireproof/wireproof.toml\n", 0o644)?;
    write(&root.join("DEBIAN/postinst"), AFTER_INSTALLING, 0o755)?;
    write(&root.join("DEBIAN/prerm"), BEFORE_REMOVING, 0o755)?;
    write(&root.join("DEBIAN/postrm"), AFTER_REMOVING, 0o755)?;
    let package = into.join(format!("{name}.deb"));
    let mut build = Command::new("dpkg-deb");
    build.env("SOURCE_DATE_EPOCH", &files.time).args(["--root-owner-group", "--build"]);
    process::run(build.arg(&root).arg(&package))?;
    Ok(package)
}

fn lay_out(workspace: &Workspace, files: &Files, root: &Path) -> Result<()> {
    let share = root.join("usr/share");
    let given = |name: &str| files.folder.join(name);
    copy(&given("wireproof"), &root.join("usr/bin/wireproof"))?;
    copy(&given("wireproof.example.toml"), &root.join("etc/wireproof/wireproof.toml"))?;
    copy(&given("alerts.yml"), &share.join("doc/wireproof/alerts.yml"))?;
    copy(&given("completions/wireproof.bash"), &share.join("bash-completion/completions/wireproof"))?;
    copy(&given("completions/_wireproof"), &share.join("zsh/vendor-completions/_wireproof"))?;
    copy(&given("completions/wireproof.fish"), &share.join("fish/vendor_completions.d/wireproof.fish"))?;
    // The unit is that of the repository, with the program where a package has it.
    let unit = fs::read_to_string(workspace.root.join("packaging/wireproof.service"))?;
    let unit = unit.lines().skip_while(|line| line.starts_with('#')).collect::<Vec<_>>().join("\n");
    let unit = unit.trim_start().replace("/usr/local/bin/", "/usr/bin/") + "\n";
    write(&root.join("usr/lib/systemd/system/wireproof.service"), &unit, 0o644)?;
    let licenses = ["LICENSE-MIT", "LICENSE-APACHE"].map(|name| fs::read_to_string(given(name)));
    let [mit, apache] = licenses;
    let copyright = format!(
        "wireproof is under the MIT license or the Apache License 2.0, at your choice.\n\n{}\n{}",
        mit?, apache?
    );
    write(&share.join("doc/wireproof/copyright"), &copyright, 0o644)?;
    fs::create_dir_all(share.join("man/man1"))?;
    for page in fs::read_dir(given("man"))? {
        let page = page?;
        let to = share.join("man/man1").join(page.file_name());
        copy(&page.path(), &to)?;
        process::run(Command::new("gzip").args(["--best", "--no-name"]).arg(&to))?;
    }
    copy(&given("CHANGELOG.md"), &share.join("doc/wireproof/changelog"))?;
    process::run(
        Command::new("gzip").args(["--best", "--no-name"]).arg(share.join("doc/wireproof/changelog")),
    )
}

fn control(files: &Files, architecture: &str) -> Result<String> {
    let libc = answer("getconf", &["GNU_LIBC_VERSION"])?;
    // That of the machine that builds: older ones may lack what was linked.
    let libc = libc.strip_prefix("glibc ").context("the C library is none that Debian has")?.to_owned();
    Ok(format!(
        "Package: wireproof\n\
         Version: {}\n\
         Architecture: {architecture}\n\
         Maintainer: wireproof contributors <wireproof@localhost>\n\
         Section: net\n\
         Priority: optional\n\
         Depends: libc6 (>= {libc}), libgcc-s1, passwd\n\
         Recommends: ca-certificates\n\
         Description: WebSocket server for AI agents, and the kit that proves it\n \
         Every event of a user arrives in order, once, at exactly that user's\n \
         connections. One program with an embedded store; a judge for any server.\n",
        files.version
    ))
}

fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
}
