//! The engine's tests on the loops that this machine's processor does not choose.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Failure;
use crate::page::target_folder;
use crate::process::{cargo, step};

/// What is preloaded into tests so that they see an older processor.
const SOURCE: &str = include_str!("older_processor.c");
const LINUX: bool = cfg!(all(target_arch = "x86_64", target_os = "linux"));
/// Why [`preloaded`] has nothing to give.
const CANNOT: &str = "this processor cannot hide from a program what it has (`cpuid_fault`), or the target folder's name has a space or a colon";
const QEMU: &str = "qemu-x86_64";

/// Loops, as they are called; what [`SOURCE`] calls the processor that chooses them; one that QEMU emulates.
const PROCESSORS: [(&str, &str, &str); 2] = [("AVX2", "avx2", "Haswell"), ("portable", "sse2", "Nehalem")];

/// Values, gradients and parity; of the whole workspace, as `test` has built it: of single packages much would be compiled with other features.
const TESTS: [&str; 15] = [
    "test",
    "--workspace",
    "--lib",
    "--test",
    "finite_differences",
    "--test",
    "reference",
    "--test",
    "attention",
    "--test",
    "half",
    "--test",
    "networks",
    "--test",
    "gradients",
];

/// How tests are made to run on another processor.
enum Means {
    /// On this one, which says of itself what the library at this path lets it say.
    Preloaded(PathBuf),
    /// On one that is emulated, hundreds of times slower.
    Emulated,
}

impl Means {
    /// The best that this machine has.
    fn found() -> Result<Self, Failure> {
        if let Some(library) = preloaded()? {
            return Ok(Self::Preloaded(library));
        }
        let qemu = Command::new(QEMU).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if LINUX && qemu.is_ok_and(|status| status.success()) {
            return Ok(Self::Emulated);
        }
        let cure =
            "on Linux with an x86-64 processor, install QEMU's user mode (Debian's package `qemu-user`)";
        Err(Failure::step(format!("{CANNOT}, and `{QEMU}` cannot be run; {cure}"), 127))
    }

    /// What cargo puts before a test's own command line.
    fn runner(&self, seen: &str, emulated: &str) -> String {
        match self {
            Self::Preloaded(library) => {
                format!("env OLDER_PROCESSOR={seen} LD_PRELOAD={}", library.display())
            }
            Self::Emulated => format!("{QEMU} -cpu {emulated}"),
        }
    }
}

/// Compiles [`SOURCE`] in cargo's target folder; none where processor or kernel cannot do what it asks for, or the folder cannot be named.
fn preloaded() -> Result<Option<PathBuf>, Failure> {
    let folder = target_folder().join("tools");
    // Cargo and the loader both take a space for the end of a name, and the loader goes on without what it cannot find.
    let named = !folder.as_os_str().to_string_lossy().contains([' ', ':']);
    let faults = std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains("cpuid_fault"));
    if !(LINUX && named && faults) {
        return Ok(None);
    }
    let failed = |path: &Path, error| Failure::step(format!("{}: {error}", path.display()), 1);
    std::fs::create_dir_all(&folder).map_err(|error| failed(&folder, error))?;
    let source = folder.join("older_processor.c");
    std::fs::write(&source, SOURCE).map_err(|error| failed(&source, error))?;
    let library = folder.join("older_processor.so");
    step(Command::new("cc").args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source))?;
    let mut probe = Command::new("true");
    let probe = probe.env("OLDER_PROCESSOR", "avx2").env("LD_PRELOAD", &library).status();
    Ok(probe.is_ok_and(|status| status.success()).then_some(library))
}

/// Runs them, on AVX2's loops and on the portable ones, in whichever way this machine can.
pub(crate) fn test_paths() -> Result<(), Failure> {
    run(&Means::found()?)
}

/// Runs them where that takes a minute, and says so where it does not.
pub(crate) fn test_paths_if_quick() -> Result<(), Failure> {
    match preloaded()? {
        Some(library) => run(&Means::Preloaded(library)),
        None => {
            eprintln!(
                "\nNot tested on other loops than this processor's: {CANNOT}. See `cargo xtask test-paths`."
            );
            Ok(())
        }
    }
}

fn run(means: &Means) -> Result<(), Failure> {
    for (path, seen, emulated) in PROCESSORS {
        eprintln!("\n{path} loops:");
        let mut test = cargo(&TESTS);
        step(test.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", means.runner(seen, emulated)))?;
    }
    Ok(())
}

#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod tests {
    use super::*;

    /// Otherwise the tests would pass on this processor's own loops.
    #[test]
    fn a_preloaded_program_sees_an_older_processor() {
        // The other means needs no test: QEMU emulates what its `-cpu` says.
        let Some(library) = preloaded().unwrap() else { return };
        let program = library.with_file_name("processor_probe");
        let probe = library.with_file_name("processor_probe.rs");
        std::fs::write(
            &probe,
            "fn main() { print!(\"{} {}\", is_x86_feature_detected!(\"avx2\"), is_x86_feature_detected!(\"avx512f\")); }",
        )
        .unwrap();
        step(Command::new("rustc").arg("-o").arg(&program).arg(&probe)).unwrap();
        for (_, seen, _) in PROCESSORS {
            let output = Command::new(&program)
                .env("OLDER_PROCESSOR", seen)
                .env("LD_PRELOAD", &library)
                .output()
                .unwrap();
            let expected = format!("{} false", seen == "avx2" && is_x86_feature_detected!("avx2"));
            assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{seen}");
        }
    }
}
