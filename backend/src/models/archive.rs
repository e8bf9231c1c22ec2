//! Unpacking the archives of models.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::Path;

use zip::ZipArchive;

use super::ModelsError;
use super::catalog::Archive;
use super::manifest::{FileRecord, digest};
use crate::files::{WriteError, create_folder};

/// What is unpacked: weights, whose pickles are interpreted and never executed, and configurations.
const ENDS: [&str; 5] = [".pth", ".pth.tar", ".safetensors", ".bin", ".json"];

/// Most members, and most bytes that they may be unpacked: many times what any of these models has.
const MAX_MEMBERS: usize = 1000;
const MAX_BYTES: u64 = 64 << 30;

/// Unpacks the archive at `path` into `folder` and removes it; what was unpacked, by its path in the folder.
///
/// # Errors
/// [`ModelsError::Damaged`] where it is no such archive, or one of its members is not what the archive says (CRC-32);
/// [`ModelsError::Write`].
pub(super) fn unpack(
    path: &Path,
    wanted: &Archive,
    folder: &Path,
) -> Result<BTreeMap<String, FileRecord>, ModelsError> {
    let damaged = |reason: String| {
        // The next pull shall not take it for a part of the right one.
        let _ = std::fs::remove_file(path);
        ModelsError::Damaged { path: path.to_owned(), reason }
    };
    let file = File::open(path).map_err(|source| ModelsError::Read { path: path.to_owned(), source })?;
    let mut archive = ZipArchive::new(BufReader::new(file))
        .map_err(|error| damaged(format!("is no zip archive: {error}")))?;
    if archive.len() > MAX_MEMBERS {
        return Err(damaged(format!("has {} members, more than any model", archive.len())));
    }
    let mut files = BTreeMap::new();
    let mut left = MAX_BYTES;
    for index in 0..archive.len() {
        let mut member =
            archive.by_index(index).map_err(|error| damaged(format!("cannot be unpacked: {error}")))?;
        let Some(name) = member.enclosed_name().and_then(|name| name.to_str().map(str::to_owned)) else {
            return Err(damaged("has a member outside of it".to_owned()));
        };
        // What macOS adds begins with a dot.
        let hidden = name.split('/').any(|part| part.starts_with('.') || part == "__MACOSX");
        if hidden || !ENDS.iter().any(|end| name.ends_with(end)) {
            continue;
        }
        left =
            left.checked_sub(member.size()).ok_or_else(|| damaged("is larger than any model".to_owned()))?;
        let out = folder.join(&name);
        if let Some(parent) = out.parent() {
            create_folder(parent)?;
        }
        let failed = |source| WriteError { path: out.clone(), source };
        let mut written = File::create(&out).map_err(failed)?;
        std::io::copy(&mut member, &mut written).map_err(|error| match error.kind() {
            ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof => {
                damaged(format!("`{name}` in it: {error}"))
            }
            _ => failed(error).into(),
        })?;
        written.sync_all().map_err(failed)?;
        let size = written.metadata().map_err(failed)?.len();
        files.insert(name, FileRecord { size, sha256: digest(&out)? });
    }
    if let Some(missing) = wanted.files.iter().find(|name| !files.contains_key(**name)) {
        return Err(damaged(format!("does not hold `{missing}`")));
    }
    std::fs::remove_file(path).map_err(|source| WriteError { path: path.to_owned(), source })?;
    Ok(files)
}
