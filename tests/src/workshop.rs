//! The program as a user meets it, and a folder to use it in.
//!
//! Everything here panics where the program does not do what the test is about.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::golden::fixture;

/// The program, built once for all tests of a file.
///
/// # Panics
/// Where it does not build.
#[must_use]
pub fn program() -> PathBuf {
    static BUILT: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    BUILT
        .get_or_init(|| {
            let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
            let mut build = Command::new(cargo);
            // What cargo says of the tests' own package would make build scripts of dependencies run again, and the program be compiled again.
            for (name, _) in std::env::vars_os() {
                let text = name.to_string_lossy();
                if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                    build.env_remove(&name);
                }
            }
            let built = build
                // An example, and the whole workspace: so its libraries have the features that `cargo test --workspace` gives them, which are
                // there already. Of the package alone half of them would be compiled once more, `mudi` among them.
                .args(["build", "--workspace", "--bin", "mudi", "--example", "tokenize"])
                .args(["--message-format", "json"])
                // As the tests themselves are built, so that everything that both need is there.
                .args((!cfg!(debug_assertions)).then_some("--release"))
                .current_dir(root)
                .output()
                .expect("cargo runs");
            assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
            String::from_utf8_lossy(&built.stdout)
                .lines()
                .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
                .filter(|message| message["target"]["kind"][0] == "bin")
                .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
                .next_back()
                .expect("cargo names the program")
        })
        .clone()
}

/// Runs the program to its end.
///
/// # Panics
/// Where it cannot be started.
#[must_use]
pub fn mudi(arguments: &[&str]) -> Output {
    Command::new(program()).args(arguments).output().expect("the program runs")
}

/// What the command prints; it must succeed.
///
/// # Panics
/// Where it fails.
pub fn ok(arguments: &[&str]) -> String {
    let output = mudi(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The one JSON object that the command prints with `--json`, which is added; nothing else may be on standard output.
///
/// # Panics
/// Where it fails, or prints anything else.
#[must_use]
pub fn json(arguments: &[&str]) -> serde_json::Value {
    let printed = ok(&[arguments, &["--json"]].concat());
    let value: serde_json::Value =
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {printed}"));
    assert!(value.is_object() && printed.lines().count() == 1, "{arguments:?}: {printed}");
    value
}

/// The command must fail with exit code 2 and a message that has all of `words`.
///
/// # Panics
/// Where it does not.
pub fn refused(arguments: &[&str], words: &[&str]) {
    failed(&mudi(arguments), words);
}

/// The program must have failed with exit code 2 and a message that has all of `words`.
///
/// # Panics
/// Where it has not.
pub fn failed(output: &Output, words: &[&str]) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
}

/// A folder of toys and runs, and a base model.
pub struct Workshop {
    folder: tempfile::TempDir,
    /// The base model's folder.
    pub base: String,
}

impl Workshop {
    /// A new one, empty, with SDXL in miniature.
    ///
    /// # Panics
    /// Where there is no folder for temporary files.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, base: fixture("sdxl-tiny").display().to_string() }
    }

    /// A path in the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The bytes of a file in the folder.
    ///
    /// # Panics
    /// Where it cannot be read.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Draws six photos of two toys into `toys`.
    pub fn toys(&self) -> String {
        let toys = self.path("toys");
        ok(&["toybox", "--photos", "3", "--seed", "4", "--size", "64", "--out", &toys]);
        toys
    }

    /// The arguments of a training run of a second on `toys`, in the folder `run`.
    #[must_use]
    pub fn train(&self, run: &str, further: &[&str]) -> Vec<String> {
        let files = ["train", "--photos", &self.path("toys"), "--base", &self.base, "--out", &self.path(run)];
        let small = ["--steps", "6", "--prior-images", "2", "--rank", "4", "--segmix-probability", "0.6"];
        [&files[..], &["--quiet"], &small, further].concat().into_iter().map(str::to_owned).collect()
    }

    /// The paths of all files in `folder` and below, sorted, relative to it.
    ///
    /// # Panics
    /// Where it cannot be read.
    #[must_use]
    pub fn files(&self, folder: &str) -> Vec<PathBuf> {
        fn walk(folder: &Path, root: &Path, found: &mut Vec<PathBuf>) {
            for entry in
                std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    walk(&path, root, found);
                } else {
                    found.push(path.strip_prefix(root).expect("below").to_owned());
                }
            }
        }
        let root = PathBuf::from(self.path(folder));
        let mut found = Vec::new();
        walk(&root, &root, &mut found);
        found.sort();
        found
    }
}

/// The folder of the models that ship with the program.
#[must_use]
pub fn models() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").display().to_string()
}

/// The folder of a model that ships with the program.
#[must_use]
pub fn shipped(name: &str) -> String {
    Path::new(&models()).join(name).display().to_string()
}

/// Arguments, borrowed.
#[must_use]
pub fn refs(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// Copies a folder and what is below it.
///
/// # Panics
/// Where it cannot be read or written.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}
