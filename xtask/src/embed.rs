//! What Trunk has made, compressed, in the folder that the program embeds.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::Failure;

/// The most bytes of a first visit, compressed by Brotli, which browsers ask for on this machine and by TLS.
const BUDGET: usize = 500_000;
/// The programs that are no pages but workers, and the most bytes of each, compressed by Brotli: two with an engine that paints
/// previews, and one that cuts out subjects.
pub(crate) const WORKERS: [(&str, usize); 3] =
    [("preview-gpu.html", 600_000), ("preview-cpu.html", 650_000), ("grabcut.html", 100_000)];

/// Copies the page's programs, each from its folder, to `embedded`, every file also compressed. What is there already keeps
/// its time, so that the program is not compiled anew for nothing.
pub(crate) fn embed(programs: &[(&str, PathBuf)], embedded: &Path) -> Result<(), Failure> {
    let mut wanted = BTreeMap::new();
    for (program, dist) in programs {
        let mut sizes = [0; 3];
        let names = files(dist)?;
        let worker = WORKERS.iter().find(|(name, _)| name == program).map(|(_, budget)| *budget);
        for name in &names {
            let bytes = if worker.is_some() && name.ends_with(".html") {
                worker_script(&names)?.into_bytes()
            } else {
                std::fs::read(dist.join(name)).map_err(|error| failed(name, &error))?
            };
            let (brotli, gzip) = (brotli(&bytes)?, gzip(&bytes)?);
            for (size, form) in sizes.iter_mut().zip([&bytes, &brotli, &gzip]) {
                *size += form.len();
            }
            let name = match name.strip_suffix(".html") {
                // The script that starts it, in the place of a page.
                Some(_) if worker.is_some() => program.replace(".html", ".js"),
                Some(_) => (*program).to_owned(),
                None => name.clone(),
            };
            wanted.insert(format!("{name}.br"), brotli);
            wanted.insert(format!("{name}.gz"), gzip);
            wanted.insert(name, bytes);
        }
        let [whole, brotli, gzip] = sizes.map(|size| size.div_ceil(1000));
        eprintln!(
            "\n{program}: {whole} kB, of which a first visit loads {brotli} kB (brotli) or {gzip} kB (gzip)."
        );
        let budget = worker.unwrap_or(BUDGET);
        if sizes[1] > budget {
            let budget = budget / 1000;
            return Err(Failure::step(
                format!("{program} is larger than {budget} kB compressed; make it smaller"),
                1,
            ));
        }
    }
    std::fs::create_dir_all(embedded).map_err(|error| failed("the folder of the page", &error))?;
    for name in files(embedded)?.iter().filter(|name| !wanted.contains_key(*name)) {
        std::fs::remove_file(embedded.join(name)).map_err(|error| failed(name, &error))?;
    }
    // The index comes last: its time tells when the page was finished.
    let index =
        wanted.remove("index.html").ok_or_else(|| Failure::step("Trunk has made no index.html", 1))?;
    for (name, bytes) in &wanted {
        let path = embedded.join(name);
        if std::fs::read(&path).ok().as_ref() != Some(bytes) {
            std::fs::write(&path, bytes).map_err(|error| failed(name, &error))?;
        }
    }
    std::fs::write(embedded.join("index.html"), index).map_err(|error| failed("index.html", &error))
}

/// The script that starts the worker: it has one name for ever, and says under which names the rest lies.
fn worker_script(names: &[String]) -> Result<String, Failure> {
    let find = |end: &str| {
        let found = names.iter().find(|name| name.ends_with(end));
        found.ok_or_else(|| Failure::step(format!("Trunk has made no {end} of a worker"), 1))
    };
    let (script, program) = (find(".js")?, find("_bg.wasm")?);
    Ok(format!("import start from \"./{script}\";\nawait start({{ module_or_path: \"./{program}\" }});\n"))
}

/// The names of the files in `folder` that do not begin with a dot.
fn files(folder: &Path) -> Result<Vec<String>, Failure> {
    let entries = std::fs::read_dir(folder).map_err(|error| failed(&folder.display().to_string(), &error))?;
    let names = entries.flatten().filter(|entry| entry.path().is_file());
    let mut names: Vec<_> = names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    Ok(names)
}

fn failed(name: &str, error: &std::io::Error) -> Failure {
    Failure::step(format!("{name}: {error}"), 1)
}

fn brotli(bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut packed = Vec::new();
    let mut writer = brotli::CompressorWriter::new(&mut packed, 1 << 16, 11, 22);
    writer.write_all(bytes).and_then(|()| writer.flush()).map_err(|error| failed("brotli", &error))?;
    drop(writer);
    Ok(packed)
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(bytes).map_err(|error| failed("gzip", &error))?;
    writer.finish().map_err(|error| failed("gzip", &error))
}
