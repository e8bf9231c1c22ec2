//! The text of a data set: `metadata.jsonl`.
//!
//! The first line names the subjects, every further line is a photo (the released MuDI data sets' format):
//!
//! ```json
//! {"id": {"a": "olis corgi", "b": "hta chow chow"}}
//! {"id": "a", "file_name": "a00.jpg", "mask_path": "mask_a00.png", "text": "A photo of a olis corgi on a beach."}
//! ```

use indexmap::IndexMap;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::{Deserialize as DeriveDeserialize, Serialize};

use crate::prompt;
use crate::subject::{Subject, SubjectError, SubjectId};

#[cfg(test)]
mod tests;

/// The file's name in a data set's folder.
pub const FILE_NAME: &str = "metadata.jsonl";
/// The longest caption, in characters. All captions of a run are read as if they were as long as the longest: a book among them would fill
/// any memory.
pub const MAX_CAPTION: usize = 5000;

/// What a data set's text says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// The subjects, in the order of the first line. Each has at least one photo.
    pub subjects: IndexMap<SubjectId, Subject>,
    /// The photos, in the order of their lines.
    pub photos: Vec<PhotoEntry>,
}

/// One photo's line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PhotoEntry {
    /// Whose photo it is.
    pub id: SubjectId,
    /// The photo's path, relative to the folder, with `/` between folders; it never leaves the folder.
    pub file_name: String,
    /// The mask's path, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask_path: Option<String>,
    /// The caption; where the line has none, `A photo of {name}.`
    pub text: String,
}

/// Why the text was refused. Lines are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// There is not one line.
    #[error("{FILE_NAME} is empty; its first line names the subjects: {{\"id\": {{\"a\": \"olis corgi\"}}}}")]
    Empty,
    /// A line is not the JSON that stands there.
    #[error("{FILE_NAME}, line {line}: {fault}; write {example}")]
    Json {
        /// The line.
        line: usize,
        /// What the parser says.
        fault: String,
        /// A line as it should be.
        example: &'static str,
    },
    /// The first line does not name the subjects.
    #[error(
        "{FILE_NAME}, line {line}: the first line must name the subjects; write {EXAMPLE_HEADER} above the photos"
    )]
    MissingHeader {
        /// The line.
        line: usize,
    },
    /// The first line names no subject.
    #[error("{FILE_NAME}, line {line}: no subject is named; write {EXAMPLE_HEADER}")]
    NoSubjects {
        /// The line.
        line: usize,
    },
    /// An id or a name is refused.
    #[error("{FILE_NAME}, line {line}: {source}")]
    Subject {
        /// The line.
        line: usize,
        /// Why.
        source: SubjectError,
    },
    /// Two subjects have the same id.
    #[error("{FILE_NAME}, line {line}: the id `{id}` is given twice; give each subject its own")]
    DuplicateId {
        /// The line.
        line: usize,
        /// The id.
        id: SubjectId,
    },
    /// Two subjects have the same name.
    #[error(
        "{FILE_NAME}, line {line}: `{first}` and `{second}` are both named {name:?}; give each its own identifier"
    )]
    DuplicateName {
        /// The line.
        line: usize,
        /// The one subject.
        first: SubjectId,
        /// The other.
        second: SubjectId,
        /// Their name.
        name: String,
    },
    /// A photo's id is none of the first line's.
    #[error(
        "{FILE_NAME}, line {line}: there is no subject {id:?}; write one of {known}, or name it in the first line"
    )]
    UnknownId {
        /// The line.
        line: usize,
        /// The id as it was given.
        id: String,
        /// The ids of the first line.
        known: String,
    },
    /// A path is empty, absolute, or leads out of the folder.
    #[error(
        "{FILE_NAME}, line {line}: `{field}` is {path:?}, {fault}; write a path inside the folder, as `a/b.jpg`"
    )]
    Path {
        /// The line.
        line: usize,
        /// `file_name` or `mask_path`.
        field: &'static str,
        /// The path as it was given.
        path: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A caption is longer than [`MAX_CAPTION`] characters.
    #[error(
        "{FILE_NAME}, line {line}: `text` has {length} characters; shorten it to {MAX_CAPTION}, a few sentences suffice"
    )]
    Caption {
        /// The line.
        line: usize,
        /// The caption's length in characters.
        length: usize,
    },
    /// A subject has no photo.
    #[error("{FILE_NAME}: subject `{id}` has no photo; add a line for one, or remove it from the first line")]
    NoPhoto {
        /// The subject.
        id: SubjectId,
    },
}

const EXAMPLE_HEADER: &str = r#"{"id": {"a": "olis corgi", "b": "hta chow chow"}}"#;
const EXAMPLE_PHOTO: &str =
    r#"{"id": "a", "file_name": "a00.jpg", "mask_path": "mask_a00.png", "text": "A photo of a olis corgi."}"#;

#[derive(DeriveDeserialize)]
#[serde(deny_unknown_fields)]
struct RawPhoto {
    id: String,
    file_name: String,
    #[serde(default)]
    mask_path: Option<String>,
    #[serde(default)]
    text: Option<String>,
}

#[derive(DeriveDeserialize)]
#[serde(deny_unknown_fields)]
struct RawHeader {
    id: Names,
}

/// The pairs of a JSON object, in order, repeated keys kept: a map would silently drop one of two subjects.
struct Names(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Names;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of ids and names")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Names(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

impl Metadata {
    /// Reads the text of a `metadata.jsonl`. Blank lines, a byte order mark and Windows line ends are allowed.
    ///
    /// # Errors
    /// The first fault, with its line and its cure.
    pub fn parse(text: &str) -> Result<Self, MetadataError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines = (1..).zip(text.lines()).filter(|(_, content)| !content.trim().is_empty());
        let (line, content) = lines.next().ok_or(MetadataError::Empty)?;
        let subjects = header(line, content)?;
        let photos =
            lines.map(|(line, content)| photo(line, content, &subjects)).collect::<Result<Vec<_>, _>>()?;
        if let Some(id) = subjects.keys().find(|id| photos.iter().all(|photo| photo.id != **id)) {
            return Err(MetadataError::NoPhoto { id: id.clone() });
        }
        Ok(Self { subjects, photos })
    }

    /// The text of a `metadata.jsonl` that [`Self::parse`] reads back.
    #[must_use]
    pub fn to_jsonl(&self) -> String {
        let names: IndexMap<&SubjectId, &str> = self.subjects.iter().map(|(id, s)| (id, s.name())).collect();
        let header = IndexMap::from([("id", names)]);
        // Maps and strings always serialize.
        let mut text = serde_json::to_string(&header).unwrap_or_default();
        text.push('\n');
        for photo in &self.photos {
            text.push_str(&serde_json::to_string(photo).unwrap_or_default());
            text.push('\n');
        }
        text
    }

    /// The photos of subject `id`, in the order of their lines.
    pub fn photos_of<'a>(&'a self, id: &'a SubjectId) -> impl Iterator<Item = &'a PhotoEntry> {
        self.photos.iter().filter(move |photo| photo.id == *id)
    }
}

fn json_error(line: usize, error: &serde_json::Error, example: &'static str) -> MetadataError {
    // The parser counts its lines within this one; only the column says something.
    let text = error.to_string();
    let fault = text.rsplit_once(" at line ").map_or(text.as_str(), |(fault, _)| fault);
    MetadataError::Json { line, fault: format!("{fault} (column {})", error.column()), example }
}

fn header(line: usize, content: &str) -> Result<IndexMap<SubjectId, Subject>, MetadataError> {
    let raw: RawHeader = serde_json::from_str(content).map_err(|error| {
        if serde_json::from_str::<RawPhoto>(content).is_ok() {
            MetadataError::MissingHeader { line }
        } else {
            json_error(line, &error, EXAMPLE_HEADER)
        }
    })?;
    let mut subjects: IndexMap<SubjectId, Subject> = IndexMap::new();
    for (id, name) in raw.id.0 {
        let subject = SubjectId::new(&id)
            .and_then(|id| Subject::new(id, &name))
            .map_err(|source| MetadataError::Subject { line, source })?;
        let id = subject.id().clone();
        if subjects.contains_key(&id) {
            return Err(MetadataError::DuplicateId { line, id });
        }
        let same = |other: &&Subject| other.name().to_lowercase() == subject.name().to_lowercase();
        if let Some(other) = subjects.values().find(same) {
            let (first, name) = (other.id().clone(), subject.name().to_owned());
            return Err(MetadataError::DuplicateName { line, first, second: id, name });
        }
        subjects.insert(id, subject);
    }
    if subjects.is_empty() {
        return Err(MetadataError::NoSubjects { line });
    }
    Ok(subjects)
}

fn photo(
    line: usize,
    content: &str,
    subjects: &IndexMap<SubjectId, Subject>,
) -> Result<PhotoEntry, MetadataError> {
    let raw: RawPhoto =
        serde_json::from_str(content).map_err(|error| json_error(line, &error, EXAMPLE_PHOTO))?;
    let subject = SubjectId::new(&raw.id).ok().and_then(|id| subjects.get(&id)).ok_or_else(|| {
        let known: Vec<String> = subjects.keys().map(|id| format!("`{id}`")).collect();
        MetadataError::UnknownId { line, id: raw.id.chars().take(80).collect(), known: known.join(", ") }
    })?;
    let inside = |field, path: &str| match path_fault(path) {
        Some(fault) => {
            Err(MetadataError::Path { line, field, path: path.chars().take(200).collect(), fault })
        }
        None => Ok(()),
    };
    inside("file_name", &raw.file_name)?;
    if let Some(path) = &raw.mask_path {
        inside("mask_path", path)?;
    }
    let text = raw.text.filter(|text| !text.trim().is_empty());
    let length = text.as_ref().map_or(0, |text| text.chars().count());
    if length > MAX_CAPTION {
        return Err(MetadataError::Caption { line, length });
    }
    Ok(PhotoEntry {
        id: subject.id().clone(),
        file_name: raw.file_name,
        mask_path: raw.mask_path,
        text: text.unwrap_or_else(|| prompt::photo(subject.name())),
    })
}

/// What keeps `path` from being a path inside of a folder, on any system; `None` where nothing does.
fn path_fault(path: &str) -> Option<&'static str> {
    let faults = [
        (path.trim().is_empty(), "which is empty"),
        (path.chars().any(char::is_control), "which has a control character"),
        (path.starts_with('/'), "which is absolute"),
        (path.contains(['\\', ':']), "which has a `\\` or a `:`"),
        (path.split('/').any(|part| part == ".."), "which leads out of the folder"),
        (path.split('/').any(|part| part.is_empty() || part == "."), "which has an empty step"),
    ];
    faults.into_iter().find_map(|(found, fault)| found.then_some(fault))
}
