//! What each command does.

use std::path::Path;
use std::process::Command;

use crate::browser;
use crate::page;
use crate::paths;
use crate::process::{
    cargo, cargo_for_browsers, component, example, last_step, path_with, python, root, step,
};
use crate::{Failure, Serving};

/// The base model that the demo runs on, below the root.
const BASE: &str = "models/pocket";

/// Format, lints, documentation, tests, tests on other loops; stops at the first that fails.
pub(crate) fn test() -> Result<(), Failure> {
    component("fmt", "rustfmt")?;
    component("clippy", "clippy")?;
    browser::browser(&[browser::AXE])?;
    let axe = browser::axe()?;
    step(&mut cargo(&["fmt", "--all", "--check"]))?;
    // The program embeds it: built now, it is not compiled into it a second time.
    page::page()?;
    step(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    let page = ["clippy", "--target", page::TARGET, "-p", "mudi-frontend", "--", "-D", "warnings"];
    step(&mut cargo_for_browsers(&page))?;
    step(cargo(&["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    step(cargo(&["test", "--workspace"]).env("MUDI_AXE", axe))?;
    paths::test_paths_if_quick()?;
    in_browser()?;
    eprintln!("\nEverything passed.");
    Ok(())
}

/// Both engines, compiled for browsers, against each other in Chromium.
pub(crate) fn test_browser() -> Result<(), Failure> {
    browser::browser(&[])?;
    in_browser()
}

fn in_browser() -> Result<(), Failure> {
    let words = ["test", "--target", page::TARGET, "-p", "mudi-engine-wgpu", "--test", "parity"];
    let mut test = cargo_for_browsers(&words);
    // It comes with the program that binds the page to JavaScript. By its name alone: cargo takes a space in a path for the path's end.
    test.env("PATH", path_with(&page::tools()?)?);
    test.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", "wasm-bindgen-test-runner");
    test.env("CHROMEDRIVER", "chromedriver");
    // The runner gives up after 20 seconds otherwise, which is little on an emulated GPU.
    step(test.env("WASM_BINDGEN_TEST_TIMEOUT", "900"))
}

/// Builds the program and runs its demo.
pub(crate) fn demo(out: &Path) -> Result<(), Failure> {
    let base = root().join(BASE);
    if !base.join("model_index.json").is_file() {
        let cure = "check the files out of the repository again, or make the model with `mudi pretrain`";
        return Err(Failure::step(format!("there is no base model in {}; {cure}", base.display()), 2));
    }
    // A folder named on the command line is below the folder that the command was typed in.
    let out = std::path::absolute(out)
        .map_err(|error| Failure::usage(format!("`--out {}`: {error}", out.display())))?;
    step(&mut cargo(&["build", "--release", "-p", "mudi"]))?;
    // Through cargo, which knows where it has put the program.
    let mut demo = cargo(&["run", "--quiet", "--release", "-p", "mudi", "--", "demo", "--base"]);
    step(demo.arg(&base).arg("--out").arg(&out))?;
    // The program names its page itself; this says it again where it is easy to find.
    let page = out.join("report.html");
    if page.is_file() {
        eprintln!("\nOpen {} in a browser.", page.display());
    } else {
        eprintln!("\nThe results are in {}.", out.display());
    }
    Ok(())
}

/// Builds the page and the program, and serves the data folder; the program prints its address.
pub(crate) fn serve(serving: &Serving) -> Result<(), Failure> {
    let Serving { data, features, further } = serving;
    let data = std::path::absolute(data)
        .map_err(|error| Failure::usage(format!("`--data {}`: {error}", data.display())))?;
    page::page()?;
    let features: Vec<&str> = features.iter().flat_map(|names| ["--features", names]).collect();
    step(cargo(&["build", "--release", "-p", "mudi"]).args(&features))?;
    let mut run = cargo(&["run", "--quiet", "--release", "-p", "mudi"]);
    last_step(run.args(&features).args(["--", "serve", "--data"]).arg(&data).args(further))
}

/// Photographs the page, with a project that is made for it, into `docs/images`.
pub(crate) fn screenshots() -> Result<(), Failure> {
    browser::browser(&[])?;
    page::page()?;
    let images = root().join("docs").join("images");
    std::fs::create_dir_all(&images)
        .map_err(|error| Failure::step(format!("{}: {error}", images.display()), 1))?;
    step(example("screenshots")?.arg(&images))
}

/// Runs the script that makes the parity fixtures.
pub(crate) fn fixtures(interpreter: &Path) -> Result<(), Failure> {
    const NEEDS: &str = "import torch, diffusers, transformers, peft, safetensors, tokenizers";
    let python = python(interpreter)?;
    let folder = root().join("tests").join("fixtures");
    step(Command::new(&python).args(["-c", NEEDS]).current_dir(&folder)).map_err(|failure| Failure {
        message: format!(
            "{}\nThe packages and the versions that made the fixtures are in tests/fixtures/README.md.",
            failure.message
        ),
        ..failure
    })?;
    step(
        Command::new(&python)
            .arg("make_fixtures.py")
            .current_dir(&folder)
            // Threads that spin while they wait make this many times slower; one thread gives the same bytes each time.
            .env("OMP_WAIT_POLICY", "PASSIVE")
            .env("OMP_NUM_THREADS", "1"),
    )?;
    eprintln!("\nDone. `git diff --stat tests/fixtures` shows what changed.");
    Ok(())
}
