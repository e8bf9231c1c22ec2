//! Building for NVIDIA's cards on a machine that has none: CUDA's tool kit in a folder of its own, and a driver's library that only
//! names what the real one has.

mod stand_ins;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::page::target_folder;
use crate::process::{cargo, path_with, python_packages, step};

/// The release of the tool kit; what of it is needed.
const TOOLKIT: &str = "13.2.2";
const PARTS: &str = "nvcc,cccl,crt,cudart,curand,cublas,nvrtc,nvvm";
/// What kernels are compiled for, unless `CUDA_COMPUTE_CAP` says something else: Ampere, the oldest with bf16.
const COMPUTE_CAPABILITY: &str = "80";

/// Lints engine and program with the features for CUDA, and links the program with `cuda`.
pub(crate) fn check_cuda() -> Result<(), Failure> {
    let home = toolkit()?;
    let with_toolkit = |words: &[&str]| {
        let mut build = cargo(words);
        build.env("CUDA_HOME", &home);
        if std::env::var_os("CUDA_COMPUTE_CAP").is_none() {
            build.env("CUDA_COMPUTE_CAP", COMPUTE_CAPABILITY);
        }
        build
    };
    let lint = ["clippy", "-p", "mudi-engine-candle", "-p", "mudi", "--all-targets", "--features"];
    // cuDNN is linked where it is installed, FlashAttention where its kernels are compiled: elsewhere it is checked that they fit.
    for features in ["mudi/cuda", "mudi/cudnn,mudi/flash-attn"] {
        let mut lint = with_toolkit(&[&lint[..], &[features, "--", "-D", "warnings"]].concat());
        stand_ins::use_in(&mut lint, &target_folder().join("tools").join("cuda-lint"), &home)?;
        step(&mut lint)?;
    }
    let mut link = with_toolkit(&["build", "-p", "mudi", "--features", "cuda"]);
    step(link.env("PATH", path_with(&home.join("bin"))?))?;
    eprintln!("\nThe program is built for CUDA. It runs where there is a driver.");
    Ok(())
}

/// The folder of the tool kit, which is installed once.
fn toolkit() -> Result<PathBuf, Failure> {
    let folder = target_folder().join("tools").join(format!("cuda-{TOOLKIT}"));
    let done = folder.join("complete");
    if !done.is_file() {
        eprintln!("\nInstalling CUDA's tool kit; it takes a gigabyte.");
        python_packages(&folder, [format!("cuda-toolkit[{PARTS}]=={TOOLKIT}")])?;
        let home = home(&folder)?;
        link_names(&home.join("lib")).map_err(|error| failed(&home, &error))?;
        driver(&home)?;
        std::fs::write(&done, "").map_err(|error| failed(&done, &error))?;
    }
    home(&folder)
}

/// Where Python's packages have put the tool kit below `folder`.
fn home(folder: &Path) -> Result<PathBuf, Failure> {
    let entries = std::fs::read_dir(folder.join("lib")).map_err(|error| failed(folder, &error))?;
    let homes = entries.flatten().map(|entry| entry.path().join("site-packages/nvidia/cu13"));
    homes.into_iter().find(|home| home.join("bin/nvcc").is_file()).ok_or_else(|| {
        Failure::step(
            format!("there is no nvcc below {}; delete the folder and try again", folder.display()),
            1,
        )
    })
}

/// Names without a version, which linkers look for: `libcudart.so` for `libcudart.so.13`.
fn link_names(libraries: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(libraries)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let Some((stem, _)) = name.split_once(".so.") else { continue };
        let link = libraries.join(format!("{stem}.so"));
        if !link.exists() {
            std::fs::hard_link(libraries.join(&name), link)?;
        }
    }
    Ok(())
}

/// A `libcuda.so` to link with, of empty functions: the real one comes with a card's driver.
fn driver(home: &Path) -> Result<(), Failure> {
    let header = home.join("include/cuda.h");
    let text = std::fs::read_to_string(&header).map_err(|error| failed(&header, &error))?;
    let stubs = home.join("lib/stubs");
    std::fs::create_dir_all(&stubs).map_err(|error| failed(&stubs, &error))?;
    let source = stubs.join("cuda.c");
    let functions: String = functions(&text).iter().map(|name| format!("void {name}(void) {{}}\n")).collect();
    std::fs::write(&source, functions).map_err(|error| failed(&source, &error))?;
    // The name that drivers install, which the program then looks for.
    let name = "-Wl,-soname,libcuda.so.1";
    step(Command::new("cc").args(["-shared", "-fPIC", name, "-o"]).arg(stubs.join("libcuda.so")).arg(&source))
}

/// The functions that a header of the driver declares, under the names that libraries have for them: newer versions of a
/// function have a number, which the header hides behind a macro.
fn functions(header: &str) -> BTreeSet<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = header.split(|c: char| !is_name(c));
    words
        .filter(|word| {
            word.strip_prefix("cu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
        })
        .collect()
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::step(format!("{}: {error}", path.display()), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_a_header() {
        let header = "#define cuMemAlloc cuMemAlloc_v2\nCUresult CUDAAPI cuInit(unsigned int Flags);\ntypedef struct CUctx_st *CUcontext;\n/* cubin, cudaError */";
        assert_eq!(
            functions(header).into_iter().collect::<Vec<_>>(),
            ["cuInit", "cuMemAlloc", "cuMemAlloc_v2"]
        );
    }
}
