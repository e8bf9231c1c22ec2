//! What an archive says of a project, held against what this program writes.

use std::collections::{BTreeMap, BTreeSet};

use mudi_domain::api::{ImageScore, JobKind, JobState, NewEvaluation, NewImages, NewMasks};
use mudi_domain::layout::Layout;
use mudi_domain::recipe::Recipe;
use mudi_domain::subject::{Subject, SubjectId};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{FORMAT, Header, Trained, VERSION};
use crate::server::http::extract::{line, one_line};
use crate::server::http::problem::ApiError;
use crate::server::http::wishes;
use crate::server::store::{Document, ProjectRows};
use crate::train::LORA_FILE;

/// The most subjects of a project.
const MAX_SUBJECTS: usize = 64;
/// The longest path of a run's file, in characters.
const MAX_PATH: usize = 200;

fn wrong(fault: impl std::fmt::Display) -> ApiError {
    ApiError::bad_file(format!(
        "project.json is not as this program writes it: {fault}; export the project anew"
    ))
}

/// Whether the manifest can be read by this program.
pub(super) fn format(header: &Header) -> Result<(), ApiError> {
    if header.format != FORMAT {
        return Err(wrong(format!("its format is {:?}, not {FORMAT:?}", header.format)));
    }
    if header.version > VERSION {
        return Err(ApiError::bad_file(format!(
            "the archive has version {}, and this program reads up to {VERSION}; update it",
            header.version
        )));
    }
    Ok(())
}

/// Checks all rows, and gives them new ids.
pub(super) fn rows(rows: &mut ProjectRows, trained: &mut [Trained]) -> Result<(), ApiError> {
    for row in &rows.subjects {
        let id = SubjectId::new(&row.id).map_err(wrong)?;
        Subject::new(id, &row.name).map_err(wrong)?;
    }
    let subjects: BTreeSet<&str> = rows.subjects.iter().map(|row| row.id.as_str()).collect();
    if subjects.len() != rows.subjects.len() || subjects.len() > MAX_SUBJECTS {
        return Err(wrong(format!("it has {} subjects, of {} ids", rows.subjects.len(), subjects.len())));
    }
    let names: BTreeSet<String> = rows.subjects.iter().map(|row| row.name.to_lowercase()).collect();
    if names.len() != subjects.len() {
        return Err(wrong("two subjects have one name"));
    }
    for row in &mut rows.photos {
        line("name", &row.name, 0, 200)?;
        row.caption = one_line(&row.caption);
        if !subjects.contains(row.subject.as_str()) {
            return Err(wrong(format!("a photo is of subject {:?}, which is not there", row.subject)));
        }
    }
    for row in &rows.run_photos {
        let id = SubjectId::new(&row.subject).map_err(wrong)?;
        Subject::new(id, &row.subject_name).map_err(wrong)?;
    }
    numbers(rows)?;
    for row in &rows.documents {
        line("name", &row.name, 1, 200)?;
        match row.kind.as_str() {
            Recipe::KIND => document::<Recipe>(&row.value)?,
            Layout::KIND => document::<Layout>(&row.value)?,
            kind => return Err(wrong(format!("a document is a {kind:?}"))),
        }
    }
    for row in &rows.runs {
        line("name", &row.name, 1, 200)?;
        document::<Recipe>(&row.recipe)?;
    }
    for row in &rows.images {
        parsed::<serde_json::Value>(&row.parameters)?;
        row.score.as_deref().map(parsed::<ImageScore>).transpose()?;
    }
    for file in rows.files() {
        let (digest, extension) = file.split_once('.').unwrap_or_default();
        let hexadecimal = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !hexadecimal || !["jpg", "png"].contains(&extension) {
            return Err(wrong(format!("a file is called {file:?}")));
        }
    }
    let renewed = rows.renew().map_err(wrong)?;
    for file in &mut *trained {
        file.run = *renewed.get(&file.run).ok_or_else(|| wrong("a file is of a run that is not there"))?;
        path(&file.path)?;
    }
    files(rows, trained)?;
    for row in &mut rows.jobs {
        let kind =
            JobKind::from_word(&row.kind).ok_or_else(|| wrong(format!("a job is a {:?}", row.kind)))?;
        let state =
            JobState::from_word(&row.state).ok_or_else(|| wrong(format!("a job is {:?}", row.state)))?;
        if !state.is_over() && state != JobState::Paused {
            return Err(wrong(format!("a job is {}", row.state)));
        }
        let new = |id: Uuid| renewed.get(&id).copied();
        // What a request names may have been deleted since.
        row.request = match kind {
            JobKind::Train => continue,
            JobKind::Generate => {
                let mut request: NewImages = parsed(&row.request)?;
                wishes::images(&request)?;
                request.run = request.run.and_then(new);
                serde_json::to_string(&request)
            }
            JobKind::Segment => {
                let request: NewMasks = parsed(&row.request)?;
                serde_json::to_string(&NewMasks {
                    photos: request.photos.into_iter().filter_map(new).collect(),
                    anew: request.anew,
                })
            }
            JobKind::Evaluate => {
                let request: NewEvaluation = parsed(&row.request)?;
                let images = request.images.into_iter().filter_map(new).collect();
                serde_json::to_string(&NewEvaluation { images })
            }
        }
        .map_err(wrong)?;
    }
    Ok(())
}

/// Counts photos where the archive does not say their numbers, and checks those that it says: no two photos of a subject have the same, and
/// the next photo gets one that no run's photo has.
fn numbers(rows: &mut ProjectRows) -> Result<(), ApiError> {
    let mut next: BTreeMap<&str, u32> = BTreeMap::new();
    let mut given = BTreeSet::new();
    let photos = rows.photos.iter_mut().map(|row| (None, &row.subject, &mut row.number));
    let of_runs = rows.run_photos.iter_mut().map(|row| (Some(row.run), &row.subject, &mut row.number));
    let mut counts: BTreeMap<(Option<Uuid>, &str), u32> = BTreeMap::new();
    for (run, subject, number) in photos.chain(of_runs) {
        let count = counts.entry((run, subject)).or_default();
        let number = *number.get_or_insert(*count);
        *count += 1;
        let after = number.checked_add(1).filter(|_| given.insert((run, subject, number)));
        let after =
            after.ok_or_else(|| wrong(format!("photo {number} of {subject:?} cannot be numbered so")))?;
        let next = next.entry(subject).or_default();
        *next = after.max(*next);
    }
    for row in &mut rows.subjects {
        let least = next.get(row.id.as_str()).copied().unwrap_or(0);
        row.next_photo = row.next_photo.max(Some(least));
    }
    Ok(())
}

/// Whether the runs' files can lie beside each other, and those that are done have their weights.
fn files(rows: &ProjectRows, trained: &[Trained]) -> Result<(), ApiError> {
    let known: BTreeSet<(Uuid, &str)> = trained.iter().map(|file| (file.run, file.path.as_str())).collect();
    for file in trained {
        let folders = file.path.match_indices('/').map(|(end, _)| &file.path[..end]);
        for folder in folders {
            if known.contains(&(file.run, folder)) {
                return Err(wrong(format!("{folder:?} is a run's file and a folder")));
            }
        }
    }
    for run in &rows.runs {
        let done = |state: &str| JobState::from_word(state) == Some(JobState::Done);
        let is_done = rows.jobs.iter().any(|job| job.id == run.job && done(&job.state));
        if is_done && !known.contains(&(run.id, LORA_FILE)) {
            return Err(wrong(format!("the run {:?} is done, but its {LORA_FILE} is not there", run.name)));
        }
    }
    Ok(())
}

fn parsed<T: DeserializeOwned>(text: &str) -> Result<T, ApiError> {
    serde_json::from_str(text).map_err(wrong)
}

fn document<T: Document>(text: &str) -> Result<(), ApiError> {
    parsed::<T>(text)?.check().map_err(wrong)
}

/// Whether a run's file stays in the run's folder: steps of letters, digits, `-`, `_` and `.`, none of them hidden.
pub(super) fn path(path: &str) -> Result<(), ApiError> {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    let step = |step: &str| !step.is_empty() && !step.starts_with('.') && step.chars().all(plain);
    match path.len() <= MAX_PATH && path.split('/').all(step) {
        true => Ok(()),
        false => Err(wrong(format!("a run's file is called {path:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn files_stay_in_their_run() {
        for good in ["run.json", "samples/step-000010-0.png", "prior/a_bear/0001.png"] {
            assert!(path(good).is_ok(), "{good}");
        }
        for bad in ["", "/etc/passwd", "../x", "a/../b", "a//b", "a\\b", ".hidden", "a/.b", "c:x", "a b", "ü"]
        {
            assert!(path(bad).is_err(), "{bad}");
        }
    }
}
