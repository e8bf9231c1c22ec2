//! Checking what a Mac would compile, on a machine that is none: Zig has macOS's C headers, and `cargo-zigbuild` hands its compiler
//! to the libraries that are written in C.

use std::path::PathBuf;
use std::process::Command;

use crate::Failure;
use crate::page::target_folder;
use crate::process::{cargo, compiler_for, component, path_with, programs_of, python_packages, root, step};

/// Macs with Apple's processors.
const TARGET: &str = "aarch64-apple-darwin";
/// Packages of Python, with their versions.
const PACKAGES: [&str; 2] = ["cargo-zigbuild==0.24.1", "ziglang==0.17.1"];

/// Lints the engine and the program, tests included, with the feature `metal`. Nothing is linked: Apple's frameworks are on
/// Macs only.
pub(crate) fn check_metal() -> Result<(), Failure> {
    component("clippy", "clippy")?;
    compiler_for(TARGET)?;
    for package in ["mudi-engine-candle", "mudi"] {
        let mut lint = clippy()?;
        lint.args(["-p", package, "--all-targets", "--features", "metal", "--target", TARGET]);
        step(lint.args(["--", "-D", "warnings"]))?;
    }
    eprintln!("\nThe program compiles for a Mac, with Metal.");
    Ok(())
}

/// `cargo clippy` that finds a C compiler for Macs.
fn clippy() -> Result<Command, Failure> {
    if cfg!(target_os = "macos") {
        return Ok(cargo(&["clippy"]));
    }
    let programs = zig()?;
    let mut clippy = Command::new(programs.join("cargo-zigbuild"));
    clippy.arg("clippy").current_dir(root()).env("PATH", path_with(&programs)?);
    Ok(clippy)
}

/// The folder of Zig's programs, which are installed once.
fn zig() -> Result<PathBuf, Failure> {
    let folder = target_folder().join("tools").join("zig");
    let done = folder.join(PACKAGES.join("-"));
    if !done.is_file() {
        eprintln!("\nInstalling Zig; it takes half a gigabyte.");
        python_packages(&folder, PACKAGES)?;
        std::fs::write(&done, "")
            .map_err(|error| Failure::step(format!("{}: {error}", done.display()), 1))?;
    }
    Ok(programs_of(&folder))
}
