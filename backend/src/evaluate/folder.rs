//! The images of a folder, and what they say of themselves.

use std::path::{Path, PathBuf};

use mudi_domain::subject::Subject;

use super::{EvaluateError, Judged, Options};
use crate::generate::picture::prompt_of;

/// The image files of a folder, by name.
///
/// # Errors
/// A folder that cannot be read or holds no image.
pub fn images(folder: &Path) -> Result<Vec<PathBuf>, EvaluateError> {
    const ENDINGS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];
    let fail = |source| EvaluateError::Folder { folder: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        // macOS puts a file of its own beside each on other systems' disks (`._0000.png`).
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
            continue;
        }
        let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        let is_image = ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()));
        if is_image && !is_layout(&path) && path.is_file() {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(EvaluateError::NoImages { folder: folder.to_owned() });
    }
    files.sort();
    Ok(files)
}

/// Whether it is the picture of a layout that `mudi generate` has put beside an image.
fn is_layout(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with(".layout.png"))
}

/// The prompt that `mudi generate` has written into a file.
pub(super) fn prompt(file: &Path) -> Option<String> {
    prompt_of(std::io::BufReader::new(std::fs::File::open(file).ok()?))
}

/// Says so where images carry prompts and none of these names a subject: they may be another project's.
pub(super) fn foreign(subjects: &[Subject], images: &[Judged]) -> Option<String> {
    let prompts: Vec<&str> = images.iter().filter_map(|image| image.prompt.as_deref()).collect();
    let first = prompts.first()?;
    if prompts.iter().any(|prompt| subjects.iter().any(|subject| subject.is_named_in(prompt))) {
        return None;
    }
    let known: Vec<&str> = subjects.iter().map(Subject::name).collect();
    Some(format!(
        "No image was made with a prompt that names one of the subjects ({}); the first prompt is “{first}”. Are the images of \
         another project?",
        known.join(", ")
    ))
}

/// Says so where nothing was found in any image: then the question is more likely wrong than all of them.
pub(super) fn blind(options: &Options, images: &[Judged]) -> Option<String> {
    if images.iter().any(|image| !image.found.is_empty()) {
        return None;
    }
    let asked: Vec<String> = options.queries.iter().map(|query| format!("“{query}”")).collect();
    Some(format!(
        "Nothing that is {} was found in any image with a score above {:.2}. Ask for something plainer (`--query dog`), or lower the \
         score (`--threshold 0.2`).",
        asked.join(" or "),
        options.threshold
    ))
}
