//! What was built, tried in a Debian that has nothing else: unpacked, installed, run as its own user, and removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{answer, fresh, prepare};
use crate::process;
use crate::workspace::Workspace;

/// A server as the unit starts it, a conversation with it, and its end; in the Debian, as the user of the unit.
const CONVERSATION: &str = r#"
set -eu
data=/var/lib/wireproof
serve="wireproof serve --config /etc/wireproof/wireproof.toml --data-dir $data --listen 127.0.0.1:0"
$serve >/tmp/ready 2>/tmp/log &
server=$!
trap 'kill "$server" 2>/dev/null || true' EXIT
for _ in $(seq 300); do
    if grep -qs '^ready ' /tmp/ready; then break; fi
    kill -0 "$server" || { cat /tmp/log; exit 1; }
    sleep 0.1
done
url=$(sed -n 's/^ready //p' /tmp/ready)
TOKEN=$(wireproof token --user ada --data-dir "$data")
wireproof chat --url "$url" --token "$TOKEN" "What is 17*23?" | grep -q '17\*23 = 391'
wireproof admin connections --data-dir "$data" >/dev/null
wireproof backup --data-dir "$data" --to "$data/backup.db"
kill -TERM "$server"
wait "$server"
"#;

/// Tries the archive and the package.
pub(super) fn run(workspace: &Workspace, archive: &Path, package: &Path) -> Result<()> {
    prepare(workspace)?;
    let debian = Debian::make(workspace)?;
    debian.copy_in(archive)?;
    debian.copy_in(package)?;
    let (archive, package) = (name(archive)?, name(package)?);

    println!("== the archive");
    let folder = archive.strip_suffix(".tar.gz").context("an archive")?;
    debian.sh(&format!(
        "cd /tmp && tar -xzf {archive} && cd {folder} && ./wireproof --version && ./wireproof demo"
    ))?;

    println!("== the package");
    debian.sh(&format!("dpkg --install /tmp/{package} && wireproof --version"))?;
    println!("== the unit, before systemd's own judge");
    debian.sh("systemd-analyze verify --man=no wireproof.service")?;
    debian.sh("test -e /usr/share/man/man1/wireproof-serve.1.gz && bash -n /usr/share/bash-completion/completions/wireproof")?;
    debian.sh("install -d -m 700 -o wireproof -g wireproof /var/lib/wireproof")?;
    fs::write(debian.root.join("tmp/conversation"), CONVERSATION)?;
    debian.sh("setpriv --reuid wireproof --regid wireproof --clear-groups sh /tmp/conversation")?;
    // Settings that were changed outlive an upgrade, and the data a removal.
    debian.sh(&format!(
        "echo '# changed' >>/etc/wireproof/wireproof.toml && dpkg --install /tmp/{package} && \
         grep -q '# changed' /etc/wireproof/wireproof.toml && dpkg --purge wireproof && \
         test ! -e /usr/bin/wireproof && test -e /var/lib/wireproof/wireproof.db"
    ))?;
    println!("== both work in a Debian with nothing else");
    Ok(())
}

fn name(file: &Path) -> Result<String> {
    Ok(file.file_name().context("a file")?.to_string_lossy().into_owned())
}

/// A Debian of the release of this machine, in a folder.
struct Debian {
    root: PathBuf,
}

impl Debian {
    /// A fresh copy of one that is made once.
    fn make(workspace: &Workspace) -> Result<Self> {
        let release = answer("sh", &["-c", ". /etc/os-release && echo $VERSION_CODENAME"])?;
        let pristine = workspace.target.join(format!("debian-{release}"));
        if !pristine.join("etc/debian_version").exists() {
            let half = fresh(workspace.target.join("debian-half"))?;
            process::run(
                Command::new("debootstrap")
                    .args(["--variant=minbase", "--include=systemd", &release])
                    .arg(&half),
            )?;
            fs::rename(half, &pristine)?;
        }
        let root = workspace.target.join("debian-trial");
        if root.exists() {
            fs::remove_dir_all(&root)?;
        }
        process::run(Command::new("cp").arg("-a").arg(&pristine).arg(&root))?;
        Ok(Self { root })
    }

    fn copy_in(&self, file: &Path) -> Result<()> {
        super::files::copy(file, &self.root.join("tmp").join(name(file)?))
    }

    /// Runs a shell script there.
    fn sh(&self, script: &str) -> Result<()> {
        let mut chroot = Command::new("chroot");
        chroot.arg(&self.root).args(["sh", "-euc", script]).env_clear();
        process::run(chroot.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/root"))
    }
}
