//! Programs that stand for `nvcc` and `git` while code for cards is linted: kernels take hours, FlashAttention's want the sources of
//! CUTLASS besides, and a lint reads neither.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::failed;
use crate::Failure;
use crate::process::path_with;

/// Makes what it is told to make, empty: `-o FILE`, or `STEM.ptx` in `--output-directory FOLDER`. All else is the real one's.
const NVCC: &str = r#"#!/bin/sh
for word; do
    case $before in
        -o) : > "$word"; made=1 ;;
        --output-directory) folder=$word ;;
    esac
    case $word in
        *.cu) [ -z "$folder" ] || : > "$folder/$(basename "$word" .cu).ptx"; made=1 ;;
    esac
    before=$word
done
[ -n "$made" ] || exec "$REAL_NVCC" "$@"
"#;

/// Clones an empty folder, and says yes to whatever is to be done in it.
const GIT: &str = r#"#!/bin/sh
[ "$1" != clone ] || { for word; do :; done; mkdir -p "$word"; }
"#;

/// Lets `command` find them before those of the tool kit at `home`. They are kept in `folder`, and so is what they make: its
/// `target` is no other build's.
pub(super) fn use_in(command: &mut Command, folder: &Path, home: &Path) -> Result<(), Failure> {
    let programs = folder.join("bin");
    std::fs::create_dir_all(&programs).map_err(|error| failed(&programs, &error))?;
    let nvcc = program(&programs, "nvcc", NVCC)?;
    program(&programs, "git", GIT)?;
    command
        .env("PATH", path_with(&programs)?)
        .env("NVCC", nvcc)
        .env("REAL_NVCC", home.join("bin/nvcc"))
        .env("CUDAFORGE_HOME", folder)
        .env("CARGO_TARGET_DIR", folder.join("target"));
    Ok(())
}

fn program(folder: &Path, name: &str, text: &str) -> Result<PathBuf, Failure> {
    let path = folder.join(name);
    std::fs::write(&path, text).map_err(|error| failed(&path, &error))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let all = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&path, all).map_err(|error| failed(&path, &error))?;
    }
    Ok(path)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_comes_to_be_and_the_real_one_answers_questions() {
        let folder = std::env::temp_dir().join(format!("mudi-stand-ins-{}", std::process::id()));
        let home = folder.join("home");
        std::fs::create_dir_all(home.join("bin")).unwrap();
        program(&home.join("bin"), "nvcc", "#!/bin/sh\necho 13.2 \"$@\"\n").unwrap();
        let run = |name: &str, words: &[&str]| {
            let mut command = Command::new(folder.join("bin").join(name));
            use_in(&mut command, &folder, &home).unwrap();
            let output = command.args(words).current_dir(&folder).output().unwrap();
            assert!(output.status.success());
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(run("nvcc", &["--version"]), "13.2 --version\n");
        assert_eq!(run("nvcc", &["-c", "-o", "a.o", "-O3", "a.cu"]), "");
        assert_eq!(run("nvcc", &["--ptx", "--output-directory", ".", "src/b.cu"]), "");
        assert_eq!(run("nvcc", &["--lib", "-o", "c.a", "a.o"]), "");
        run("git", &["clone", "--depth", "1", "https://example.org/x", "sources"]);
        run("git", &["checkout", "0123"]);
        for made in ["a.o", "b.ptx", "c.a", "sources"] {
            assert!(folder.join(made).exists(), "{made}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
