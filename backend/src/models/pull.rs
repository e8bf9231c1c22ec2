//! Pulling a model: into a folder beside its own, which gets its name when everything is there.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::archive::unpack;
use super::catalog::{Piece, Source};
use super::hub::{Hub, RemoteFile};
use super::manifest::{FileRecord, Manifest, digest};
use super::selection::needed;
use super::{ModelsError, find};
use crate::files::{WriteError, create_folder};

/// The end of the name of a folder or file that is not whole yet.
pub(crate) const PART: &str = ".part";

/// Bytes that are asked for at a time: what is lost at most when a connection breaks.
const CHUNK: u64 = 64 << 20;

/// How often a part is asked for, and how long is waited in between.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);

/// How far a pull is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The file.
    pub file: &'a str,
    /// Bytes that are there, of all files.
    pub done: u64,
    /// Bytes of all files.
    pub total: u64,
}

/// Pulls the model `name` (a short name, or `OWNER/NAME`) into a folder of `models`; what was pulled before an interruption
/// is kept and not pulled again. Returns the folder.
///
/// # Errors
/// [`ModelsError`]. The model's folder is there whole or not at all.
pub fn pull(
    hub: &Hub,
    name: &str,
    models: &Path,
    half: bool,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<PathBuf, ModelsError> {
    let (folder, source) = find(name)?;
    let target = models.join(&folder);
    if target.exists() {
        return Err(ModelsError::Exists { path: target });
    }
    let (origins, files) = match &source {
        Source::Hub(pieces) => {
            let origins = pieces.iter().map(|piece| piece.repository.clone()).collect();
            (origins, ask(hub, name, pieces, half)?)
        }
        Source::Archive(archive) => {
            let file = hub.single(archive.address, archive.path)?;
            (vec![file.url.clone()], vec![(file.path.clone(), file)])
        }
    };
    let staging = models.join(format!("{folder}{PART}"));
    create_folder(&staging)?;
    let lock_path = models.join(format!(".{folder}.lock"));
    let lock = File::create(&lock_path).map_err(|source| WriteError { path: lock_path.clone(), source })?;
    if lock.try_lock().is_err() {
        return Err(ModelsError::InUse { path: staging });
    }
    let total = files.iter().map(|(_, file)| file.size).sum();
    let mut done = 0;
    let mut manifest = Manifest { repositories: origins, ..Manifest::default() };
    for (path, file) in &files {
        let here = staging.join(path);
        if let Some(parent) = here.parent() {
            create_folder(parent)?;
        }
        let before = done;
        let sha256 = fetch(hub, file, &here, |bytes| {
            progress(Progress { file: path, done: before + bytes, total });
        })?;
        done += file.size;
        match &source {
            Source::Hub(_) => {
                manifest.files.insert(path.clone(), FileRecord { size: file.size, sha256 });
            }
            Source::Archive(archive) => manifest.files = unpack(&here, archive, &staging)?,
        }
    }
    manifest.write(&staging)?;
    std::fs::rename(&staging, &target).map_err(|source| WriteError { path: target.clone(), source })?;
    // The lock's file is empty; one that stays behind changes nothing.
    let _ = std::fs::remove_file(&lock_path);
    Ok(target)
}

/// A file of a model: its path in the model's folder, and what the hub knows of it.
type Wanted = (String, RemoteFile);

fn ask(hub: &Hub, name: &str, pieces: &[Piece], half: bool) -> Result<Vec<Wanted>, ModelsError> {
    let mut files = Vec::new();
    for piece in pieces {
        let all = hub.files(&piece.repository)?;
        let chosen = needed(&all, piece.without, half);
        // Of a base the denoiser: those of FLUX and SD 3 lie in another folder, old ones are pickles.
        let base = all.iter().any(|file| file.path == "model_index.json");
        if base && !all.iter().any(|file| file.path.starts_with("unet/")) {
            return Err(ModelsError::NoDenoiser { repository: piece.repository.clone() });
        }
        let counts = |path: &str| path.ends_with(".safetensors") && (!base || path.starts_with("unet/"));
        if !chosen.iter().any(|file| counts(&file.path)) {
            return Err(ModelsError::NoWeights { repository: piece.repository.clone() });
        }
        for file in chosen {
            let path = match piece.into {
                "" => file.path.clone(),
                into => format!("{into}/{}", file.path),
            };
            files.push((path, file.clone()));
        }
    }
    if files.is_empty() { Err(ModelsError::NoWeights { repository: name.to_owned() }) } else { Ok(files) }
}

/// Fetches one file, from where an earlier attempt stopped; returns its SHA-256.
fn fetch(
    hub: &Hub,
    file: &RemoteFile,
    path: &Path,
    mut progress: impl FnMut(u64),
) -> Result<String, ModelsError> {
    if !path.is_file() {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(PART);
        let part = path.with_file_name(name);
        let mut attempts = 0;
        loop {
            let have = part.metadata().map_or(0, |metadata| metadata.len());
            if have >= file.size && part.exists() {
                break;
            }
            match append(hub, file, &part, have, &mut progress) {
                // Whatever got through is a reason to go on.
                Ok(()) => attempts = 0,
                Err(error @ (ModelsError::Failed { .. } | ModelsError::Unreachable { .. })) => {
                    let now = part.metadata().map_or(0, |metadata| metadata.len());
                    attempts = if now > have { 1 } else { attempts + 1 };
                    if attempts >= ATTEMPTS {
                        return Err(error);
                    }
                    std::thread::sleep(PAUSE * attempts);
                }
                Err(error @ ModelsError::Write(_)) => {
                    // The disk is full, or the folder is not ours: half a file is no use there.
                    let _ = std::fs::remove_file(&part);
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
        }
        std::fs::rename(&part, path).map_err(|source| WriteError { path: path.to_owned(), source })?;
    }
    let length = path.metadata().map_or(0, |metadata| metadata.len());
    let found = digest(path)?;
    let reason = if length == file.size {
        match &file.sha256 {
            Some(expected) if *expected != found => {
                "what was pulled is not what the hub has (its SHA-256 differs)"
            }
            _ => return Ok(found),
        }
    } else {
        "what was pulled has another length than the hub's"
    };
    let _ = std::fs::remove_file(path);
    Err(ModelsError::Damaged { path: path.to_owned(), reason: reason.to_owned() })
}

/// Fetches the next part of a file.
fn append(
    hub: &Hub,
    file: &RemoteFile,
    part: &Path,
    have: u64,
    progress: &mut impl FnMut(u64),
) -> Result<(), ModelsError> {
    let failed = |source| WriteError { path: part.to_owned(), source };
    let mut out = OpenOptions::new().create(true).append(true).open(part).map_err(failed)?;
    if file.size == 0 {
        return Ok(());
    }
    let last = (have + CHUNK).min(file.size) - 1;
    let (continued, mut body) = hub.part(file, have, last)?;
    let mut written = have;
    let mut end = last + 1;
    if !continued {
        // The server does not know of parts and sends everything.
        out.set_len(0).map_err(failed)?;
        (written, end) = (0, file.size);
    }
    let url = file.url.clone();
    let mut buffer = vec![0; 1 << 18];
    while written < end {
        let room = buffer.len().min(usize::try_from(end - written).unwrap_or(usize::MAX));
        let count = body
            .read(&mut buffer[..room])
            .map_err(|error| ModelsError::Failed { url: url.clone(), reason: error.to_string() })?;
        if count == 0 {
            let reason = format!("the connection ended after {written} of {} bytes", file.size);
            return Err(ModelsError::Failed { url, reason });
        }
        out.write_all(&buffer[..count]).map_err(failed)?;
        written += count as u64;
        progress(written);
    }
    out.sync_all().map_err(failed)?;
    Ok(())
}
