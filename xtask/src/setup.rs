//! Installs what the tests need and the machine lacks. What is there already is left as it is.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process::{run, succeeds};
use crate::workspace::Workspace;

const NEXTEST: &str = "cargo-nextest@0.9.143";
const DENY: &str = "cargo-deny@0.20.2";
const FUZZ: &str = "cargo-fuzz@0.13.2";
/// Clients, judges, the servers that `wireproof check` is shown to judge rightly, and those that are measured beside ours,
/// with the loop and the parser that `uvicorn[standard]` brings.
const PYTHON: [(&str, &str); 11] = [
    ("websockets", "17.4"),
    ("schemathesis", "4.32.5"),
    ("kosoku", "0.1.0"),
    ("fastapi", "0.165.0"),
    ("uvicorn", "0.54.0"),
    ("uvloop", "0.23.0"),
    ("httptools", "0.9.0"),
    ("PyJWT", "2.15.1"),
    ("pydantic-ai-slim", "2.68.0"),
    ("ag-ui-protocol", "1.0.0"),
    ("websocket-client", "1.9.2"),
];
const NODE: [(&str, &str); 2] = [("ws", "8.23.0"), ("socket.io", "4.8.4")];

/// Something a step of the tests cannot do without.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Need {
    Rustfmt,
    Clippy,
    Nextest,
    Deny,
    /// The sources of every dependency, also of those for other platforms: `cargo deny` works offline.
    Sources,
    /// A Python environment with the packages of [`PYTHON`], under the target folder.
    Python,
    /// A `node_modules` with the packages of [`NODE`], under the target folder.
    Node,
    /// A browser, for the test that connects as a page does.
    Chromium,
    /// Prometheus' own judge of what is served under `/metrics`.
    Promtool,
    /// A foreign WebSocket server, which makes an echo of `cat`.
    Websocketd,
    /// A proxy that does TLS, for the test of the snippet for it.
    Nginx,
    /// The same.
    Caddy,
    /// The long runs of the fuzz targets; the tests do without.
    Fuzz,
    /// A Debian in a folder, in which a package is tried.
    Debootstrap,
}

impl Need {
    pub(crate) const ALL: [Need; 12] = [
        Need::Rustfmt,
        Need::Clippy,
        Need::Nextest,
        Need::Deny,
        Need::Sources,
        Need::Python,
        Need::Node,
        Need::Chromium,
        Need::Promtool,
        Need::Websocketd,
        Need::Nginx,
        Need::Caddy,
    ];

    /// What only `fuzz` and `dist` take.
    const RARE: [Need; 2] = [Need::Fuzz, Need::Debootstrap];

    fn is_met(self, workspace: &Workspace) -> bool {
        match self {
            Need::Rustfmt => succeeds(workspace.cargo().args(["fmt", "--version"])),
            Need::Clippy => succeeds(workspace.cargo().args(["clippy", "--version"])),
            Need::Nextest => succeeds(workspace.cargo().args(["nextest", "--version"])),
            Need::Deny => succeeds(workspace.cargo().args(["deny", "--version"])),
            Need::Sources => succeeds(workspace.cargo().args(["fetch", "--offline"])),
            Need::Python => python_is_ready(workspace),
            Need::Node => node_is_ready(workspace),
            Need::Chromium => succeeds(Command::new("chromium").arg("--version")),
            Need::Fuzz => succeeds(workspace.cargo().args(["fuzz", "--version"])) && compiles_cpp(),
            Need::Promtool => succeeds(Command::new("promtool").arg("--version")),
            Need::Websocketd => succeeds(Command::new("websocketd").arg("--version")),
            Need::Nginx => succeeds(Command::new("nginx").arg("-v")),
            Need::Caddy => succeeds(Command::new("caddy").arg("version")),
            Need::Debootstrap => succeeds(Command::new("debootstrap").arg("--version")),
        }
    }

    fn install(self, workspace: &Workspace) -> Result<()> {
        match self {
            Need::Rustfmt => run(Command::new("rustup").args(["component", "add", "rustfmt"])),
            Need::Clippy => run(Command::new("rustup").args(["component", "add", "clippy"])),
            Need::Nextest => run(workspace.cargo().args(["install", "--locked", NEXTEST])),
            // Unoptimised it is built in half the time, and it runs for seconds only.
            Need::Deny => run(workspace.cargo().args(["install", "--locked", "--debug", DENY])),
            Need::Sources => run(workspace.cargo().arg("fetch")),
            Need::Python => install_python(workspace),
            Need::Node => install_node(workspace),
            Need::Chromium => install_packages(&["chromium"]),
            Need::Fuzz => install_fuzz(workspace),
            Need::Promtool => install_packages(&["prometheus"]),
            Need::Websocketd => install_packages(&["websocketd"]),
            Need::Nginx => install_stopped("nginx-light"),
            Need::Caddy => install_stopped("caddy"),
            Need::Debootstrap => install_packages(&["debootstrap"]),
        }
    }
}

/// Packages with the versions that are installed.
pub(crate) fn pinned(packages: &[&str]) -> String {
    let known = PYTHON.iter().chain(&NODE);
    let named: Vec<String> = known
        .filter(|(name, _)| packages.contains(name))
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    named.join(", ")
}

/// Installs those of `needs` that are missing.
pub(crate) fn install(workspace: &Workspace, needs: &[Need]) -> Result<()> {
    for need in Need::ALL.into_iter().chain(Need::RARE).filter(|need| needs.contains(need)) {
        if need.is_met(workspace) {
            continue;
        }
        println!("== setup: {need:?} is missing, installing it");
        need.install(workspace).with_context(|| format!("cannot install {need:?}; tests need it"))?;
        ensure!(need.is_met(workspace), "{need:?} was installed but does not work");
    }
    Ok(())
}

/// A service of Debian as a program alone: it is not started, as nobody asked for it.
fn install_stopped(package: &str) -> Result<()> {
    let policy = Path::new("/usr/sbin/policy-rc.d");
    if policy.exists() || !is_root()? {
        return install_packages(&[package]);
    }
    fs::write(policy, "#!/bin/sh\nexit 101\n").context("cannot keep services from being started")?;
    fs::set_permissions(policy, fs::Permissions::from_mode(0o755))?;
    let installed = install_packages(&[package]);
    fs::remove_file(policy)?;
    installed
}

fn compiles_cpp() -> bool {
    succeeds(Command::new("c++").arg("--version"))
}

fn install_fuzz(workspace: &Workspace) -> Result<()> {
    if !compiles_cpp() {
        install_packages(&["g++"])?;
    }
    if succeeds(workspace.cargo().args(["fuzz", "--version"])) {
        return Ok(());
    }
    run(workspace.cargo().args(["install", "--locked", "--debug", FUZZ]))
}

fn python_is_ready(workspace: &Workspace) -> bool {
    let pinned = PYTHON.map(|(name, version)| format!("assert version('{name}') == '{version}'")).join("; ");
    let check = format!("from importlib.metadata import version; {pinned}");
    succeeds(Command::new(workspace.python()).args(["-c", &check]))
}

fn install_python(workspace: &Workspace) -> Result<()> {
    if !succeeds(Command::new("python3").args(["-c", "import venv, ensurepip"])) {
        install_packages(&["python3", "python3-venv"])?;
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(workspace.python_folder()))?;
    let packages = PYTHON.map(|(name, version)| format!("{name}=={version}"));
    run(Command::new(workspace.python()).args(["-m", "pip", "install", "--quiet"]).args(packages))
}

fn node_is_ready(workspace: &Workspace) -> bool {
    let wrong = NODE.map(|(name, version)| {
        format!("require('./node_modules/{name}/package.json').version !== '{version}'")
    });
    let check = format!("if ({}) process.exit(1)", wrong.join(" || "));
    workspace.node_folder().is_dir()
        && succeeds(Command::new("node").args(["-e", &check]).current_dir(workspace.node_folder()))
}

fn install_node(workspace: &Workspace) -> Result<()> {
    for program in ["node", "npm"] {
        if !succeeds(Command::new(program).arg("--version")) {
            install_packages(&["nodejs", "npm"])?;
        }
    }
    let folder = workspace.node_folder();
    fs::create_dir_all(&folder)?;
    // A package file of its own keeps npm from looking for one in the folders above.
    fs::write(folder.join("package.json"), "{\"private\": true}\n")?;
    let packages = NODE.map(|(name, version)| format!("{name}@{version}"));
    let mut npm = Command::new("npm");
    run(npm.args(["install", "--no-audit", "--no-fund"]).args(packages).current_dir(folder))
}

fn is_root() -> Result<bool> {
    Ok(crate::process::read(Command::new("id").arg("-u"))?.trim() == "0")
}

/// Debian's packages, where this may be done; elsewhere an error that says what to install.
fn install_packages(packages: &[&str]) -> Result<()> {
    ensure!(
        is_root()? && Path::new("/usr/bin/apt-get").exists(),
        "please install {} and run this again",
        packages.join(" and ")
    );
    run(Command::new("apt-get").args(["update", "-qq"]))?;
    run(Command::new("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(packages))
}
