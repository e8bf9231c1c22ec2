//! What the tests of the page and of the engine on GPUs need beside the toolchain: Chromium with its driver, axe-core, and a
//! GPU, which may be emulated.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::Failure;
use crate::page::target_folder;
use crate::process::step;

/// The release of axe-core, which judges whether everybody can use a page.
const AXE: &str = "4.14.1";
/// Programs, and Debian's packages that have them. `vulkaninfo` tells whether there is a GPU, or one that is emulated.
const PROGRAMS: [(&str, &[&str]); 4] = [
    ("chromium", &["chromium"]),
    ("chromedriver", &["chromium-driver"]),
    ("npm", &["npm"]),
    ("vulkaninfo", &["mesa-vulkan-drivers", "libvulkan1", "vulkan-tools"]),
];

/// Sees to it that there are a browser and a GPU; they are installed where this is root on Debian, otherwise the failure says what to do.
pub(crate) fn browser() -> Result<(), Failure> {
    let axe = !axe_file().is_file();
    let missing: Vec<&str> = PROGRAMS
        .into_iter()
        .filter(|(program, _)| !is_there(program) && (axe || *program != "npm"))
        .flat_map(|(_, packages)| packages.iter().copied())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    if !root || !is_there("apt-get") {
        let cure = format!("install them (on Debian as root: apt-get install {})", missing.join(" "));
        return Err(Failure::step(format!("the tests need {}; {cure}", missing.join(" and ")), 127));
    }
    step(Command::new("apt-get").args(["update", "-qq"]))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "-qq", "--no-install-recommends"]).args(missing);
    step(install.env("DEBIAN_FRONTEND", "noninteractive"))
}

/// The script of axe-core, fetched once.
pub(crate) fn axe() -> Result<PathBuf, Failure> {
    npm_package("axe-core", AXE)?;
    Ok(axe_file())
}

/// The folder of a package of npm's registry in that version, fetched once.
pub(crate) fn npm_package(name: &str, version: &str) -> Result<PathBuf, Failure> {
    let folder = package_folder(name, version);
    if !folder.join("package.json").is_file() {
        let tools = tools_folder(name, version);
        std::fs::create_dir_all(&tools)
            .map_err(|error| Failure::step(format!("{}: {error}", tools.display()), 1))?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
            .arg(&tools);
        step(npm.arg(format!("{name}@{version}")))?;
    }
    Ok(folder)
}

fn tools_folder(name: &str, version: &str) -> PathBuf {
    target_folder().join("tools").join(format!("{name}-{version}"))
}

fn package_folder(name: &str, version: &str) -> PathBuf {
    tools_folder(name, version).join("node_modules").join(name)
}

fn axe_file() -> PathBuf {
    package_folder("axe-core", AXE).join("axe.min.js")
}

fn is_there(program: &str) -> bool {
    let mut command = Command::new(program);
    // Says its version, or in short what there is, where there is something.
    let flag = if program == "vulkaninfo" { "--summary" } else { "--version" };
    command.arg(flag).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok()
}
