//! Fuzzing the API with schemathesis, which is installed for it in an environment of its own.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::Failure;
use crate::page::target_folder;
use crate::process::{example, programs_of, python_packages, root, step};

/// How long it takes where nothing else is said.
pub(crate) const SECONDS: u64 = 600;
/// The release of schemathesis. What it needs beside itself stands, with versions, in tests/api/requirements.txt.
const SCHEMATHESIS: &str = "4.32.5";

/// Has schemathesis send requests for so many seconds, and looks whether the server has lost anything.
pub(crate) fn fuzz_api(seconds: u64) -> Result<(), Failure> {
    let programs = schemathesis()?;
    step(example("fuzz_api")?.arg(&programs).arg(seconds.to_string()))
}

/// The folder of schemathesis' programs; it is installed unless it is there in this version.
fn schemathesis() -> Result<PathBuf, Failure> {
    let folder = target_folder().join("tools").join(format!("schemathesis-{SCHEMATHESIS}"));
    let programs = programs_of(&folder);
    let found = Command::new(programs.join("schemathesis")).arg("--version").stderr(Stdio::null()).output();
    if !found.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(SCHEMATHESIS)) {
        let requirements = root().join("tests/api/requirements.txt");
        python_packages(&folder, ["--no-deps".as_ref(), "-r".as_ref(), requirements.as_os_str()])?;
    }
    Ok(programs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_packages_has_the_release() {
        let list = std::fs::read_to_string(root().join("tests/api/requirements.txt")).expect("the list");
        assert!(list.lines().any(|line| line == format!("schemathesis=={SCHEMATHESIS}")), "{list}");
    }
}
