//! Running programs, one step after the other.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use crate::Failure;

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    // Cargo sets the variable when it runs this program; the compiled-in value serves a binary that is started alone.
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.parent().map(Path::to_path_buf).unwrap_or(here)
}

/// The cargo that runs this program, to be started in the repository's root.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(arguments);
    in_root(&mut command);
    command
}

/// Has a command that is cargo, or calls it, start in the repository's root: without what cargo says of this program's own package, and
/// with the build folder that the environment names, which may begin at the folder that the command was typed in.
pub(crate) fn in_root(command: &mut Command) {
    command.current_dir(root());
    for (name, value) in std::env::vars_os() {
        if is_of_package(&name.to_string_lossy()) {
            command.env_remove(name);
        } else if (name == "CARGO_TARGET_DIR" || name == "CARGO_BUILD_TARGET_DIR")
            && Path::new(&value).is_relative()
            && let Ok(folder) = std::path::absolute(value)
        {
            command.env(name, folder);
        }
    }
}

/// `cargo` for what a browser runs. Flags of the compiler that the environment has are for this machine's programs, and would take the
/// place of those that `.cargo/config.toml` has for browsers.
pub(crate) fn cargo_for_browsers(arguments: &[&str]) -> Command {
    let mut command = cargo(arguments);
    without_flags(&mut command);
    command
}

/// Takes flags of the compiler out of a command's environment.
pub(crate) fn without_flags(command: &mut Command) {
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
}

/// Builds an example of the tests; a command that runs it.
///
/// It is built with the whole workspace, as the tests build the program (`mudi_tests::workshop::program`): of their package alone, dependencies
/// would have fewer features, and much would be compiled once more.
pub(crate) fn example(name: &str) -> Result<Command, Failure> {
    let mut build = cargo(&["build", "--workspace", "--bin", "mudi", "--example", name]);
    step(build.args((!cfg!(debug_assertions)).then_some("--release")))?;
    // Beside this program, which is built in the same profile.
    let mut path = std::env::current_exe().unwrap_or_default();
    path.set_file_name("examples");
    path.push(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let mut command = Command::new(path);
    in_root(&mut command);
    Ok(command)
}

/// Whether cargo tells a program by this variable which package it is of. Build scripts run again where such a variable has changed since
/// (ring's does), and whatever depends on them is compiled again: minutes, whenever another program is the one that calls cargo.
fn is_of_package(variable: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|start| variable.starts_with(start))
}

/// The Python of `--python`: a path is below the folder that the command was typed in; a bare name is looked up on PATH.
pub(crate) fn python(given: &Path) -> Result<PathBuf, Failure> {
    if given.components().count() == 1 {
        return Ok(given.to_owned());
    }
    std::path::absolute(given)
        .map_err(|error| Failure::usage(format!("`--python {}`: {error}", given.display())))
}

/// PATH with another folder of programs before all others.
pub(crate) fn path_with(programs: &Path) -> Result<OsString, Failure> {
    let others = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(programs.to_owned()).chain(std::env::split_paths(&others));
    std::env::join_paths(all).map_err(|error| Failure::step(format!("PATH: {error}"), 1))
}

/// The folder of the programs that [`python_packages`] installs in `folder`.
pub(crate) fn programs_of(folder: &Path) -> PathBuf {
    folder.join(if cfg!(windows) { "Scripts" } else { "bin" })
}

/// Makes an environment for packages of Python in `folder`, anew, with those that `pip install` is told to install by `words`.
pub(crate) fn python_packages<S: AsRef<OsStr>>(
    folder: &Path,
    words: impl IntoIterator<Item = S>,
) -> Result<(), Failure> {
    let mut make = Command::new("python3");
    step(make.args(["-m", "venv", "--clear"]).arg(folder)).map_err(|failure| Failure {
        message: format!(
            "{}\nThis needs Python 3.11 or newer with its module venv (Debian's packages python3 and python3-venv).",
            failure.message
        ),
        ..failure
    })?;
    let python = programs_of(folder).join(if cfg!(windows) { "python.exe" } else { "python" });
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    step(Command::new(python).args(pip).args(words))
}

/// Sees to it that the compiler can compile for `target`.
pub(crate) fn compiler_for(target: &str) -> Result<(), Failure> {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output();
    let sysroot = sysroot.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let known = sysroot.is_ok_and(|path| Path::new(&path).join("lib/rustlib").join(target).is_dir());
    if known {
        return Ok(());
    }
    step(Command::new("rustup").args(["target", "add", target]).current_dir(root())).map_err(|failure| {
        Failure {
            message: format!(
                "{}\nThis is compiled for {target}: install rustup, or that target of the compiler.",
                failure.message
            ),
            ..failure
        }
    })
}

/// Shows a step and runs it.
pub(crate) fn step(command: &mut Command) -> Result<(), Failure> {
    let name = shown(command);
    eprintln!("\n==> {name}");
    let status = command.status().map_err(|error| not_started(command, &error))?;
    if status.success() { Ok(()) } else { Err(Failure::step(ended(&name, status), exit_code(status))) }
}

/// Shows the last step, and becomes it where the system can do that: Ctrl-C would end this process at once, and the shell would not wait
/// for a program that finishes first what it is at.
pub(crate) fn last_step(command: &mut Command) -> Result<(), Failure> {
    #[cfg(unix)]
    {
        eprintln!("\n==> {}", shown(command));
        let error = std::os::unix::process::CommandExt::exec(command);
        Err(not_started(command, &error))
    }
    #[cfg(not(unix))]
    {
        step(command)
    }
}

fn not_started(command: &Command, error: &std::io::Error) -> Failure {
    let program = Path::new(command.get_program()).display();
    Failure::step(format!("`{program}` could not be started ({error}); is it installed and on PATH?"), 127)
}

/// Fails where the cargo command `name` is not installed.
pub(crate) fn component(name: &str, component: &str) -> Result<(), Failure> {
    let found = cargo(&[name, "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    Err(Failure::step(
        format!("`cargo {name}` is not installed; run `rustup component add {component}` and try again"),
        127,
    ))
}

/// The command as one would type it.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut words = vec![program.file_stem().unwrap_or(program.as_os_str())];
    words.extend(command.get_args());
    let variables = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let quote = |word: &OsStr| {
        let word = word.to_string_lossy();
        if word.contains(' ') { format!("'{word}'") } else { word.into_owned() }
    };
    let variables = variables.map(|(name, value)| format!("{}={}", name.to_string_lossy(), quote(value)));
    variables.chain(words.into_iter().map(quote)).collect::<Vec<_>>().join(" ")
}

fn ended(name: &str, status: ExitStatus) -> String {
    format!("`{name}` failed ({status})")
}

/// The step's own exit code; 1 where it has none, or none that fits.
fn exit_code(status: ExitStatus) -> u8 {
    status.code().and_then(|code| u8::try_from(code).ok()).filter(|&code| code != 0).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_shown_as_one_would_type_them() {
        let mut command = Command::new("/somewhere/bin/cargo");
        command.args(["doc", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(shown(&command), "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps");
    }

    #[test]
    fn a_failed_step_hands_its_exit_code_on() {
        let failure = step(&mut cargo(&["no-such-command"])).unwrap_err();
        assert_eq!(failure.code, 101);
        assert!(failure.message.contains("cargo no-such-command"), "{}", failure.message);
    }

    #[test]
    fn a_missing_program_and_a_missing_component_are_named() {
        let failure = step(&mut Command::new("no-such-program")).unwrap_err();
        assert!(failure.message.contains("`no-such-program` could not be started"), "{}", failure.message);
        let failure = component("no-such-command", "some-component").unwrap_err();
        assert!(failure.message.contains("rustup component add some-component"), "{}", failure.message);
    }

    #[test]
    fn flags_for_this_machine_stay_out_of_what_a_browser_runs() {
        let command = cargo_for_browsers(&["build"]);
        assert!(command.get_envs().any(|(name, value)| name == "RUSTFLAGS" && value.is_none()));
        assert_eq!(command.get_current_dir(), Some(root().as_path()));
    }

    #[test]
    fn the_root_holds_the_workspace() {
        assert!(root().join("xtask").is_dir() && root().join("Cargo.toml").is_file());
    }
}
