//! Installs what the tests need on a Debian machine: BitTorrent clients, a browser, reverse proxies,
//! database servers, valgrind and a compiler for libFuzzer.
//!
//! What is already there is left alone, so a second run costs a few process starts. Other systems
//! get a list of what is missing and install it by their own means.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::shell;

/// Programs that the tests start, with the Debian package that brings each.
const PROGRAMS: &[(&str, &str)] = &[
    ("aria2c", "aria2"),
    ("transmission-cli", "transmission-cli"),
    ("chromium", "chromium"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
    ("sha1sum", "coreutils"),
    ("g++", "g++"),
    ("valgrind", "valgrind"),
    ("python3", "python3"),
    ("curl", "curl"),
    ("openssl", "openssl"),
    ("nginx", "nginx"),
    ("haproxy", "haproxy"),
    ("caddy", "caddy"),
    ("setpriv", "util-linux"),
    ("ps", "procps"),
    ("psql", "postgresql-client"),
    ("mariadb", "mariadb-client"),
    ("mariadbd", "mariadb-server"),
];

/// Where Debian keeps PostgreSQL, a folder for each version: its server is in no path.
const POSTGRESQL: &str = "/usr/lib/postgresql";

/// Debian's own Python: its `venv` module comes from a Debian package, other Pythons' does not.
const PYTHON: &str = "/usr/bin/python3";

/// What pip is asked for; older releases have no wheels for current Pythons.
const LIBTORRENT: &str = "libtorrent>=2.0.11,<3";

/// What tests the description of the API; pinned, since a newer release may find more.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";

/// The folder that says which packages of npm are needed; `npm install --package-lock-only` there
/// renews the lock. Of node-datachannel an older release would be taken, which fetches its binary
/// from elsewhere.
const NPM: &str = "crates/tracker/tests/clients/npm";
const NPM_LOCK: &str = "package-lock.json";

/// Brings the machine to the state in which every test can run.
pub(crate) fn run() -> Result<()> {
    components()?;
    let mut missing: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| !is_on_path(program))
        .map(|&(_, package)| package)
        .collect();
    if !shell::succeeds(shell::program(PYTHON).args(["-c", "import ensurepip"])) {
        missing.push("python3-venv");
    }
    if !has_postgresql() {
        missing.push("postgresql");
    }
    packages(&missing)?;
    libtorrent()?;
    schemathesis()?;
    webtorrent()
}

/// Adds formatter and linter where rustup was told to install the least.
fn components() -> Result<()> {
    let there = shell::succeeds(shell::cargo().args(["fmt", "--version"]))
        && shell::succeeds(shell::cargo().args(["clippy", "--version"]));
    if there {
        return Ok(());
    }
    shell::run(shell::program("rustup").args(["component", "add", "rustfmt", "clippy"]))
}

/// Installs Debian packages, through sudo where that is needed.
fn packages(missing: &[&str]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    if !is_on_path("apt-get") {
        bail!("the tests need these Debian packages or their like: {}", missing.join(" "));
    }
    shell::run(apt()?.args(["update", "-qq"]))?;
    let install = ["install", "-qq", "-y", "--no-install-recommends"];
    shell::run(apt()?.args(install).args(missing))
}

/// `apt-get` with the rights to install and without questions.
fn apt() -> Result<Command> {
    let user = shell::output(shell::program("id").arg("-u"))?;
    let mut command = shell::program(if user.trim() == "0" { "env" } else { "sudo" });
    if user.trim() != "0" {
        command.arg("env");
    }
    // Packages of servers would start them; the tests start their own.
    command.args(["DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get"]);
    Ok(command)
}

/// Puts libtorrent for Python into a virtual environment below the target directory.
fn libtorrent() -> Result<()> {
    let venv = shell::target().join("python");
    if imports_libtorrent(&venv) {
        return Ok(());
    }
    shell::run(shell::program(PYTHON).args(["-m", "venv", "--clear"]).arg(&venv))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    let from_pypi = shell::run(shell::program(python(&venv)).args(pip).arg(LIBTORRENT));
    if from_pypi.is_ok() && imports_libtorrent(&venv) {
        return Ok(());
    }
    eprintln!("no wheel of libtorrent for this Python; taking Debian's package");
    packages(&["python3-libtorrent"])?;
    let shared = ["-m", "venv", "--clear", "--system-site-packages"];
    shell::run(shell::program(PYTHON).args(shared).arg(&venv))?;
    shell::run(shell::program(python(&venv)).args(["-c", "import libtorrent"]))
        .context("libtorrent came neither from PyPI nor from Debian")
}

fn imports_libtorrent(venv: &Path) -> bool {
    shell::succeeds(shell::program(python(venv)).args(["-c", "import libtorrent"]))
}

/// Puts schemathesis into a virtual environment of its own below the target directory.
fn schemathesis() -> Result<()> {
    let venv = shell::target().join("schemathesis");
    // Written when all is there.
    let done = venv.join("installed");
    if fs::read_to_string(&done).is_ok_and(|installed| installed == SCHEMATHESIS) {
        return Ok(());
    }
    shell::run(shell::program(PYTHON).args(["-m", "venv", "--clear"]).arg(&venv))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    shell::run(shell::program(python(&venv)).args(pip).arg(SCHEMATHESIS))?;
    fs::write(done, SCHEMATHESIS).context("note what pip installed")
}

fn python(venv: &Path) -> PathBuf {
    venv.join("bin/python")
}

/// Puts webtorrent and what it needs below the target directory, exactly as locked.
///
/// Scripts of the packages do not run: they would fetch programs from elsewhere, and every package
/// that is needed brings its own.
fn webtorrent() -> Result<()> {
    let home = shell::target().join("npm");
    let locked = fs::read_to_string(shell::root().join(NPM).join(NPM_LOCK))?;
    // Written when all is there.
    let done = home.join("installed.json");
    if fs::read_to_string(&done).is_ok_and(|installed| installed == locked) {
        return Ok(());
    }
    fs::create_dir_all(&home)?;
    for file in ["package.json", NPM_LOCK] {
        fs::copy(shell::root().join(NPM).join(file), home.join(file))
            .with_context(|| format!("copy {NPM}/{file}"))?;
    }
    let flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    shell::run(shell::program("npm").arg("ci").args(flags).current_dir(&home))?;
    fs::write(done, locked).context("note what npm installed")
}

/// Whether a version of PostgreSQL is there with its server.
fn has_postgresql() -> bool {
    let versions = fs::read_dir(POSTGRESQL).into_iter().flatten().flatten();
    versions.into_iter().any(|version| version.path().join("bin/postgres").is_file())
}

/// Whether a program is found; Debian users have no `sbin` in their path, yet it is there.
fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| folder.join(program).is_file())
}

#[cfg(all(test, unix))]
mod tests {
    use super::is_on_path;

    #[test]
    fn programs_are_found_by_name() {
        assert!(is_on_path("cargo"));
        assert!(!is_on_path("no-such-program"));
    }
}
