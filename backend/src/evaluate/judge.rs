//! Judging images.

use std::path::Path;
use std::sync::Arc;

use image::RgbImage;
use mudi_domain::compare::{Embedding, Norm, References};
use mudi_domain::statistics::Estimate;
use mudi_domain::subject::Subject;
use mudi_vision::owl::suppress;

use super::{
    Cast, EvaluateError, Evaluation, Found, HTML_NAME, JSON_NAME, Judged, Options, Summary, Verdict,
};
use super::{crops, folder, page};
use crate::dataset::decode::Decoded;
use crate::dataset::{Dataset, Photo, read_image};
use crate::files::write_atomically;
use crate::report::html::shrunk;
use crate::vision::{Detector, Embedder, Habits, Questions, is_one_of};

/// The networks that judge.
pub struct Eyes {
    detector: Detector,
    embedders: Vec<Embedder>,
}

impl Eyes {
    /// Loads the detector and the embedders from their folders. The first embedder's scores are those that images are ordered
    /// by.
    ///
    /// # Errors
    /// [`EvaluateError`]: a folder that does not hold its network; no embedder.
    pub fn load(detector: &Path, embedders: &[&Path]) -> Result<Self, EvaluateError> {
        if embedders.is_empty() {
            return Err(EvaluateError::NoEmbedder);
        }
        let detector = Detector::load(detector)?;
        let embedders =
            embedders.iter().map(|folder| Embedder::load(folder)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { detector, embedders })
    }

    /// How these networks judge where nothing else is said: as MuDI's code does, but for a detector whose folder says otherwise.
    #[must_use]
    pub fn options(&self) -> Options {
        let options = Options::default();
        match self.detector.habits() {
            Some(Habits { queries, threshold, overlap, .. }) => Options {
                queries: queries.clone(),
                threshold: *threshold as f32,
                overlap: *overlap,
                ..options
            },
            None => options,
        }
    }

    /// Whether all of them know what a subject is, where they are so small that they say what they know: a detector that is asked for
    /// `toy` finds something in any picture.
    fn check_known(&self, class: &str) -> Result<(), EvaluateError> {
        let embedders = self.embedders.iter().map(|embedder| ("embedder", embedder.classes()));
        let networks = std::iter::once(("detector", self.detector.classes())).chain(embedders);
        for (network, known) in networks {
            let Some(known) = known.filter(|known| !is_one_of(known, class)) else { continue };
            let (class, known) = (class.to_owned(), known.join(", "));
            return Err(EvaluateError::UnknownClass { class, network, known });
        }
        Ok(())
    }

    /// Whether [`right_from`](super::right_from) says something about their scores: detector and first embedder are the miniatures of
    /// one world, on whose scenes those thresholds were fixed.
    fn are_calibrated(&self) -> bool {
        let known = self.detector.classes();
        known.is_some() && self.embedders.first().is_some_and(|embedder| embedder.classes() == known)
    }
}

/// Photos and networks, ready to judge images.
pub struct Judge {
    eyes: Arc<Eyes>,
    questions: Questions,
    /// Of each embedder.
    references: Vec<References>,
    subjects: Vec<Subject>,
    cast: Vec<Cast>,
    options: Options,
}

/// Of more detections than this beyond the number of subjects only the surest are embedded: the score is 0 anyway.
const SUPERFLUOUS: usize = 8;

impl Judge {
    /// Embeds the photos of a data set: each cropped to its mask's box, on a white square, as detections are.
    ///
    /// # Errors
    /// [`EvaluateError`], by what is wrong with which file; a class that a small network has never seen, unless the caller says what to
    /// look for.
    pub fn new(eyes: Arc<Eyes>, data: &Dataset, mut options: Options) -> Result<Self, EvaluateError> {
        let usual = eyes.detector.habits().map_or(&[][..], |habits| &habits.queries);
        if options.queries.is_empty() || options.queries == usual {
            for data in &data.subjects {
                eyes.check_known(data.subject.class())?;
            }
        }
        if options.queries.is_empty() {
            for data in &data.subjects {
                let class = data.subject.class().to_owned();
                if !options.queries.contains(&class) {
                    options.queries.push(class);
                }
            }
        }
        let queries: Vec<&str> = options.queries.iter().map(String::as_str).collect();
        let questions = eyes.detector.ask(&queries)?;
        let mut references = vec![Vec::new(); eyes.embedders.len()];
        let mut cast = Vec::with_capacity(data.subjects.len());
        for data in &data.subjects {
            let crops: Vec<RgbImage> = data.photos.iter().map(crop).collect();
            for (embedder, references) in eyes.embedders.iter().zip(&mut references) {
                let embedded = crops.iter().map(|crop| embedder.embed(crop));
                references.push(embedded.collect::<Result<Vec<Embedding>, _>>()?);
            }
            cast.push(Cast {
                name: data.subject.name().to_owned(),
                crops: crops.iter().map(shrunk).collect(),
            });
        }
        let references = references.into_iter().map(References::new).collect::<Result<Vec<_>, _>>()?;
        let subjects = data.subjects.iter().map(|data| data.subject.clone()).collect();
        Ok(Self { eyes, questions, references, subjects, cast, options })
    }

    /// Whether a score tells that an image is right. Those of other networks, and of other norms, have no known threshold.
    #[must_use]
    pub fn is_calibrated(&self) -> bool {
        self.eyes.are_calibrated() && self.options.norm == Norm::default()
    }

    /// Judges one image; `file` is what the result calls it.
    ///
    /// # Errors
    /// An image without pixels; networks that fail.
    pub fn judge(&self, file: &Path, image: &RgbImage) -> Result<Judged, EvaluateError> {
        let detections = self.eyes.detector.detect(image, &self.questions, self.options.threshold)?;
        let mut found = Vec::new();
        let mut shown = Vec::new();
        for detection in suppress(&detections, self.options.overlap) {
            // A box that lies beside the image shows nothing of it.
            let Some(rect) = crops::inside(image, &detection.bounds) else { continue };
            if shown.len() < self.subjects.len() + SUPERFLUOUS {
                shown.push(crops::on_square(image, rect));
            }
            let query = self.options.queries[detection.query].clone();
            found.push(Found { bounds: detection.bounds, query, score: detection.score });
        }
        let mut verdicts = Vec::with_capacity(self.references.len());
        for (embedder, references) in self.eyes.embedders.iter().zip(&self.references) {
            let embeddings =
                shown.iter().map(|crop| embedder.embed(crop)).collect::<Result<Vec<Embedding>, _>>()?;
            let comparison = references.compare_surest(&embeddings, found.len(), self.options.norm)?;
            let explanation = comparison.outcome.to_string();
            let multi_subject_similarity = references.multi_subject_similarity(&embedder.embed(image)?)?;
            verdicts.push(Verdict {
                embedder: embedder.kind(),
                comparison,
                explanation,
                multi_subject_similarity,
            });
        }
        Ok(Judged { file: file.to_owned(), prompt: None, found, verdicts })
    }

    /// Judges every image of a folder; `judged` hears of each.
    ///
    /// # Errors
    /// A folder that is not there or holds no image; an image that cannot be read; networks that fail.
    pub fn judge_folder(
        &self,
        folder: &Path,
        mut judged: impl FnMut(usize, usize),
    ) -> Result<Evaluation, EvaluateError> {
        let files = folder::images(folder)?;
        // Large networks look at each for seconds: what cannot be read is said before that is lost.
        judged(0, files.len());
        for file in &files {
            read_image(file)?;
        }
        let mut images = Vec::with_capacity(files.len());
        for file in &files {
            let image = self.judge(file, &read_image(file)?.rgb())?;
            images.push(Judged { prompt: folder::prompt(file), ..image });
            judged(images.len(), files.len());
        }
        let mean = |of: &dyn Fn(&Judged) -> f64| Estimate::mean(&images.iter().map(of).collect::<Vec<_>>());
        let summaries = self
            .eyes
            .embedders
            .iter()
            .zip(&self.references)
            .enumerate()
            .map(|(index, (embedder, references))| Summary {
                embedder: embedder.kind(),
                references: references.similarities().clone(),
                score: mean(&|image| image.verdicts[index].comparison.score),
                multi_subject_similarity: mean(&|image| image.verdicts[index].multi_subject_similarity),
            })
            .collect();
        let notes = [folder::foreign(&self.subjects, &images), folder::blind(&self.options, &images)];
        let whole = images.iter().filter(|image| image.found.len() == self.subjects.len()).count();
        Ok(Evaluation {
            options: self.options.clone(),
            subjects: self.subjects.iter().map(|subject| subject.name().to_owned()).collect(),
            notes: notes.into_iter().flatten().collect(),
            all_found: Estimate::rate(whole, images.len()),
            summaries,
            images,
        })
    }

    /// Writes [`HTML_NAME`] and [`JSON_NAME`] into the folder `out`. The page shows the best and the worst images, which are
    /// read again for it.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn write(&self, evaluation: &Evaluation, out: &Path) -> Result<(), EvaluateError> {
        let mut text = serde_json::to_string_pretty(evaluation)?;
        text.push('\n');
        write_atomically(&out.join(JSON_NAME), text.as_bytes())?;
        let picture = |image: &Judged| read_image(&image.file).ok().map(Decoded::rgb);
        let page = page::page(evaluation, &self.cast, picture);
        write_atomically(&out.join(HTML_NAME), page.as_bytes())?;
        Ok(())
    }
}

/// What is embedded of a photo.
fn crop(photo: &Photo) -> RgbImage {
    let bounds = photo.mask.bounding_box().unwrap_or(crops::whole(&photo.image));
    crops::on_square(&photo.image, bounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_those_of_the_miniatures_alone() {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
        let (detector, embedder) = (models.join("owlv2-toybox"), models.join("dinov2-toybox"));
        let calibrated = |embedder: &Path| Eyes::load(&detector, &[embedder]).unwrap().are_calibrated();
        assert!(calibrated(&embedder));
        // As published networks are: their folders name no classes.
        let other = tempfile::tempdir().unwrap();
        for name in ["config.json", "model.safetensors", "preprocessor_config.json"] {
            std::fs::copy(embedder.join(name), other.path().join(name)).unwrap();
        }
        let path = other.path().join("config.json");
        let mut config: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        config.as_object_mut().unwrap().remove("known_classes").unwrap();
        std::fs::write(&path, config.to_string()).unwrap();
        assert!(!calibrated(other.path()));
    }
}
