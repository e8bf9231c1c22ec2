//! Detect-and-Compare: does an image show these subjects, each once and unmixed? (MuDI, section 4.3)
//!
//! A detector finds the subjects of an image, a network embeds their crops and the reference photos, and this module,
//! which knows neither, compares. The similarities among the references say how alike the subjects are to begin with; those
//! between detections and references should be the same. How far they are from it is what mixing costs.
//!
//! ```
//! use mudi_domain::compare::{Embedding, Norm, References};
//!
//! let embed = |values: [f32; 2]| Embedding::new(&values).unwrap();
//! let references = References::new(vec![vec![embed([1.0, 0.0])], vec![embed([0.0, 1.0])]]).unwrap();
//! let right = references.compare(&[embed([0.0, 2.0]), embed([3.0, 0.0])], Norm::Frobenius).unwrap();
//! assert_eq!(right.score, 1.0);
//! let one_missing = references.compare(&[embed([3.0, 0.0])], Norm::Frobenius).unwrap();
//! assert_eq!(one_missing.score, 0.0);
//! ```
mod embedding;
mod matching;
mod norm;

use serde::Serialize;

pub use embedding::{Embedding, EmbeddingError};
pub use norm::{Norm, UnknownNorm};

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;

/// A matrix of similarities, row by row; each is a cosine, -1..=1.
pub type Similarities = Vec<Vec<f64>>;

/// A score as a reader sees it: two digits, rounded down, so that one just below a threshold does not look as if it were at it.
#[must_use]
pub fn score_text(score: f64) -> String {
    // 0.29 is a little less than 29 hundredths as a binary fraction.
    format!("{:.2}", (score * 100.0 + 1e-9).floor() / 100.0)
}

/// Why references and detections cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// Nothing to compare with.
    #[error("there is no subject to compare with; give the references of at least one")]
    NoSubject,
    /// A subject without references.
    #[error("subject {} of {count} has no reference; give each at least one photo", subject + 1)]
    NoReference {
        /// Its index.
        subject: usize,
        /// How many subjects there are.
        count: usize,
    },
    /// Embeddings of two networks.
    #[error(
        "an embedding has {found} values and another {expected}; embed all of them with the same network"
    )]
    Width {
        /// Length of the first reference.
        expected: usize,
        /// The other length.
        found: usize,
    },
}

/// The references of every subject, and how alike they are among each other.
#[derive(Debug, Clone)]
pub struct References {
    subjects: Vec<Vec<Embedding>>,
    similarities: Similarities,
    width: usize,
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    /// As many detections as subjects.
    Matched {
        /// For each subject, which detection was taken for it.
        detection_of: Vec<usize>,
        /// The norm of the difference, at least 0.
        distance: f64,
    },
    /// More or fewer detections than subjects: a subject is missing, or there is one too many.
    Count {
        /// How many subjects there are.
        subjects: usize,
        /// How many were detected.
        detected: usize,
    },
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Matched { distance, .. } => {
                write!(f, "every subject was found; the distance is {distance:.3}")
            }
            Self::Count { subjects, detected: 0 } => {
                write!(f, "nothing was detected, but there are {subjects} subjects")
            }
            Self::Count { subjects, detected } => {
                write!(f, "the number of detections is {detected}, that of subjects {subjects}")
            }
        }
    }
}

/// One image, compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// `1 - distance`: at most 1, which is right. Below 0 where the distance is above 1. 0 where the number of detections is
    /// not that of subjects.
    pub score: f64,
    /// How the distance is measured.
    pub norm: Norm,
    /// What was found.
    pub outcome: Outcome,
    /// `S_gt[i][j]`: how alike the references of subjects `i` and `j` are.
    pub references: Similarities,
    /// `S_dc[i][j]`: how alike detection `i` and the references of subject `j` are. The rows are in the order of subjects
    /// where there are as many, otherwise in that of detections.
    pub detections: Similarities,
}

impl References {
    /// The references of each subject.
    ///
    /// # Errors
    /// [`CompareError`]: no subject, a subject without references, or embeddings of different lengths.
    pub fn new(subjects: Vec<Vec<Embedding>>) -> Result<Self, CompareError> {
        let first = subjects.first().ok_or(CompareError::NoSubject)?;
        if let Some(subject) = subjects.iter().position(Vec::is_empty) {
            return Err(CompareError::NoReference { subject, count: subjects.len() });
        }
        let width = first[0].width();
        check_width(width, subjects.iter().flatten())?;
        let similarities = subjects
            .iter()
            .map(|these| {
                let to =
                    |those: &Vec<Embedding>| mean(these.iter().map(|embedding| to_all(embedding, those)));
                subjects.iter().map(to).collect()
            })
            .collect();
        Ok(Self { subjects, similarities, width })
    }

    /// `S_gt`, subjects by subjects: the mean similarity of each pair of references. A photo is also compared with itself.
    #[must_use]
    pub fn similarities(&self) -> &Similarities {
        &self.similarities
    }

    /// Compares the subjects detected in one image with the references.
    ///
    /// Rows are matched to subjects greedily, as the released code does it: subject by subject, the row that is most like it
    /// among those that are left.
    ///
    /// # Errors
    /// [`CompareError::Width`].
    pub fn compare(&self, detections: &[Embedding], norm: Norm) -> Result<Comparison, CompareError> {
        self.compare_surest(detections, detections.len(), norm)
    }

    /// The same where `detected` subjects were found, of which only some were embedded: their number is then wrong, whoever
    /// they are.
    ///
    /// # Errors
    /// [`CompareError::Width`].
    pub fn compare_surest(
        &self,
        detections: &[Embedding],
        detected: usize,
        norm: Norm,
    ) -> Result<Comparison, CompareError> {
        check_width(self.width, detections)?;
        let rows: Similarities = detections
            .iter()
            .map(|detection| self.subjects.iter().map(|subject| to_all(detection, subject)).collect())
            .collect();
        let references = self.similarities.clone();
        let subjects = self.subjects.len();
        if subjects != detected || subjects != detections.len() {
            let outcome = Outcome::Count { subjects, detected };
            return Ok(Comparison { score: 0.0, norm, outcome, references, detections: rows });
        }
        let detection_of = matching::greedy(&rows);
        let detections: Similarities = detection_of.iter().map(|&row| rows[row].clone()).collect();
        let distance = norm.of_difference(&detections, &references);
        let outcome = Outcome::Matched { detection_of, distance };
        Ok(Comparison { score: 1.0 - distance, norm, outcome, references, detections })
    }

    /// The plain multi-subject similarity that the paper compares its score with: the mean, over subjects, of the similarity
    /// of the whole image to their references, -1..=1. It does not see who is missing or mixed.
    ///
    /// # Errors
    /// [`CompareError::Width`].
    pub fn multi_subject_similarity(&self, image: &Embedding) -> Result<f64, CompareError> {
        check_width(self.width, [image])?;
        Ok(mean(self.subjects.iter().map(|subject| to_all(image, subject))))
    }
}

/// Fails where an embedding has another length than `expected`.
fn check_width<'a>(
    expected: usize,
    embeddings: impl IntoIterator<Item = &'a Embedding>,
) -> Result<(), CompareError> {
    match embeddings.into_iter().map(Embedding::width).find(|&found| found != expected) {
        None => Ok(()),
        Some(found) => Err(CompareError::Width { expected, found }),
    }
}

/// Mean similarity of one embedding to several; their lengths are the same.
fn to_all(one: &Embedding, others: &[Embedding]) -> f64 {
    mean(others.iter().map(|other| one.cosine(other)))
}

/// The mean of values of which there is at least one.
fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}
