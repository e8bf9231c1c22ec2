//! Building the page: the tools that it takes, Trunk, and the folder from which the program embeds what comes out.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use crate::Failure;
use crate::embed;
use crate::process::{
    cargo, cargo_for_browsers, compiler_for, in_root, path_with, root, step, without_flags,
};

/// What a browser runs is compiled for.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";
/// The programs that are installed, and their versions. That of `wasm-bindgen` is the one of the root `Cargo.toml`.
const TOOLS: [(&str, &str, &str, &[&str]); 2] =
    [("wasm-bindgen", "wasm-bindgen-cli", "0.2.130", &[]), ("trunk", "trunk", "0.21.14", &["--locked"])];
/// The page's programs: the studio; the workbench with the editors, sharing, and the workers, which are loaded where they are needed.
const PROGRAMS: [&str; 6] = [
    embed::WORKERS[0].0,
    embed::WORKERS[1].0,
    embed::WORKERS[2].0,
    "sharing.html",
    "workbench.html",
    "index.html",
];
/// What they are made of, beside their own files.
const SOURCES: [&str; 6] = ["frontend", "shared", "xtask", "Trunk.toml", "Cargo.toml", "Cargo.lock"];

/// Builds the page, unless what is embedded is newer than all that it is made of.
pub(crate) fn page() -> Result<(), Failure> {
    let embedded = root().join("backend").join("page");
    let made = newest(&embedded.join("index.html"));
    let changed = SOURCES.iter().chain(&PROGRAMS).map(|source| newest(&root().join(source))).max();
    if made > Some(SystemTime::UNIX_EPOCH) && made >= changed.flatten() {
        eprintln!("\nThe page in {} is up to date.", embedded.display());
        return Ok(());
    }
    let begun = SystemTime::now();
    let tools = tools()?;
    let path = path_with(&tools)?;
    // All at once: each is linked by a single thread, and Trunk, which finds them done, would have them compiled one after the other.
    let words = ["build", "--profile", "page", "--target", TARGET, "-p", "mudi-frontend", "--bins"];
    let mut programs = cargo_for_browsers(&words);
    step(programs.arg("--locked").env("CARGO_INCREMENTAL", "0"))?;
    let mut built = Vec::new();
    for program in PROGRAMS {
        let dist = target_folder().join("page").join(program.trim_end_matches(".html"));
        let mut trunk = Command::new(tools.join("trunk"));
        in_root(&mut trunk);
        without_flags(&mut trunk);
        trunk.args(["build", program, "--release", "--offline", "--dist"]).arg(&dist);
        // Trunk reads `NO_COLOR` as true or false, where the rest of the world writes 1.
        step(trunk.env("PATH", &path).env("CARGO_INCREMENTAL", "0").env_remove("NO_COLOR"))?;
        built.push((program, dist));
    }
    embed::embed(&built, &embedded)?;
    // What is changed while the page is built is newer than the page.
    let index = std::fs::File::options().write(true).open(embedded.join("index.html"));
    index
        .and_then(|file| file.set_modified(begun))
        .map_err(|error| Failure::step(format!("index.html: {error}"), 1))
}

/// Sees to it that the compiler and the programs are there; the folder of the programs.
pub(crate) fn tools() -> Result<PathBuf, Failure> {
    compiler_for(TARGET)?;
    let tools = target_folder().join("tools");
    for (program, package, version, flags) in TOOLS {
        install(&tools, program, package, version, flags)?;
    }
    Ok(tools.join("bin"))
}

/// When a file, or a file in a folder, was changed last.
fn newest(path: &Path) -> Option<SystemTime> {
    let own = path.metadata().ok()?;
    if own.is_file() {
        return own.modified().ok();
    }
    let entries = std::fs::read_dir(path).ok()?.flatten();
    entries.filter_map(|entry| newest(&entry.path())).max()
}

/// The folder of build products: this program lies in the folder of its profile there.
pub(crate) fn target_folder() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program.ancestors().nth(2).map_or_else(|| root().join("target"), Path::to_path_buf)
}

/// Installs a program in `tools`, unless it is there in this version.
fn install(tools: &Path, program: &str, package: &str, version: &str, flags: &[&str]) -> Result<(), Failure> {
    let found = Command::new(tools.join("bin").join(program)).arg("--version").stderr(Stdio::null()).output();
    if found.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim().ends_with(version)) {
        return Ok(());
    }
    eprintln!("\nInstalling {program} {version}; this takes some minutes, once.");
    let build = tools.join("build");
    let mut install = cargo(&["install", package, "--version", version, "--root"]);
    install.arg(tools).arg("--target-dir").arg(&build).args(flags);
    // A tool that runs for a second need not be compiled for minutes more.
    install.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    step(install.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1").env_remove("CARGO_TARGET_DIR"))?;
    // What it was compiled in takes a gigabyte; a folder that stays is no fault.
    let _ = std::fs::remove_dir_all(build);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tool_fits_the_library() {
        let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("the root's manifest");
        let [(.., version, _), _] = TOOLS;
        assert!(
            manifest.contains(&format!("wasm-bindgen = \"={version}\"")),
            "wasm-bindgen has another version"
        );
        let trunk = std::fs::read_to_string(root().join("Trunk.toml")).expect("Trunk's configuration");
        assert!(trunk.contains(&format!("wasm_bindgen = \"{version}\"")), "Trunk asks for another version");
    }

    #[test]
    fn the_newest_file_of_a_folder_decides() {
        assert!(newest(&root().join("xtask")) >= newest(&root().join("xtask/Cargo.toml")));
        assert_eq!(newest(Path::new("no-such-file")), None);
    }
}
