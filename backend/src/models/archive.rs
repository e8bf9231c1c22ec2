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
        // The reader of archives goes no further than what a member declares.
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    /// An archive whose only member says that it has so many bytes, and has 1000.
    fn declaring(size: u32) -> Vec<u8> {
        let mut archive = ZipWriter::new(std::io::Cursor::new(Vec::new()));
        archive.start_file("config.json", SimpleFileOptions::default()).unwrap();
        archive.write_all(&[b' '; 1000]).unwrap();
        let mut bytes = archive.finish().unwrap().into_inner();
        for (signature, at) in [(b"PK\x03\x04", 22), (b"PK\x01\x02", 24)] {
            let header = bytes.windows(4).position(|four| four == signature).unwrap();
            bytes[header + at..header + at + 4].copy_from_slice(&size.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn a_member_is_no_longer_than_it_says() {
        let wanted = Archive { address: "", path: "", files: &["config.json"] };
        let unpacked = |size| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("model.zip");
            std::fs::write(&path, declaring(size)).unwrap();
            unpack(&path, &wanted, folder.path()).map_err(|error| error.to_string())
        };
        assert_eq!(unpacked(1000).unwrap()["config.json"].size, 1000);
        let error = unpacked(10).unwrap_err();
        assert!(error.contains("`config.json`") && error.contains("larger than its declared"), "{error}");
    }
}
