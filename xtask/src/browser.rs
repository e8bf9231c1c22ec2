//! What the tests of the page and of the engine on GPUs need beside the toolchain: Chromium with its driver, axe-core, and a
//! GPU, which may be emulated.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::Failure;
use crate::page::target_folder;
use crate::process::step;

/// A package of npm's registry: its name and version.
pub(crate) type Package = (&'static str, &'static str);

/// axe-core, which judges whether everybody can use a page.
pub(crate) const AXE: Package = ("axe-core", "4.14.1");
/// Programs, and Debian's packages that have them. `vulkaninfo` tells whether there is a GPU, or one that is emulated.
const PROGRAMS: [(&str, &[&str]); 4] = [
    ("chromium", &["chromium"]),
    ("chromedriver", &["chromium-driver"]),
    ("npm", &["npm"]),
    ("vulkaninfo", &["mesa-vulkan-drivers", "libvulkan1", "vulkan-tools"]),
];

/// Sees to it that there are a browser and a GPU, and npm where one of `packages` has to be fetched yet; they are installed where this
/// is root on Debian, otherwise the failure says what to do.
pub(crate) fn browser(packages: &[Package]) -> Result<(), Failure> {
    let npm = packages.iter().any(|&package| !is_fetched(package));
    let missing: Vec<&str> = PROGRAMS
        .into_iter()
        .filter(|(program, _)| (npm || *program != "npm") && !is_there(program))
        .flat_map(|(_, packages)| packages.iter().copied())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    if !root || !is_there("apt-get") {
        let cure = format!("install them (on Debian as root: apt-get install {})", missing.join(" "));
        return Err(Failure::step(format!("this needs {}; {cure}", missing.join(" and ")), 127));
    }
    step(Command::new("apt-get").args(["update", "-qq"]))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "-qq", "--no-install-recommends"]).args(missing);
    step(install.env("DEBIAN_FRONTEND", "noninteractive"))
}

/// The script of axe-core, fetched once.
pub(crate) fn axe() -> Result<PathBuf, Failure> {
    Ok(npm_package(AXE)?.join("axe.min.js"))
}

/// The folder of a package, fetched once.
pub(crate) fn npm_package(package: Package) -> Result<PathBuf, Failure> {
    if !is_fetched(package) {
        let tools = tools_folder(package);
        std::fs::create_dir_all(&tools)
            .map_err(|error| Failure::step(format!("{}: {error}", tools.display()), 1))?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
            .arg(&tools);
        let (name, version) = package;
        step(npm.arg(format!("{name}@{version}")))?;
    }
    Ok(package_folder(package))
}

fn is_fetched(package: Package) -> bool {
    package_folder(package).join("package.json").is_file()
}

fn tools_folder((name, version): Package) -> PathBuf {
    target_folder().join("tools").join(format!("{name}-{version}"))
}

fn package_folder(package: Package) -> PathBuf {
    tools_folder(package).join("node_modules").join(package.0)
}

fn is_there(program: &str) -> bool {
    let mut command = Command::new(program);
    // Says its version, or in short what there is, where there is something.
    let flag = if program == "vulkaninfo" { "--summary" } else { "--version" };
    command.arg(flag).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok()
}
