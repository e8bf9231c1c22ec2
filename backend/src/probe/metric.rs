//! Detect-and-Compare against truth: scenes of two similar toys that are right, mixed by known degrees, duplicated, missing or
//! swapped.

use std::path::Path;
use std::sync::Arc;

use image::RgbImage;
use mudi_domain::mask::Mask;
use mudi_domain::rng::{self, Stream};
use mudi_domain::statistics::Estimate;
use mudi_domain::subject::{Subject, SubjectId};
use mudi_toybox::{
    Background, MAX_TOYS, Naming, Scene, Toy, photo_set, similar_group, similar_pair, subject_name,
};
use rand::Rng;
use rand::seq::SliceRandom;
use serde::Serialize;

use super::ProbeError;
use super::auroc::{auroc, best_threshold};
use crate::dataset::{Dataset, Digests, Photo, SubjectData};
use crate::evaluate::{Eyes, Judge, RIGHT};
use crate::pretrain::miniature::softener::Softener;

/// Side of the scenes, in pixels.
const SIDE: u32 = 96;
/// Photos of each toy.
const PHOTOS: usize = 5;
/// What a toy has that another may take over: coat, pattern, what it wears, and all that no caption names.
const TRAITS: [fn(&mut Toy, &Toy); 4] = [
    |toy, of| (toy.color, toy.coat) = (of.color, of.coat),
    |toy, of| {
        toy.pattern = of.pattern;
        toy.traits.pattern_shade = of.traits.pattern_shade;
    },
    |toy, of| toy.accessory.clone_from(&of.accessory),
    |toy, of| {
        let shade = toy.traits.pattern_shade;
        toy.traits = of.traits.clone();
        toy.traits.pattern_shade = shade;
    },
];

/// What a scene shows of two toys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Truth {
    /// Both, unmixed.
    Right,
    /// One has taken over so many of the four traits of the other: one to three.
    Mixed(usize),
    /// One of them twice: all four traits are taken over.
    Duplicated,
    /// They have exchanged one or two traits.
    Swapped,
    /// One of them alone.
    Missing,
}

/// What each pair is shown as; right ones as often as they are needed to be told from the others.
const SHOWN: [Truth; 10] = [
    Truth::Right,
    Truth::Right,
    Truth::Right,
    Truth::Mixed(1),
    Truth::Mixed(2),
    Truth::Mixed(3),
    Truth::Duplicated,
    Truth::Swapped,
    Truth::Swapped,
    Truth::Missing,
];

impl Truth {
    /// What to draw for the toys of a pair.
    fn cast(self, toys: &[Toy; 2], stream: &mut Stream) -> Vec<Toy> {
        let mut traits = TRAITS;
        traits.shuffle(stream);
        let mut shown = toys.clone();
        let which = stream.random_range(0..2);
        let mut take = |count: usize| {
            traits.iter().take(count).for_each(|take| take(&mut shown[which], &toys[1 - which]));
        };
        match self {
            Self::Right => {}
            Self::Mixed(count) => take(count),
            Self::Duplicated => take(TRAITS.len()),
            Self::Swapped => {
                for take in traits.iter().take(stream.random_range(1..=2)) {
                    take(&mut shown[0], &toys[1]);
                    take(&mut shown[1], &toys[0]);
                }
            }
            Self::Missing => return vec![toys[which].clone()],
        }
        shown.to_vec()
    }
}

/// What Detect-and-Compare says of one sort of scene.
#[derive(Clone, Debug, Serialize)]
pub struct Sort {
    /// Which.
    pub truth: Truth,
    /// Its mean score.
    pub score: Option<Estimate>,
    /// How well the score tells right scenes from these; `None` for the right ones themselves.
    pub auroc: Option<f64>,
    /// The same of the plain multi-subject similarity.
    pub plain_auroc: Option<f64>,
}

/// Detect-and-Compare against truth.
#[derive(Clone, Debug, Serialize)]
pub struct MetricProbe {
    /// Every sort of scene.
    pub sorts: Vec<Sort>,
    /// How well the score tells right scenes from all others.
    pub auroc: f64,
    /// The same of the plain multi-subject similarity.
    pub plain_auroc: f64,
    /// The threshold that tells them best, with the share of right scenes at or above it and that of others below it.
    pub threshold: (f64, f64, f64),
    /// The same shares for the threshold that this program decides by, [`RIGHT`](crate::evaluate::RIGHT).
    pub decided: (f64, f64),
    /// Right scenes of three, four and five toys.
    pub groups: Vec<Group>,
}

/// How many scenes that show a group of similar toys as they are count as right: what no way to draw them can be expected to exceed.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// How many toys.
    pub toys: usize,
    /// The share of scenes at or above [`RIGHT`](crate::evaluate::RIGHT).
    pub right: Option<Estimate>,
    /// The share of scenes in which exactly so many toys are found.
    pub counted: Option<Estimate>,
}

/// Photos of at most five toys, as a data set in memory.
pub(crate) fn references(toys: &[Toy], seed: u64) -> Result<Dataset, ProbeError> {
    let mut subjects: Vec<SubjectData> = Vec::new();
    for (index, toy) in toys.iter().enumerate() {
        let id = SubjectId::new(["a", "b", "c", "d", "e"][index])?;
        let subject = Subject::new(id, &subject_name(index, toy, Naming::Kind))?;
        subjects.push(SubjectData { subject, photos: Vec::new() });
    }
    for photo in photo_set(toys, Naming::Kind, PHOTOS, seed, SIDE) {
        let Some(mask) = photo.rendered.masks.into_iter().next() else { continue };
        subjects[photo.subject].photos.push(Photo {
            path: format!("photo {}", photo.caption).into(),
            image: photo.rendered.image,
            mask: Mask::from_gray(mask),
            caption: photo.caption,
        });
    }
    Ok(Dataset { folder: "rendered".into(), subjects, digests: Digests::default() })
}

/// Judges scenes of `pairs` pairs of held-out toys, and of as many groups of three, four and five, with the networks `eyes`. The
/// scenes are softened by the autoencoder of `base`, as pictures that it generates are. `judged` hears of each pair and each group.
///
/// # Errors
/// Networks that fail; a base without autoencoder.
pub fn metric(
    eyes: &Arc<Eyes>,
    base: &Path,
    pairs: u64,
    seed: u64,
    mut judged: impl FnMut(),
) -> Result<MetricProbe, ProbeError> {
    let softener = Softener::load(base)?;
    let mut scores: Vec<(Truth, f64, f64)> = Vec::new();
    for pair in 0..pairs {
        let stream = &mut rng::stream(seed, "metric pair", pair);
        let (first, second) = similar_pair(stream);
        let toys = [first, second];
        let judge = Judge::new(eyes.clone(), references(&toys, seed ^ pair)?, eyes.options())?;
        let mut scenes: Vec<RgbImage> = Vec::new();
        for truth in SHOWN {
            let mut cast = truth.cast(&toys, stream);
            cast.shuffle(stream);
            let place = Background::random_place(stream);
            let scene = Scene::compose(stream, SIDE, place, cast);
            scenes.push(scene.render().image);
        }
        for (truth, image) in SHOWN.iter().zip(softener.soften(&scenes)?) {
            let judged = judge.judge(Path::new("scene"), &image)?;
            let plain = judged.verdicts.first().map_or(0.0, |verdict| verdict.multi_subject_similarity);
            scores.push((*truth, judged.score(), plain));
        }
        judged();
    }
    let groups = (3..=MAX_TOYS).map(|count| group(eyes, &softener, count, pairs, seed, &mut judged));
    let groups = groups.collect::<Result<_, _>>()?;
    Ok(summary(&scores, groups))
}

/// Two scenes of each of `groups` groups of `count` toys.
fn group(
    eyes: &Arc<Eyes>,
    softener: &Softener,
    count: usize,
    groups: u64,
    seed: u64,
    judged: &mut impl FnMut(),
) -> Result<Group, ProbeError> {
    const SCENES: usize = 2;
    let (mut right, mut counted) = (0, 0);
    for group in 0..groups {
        let stream = &mut rng::stream(seed, &format!("metric group of {count}"), group);
        let toys = similar_group(stream, count);
        let judge = Judge::new(eyes.clone(), references(&toys, seed ^ group)?, eyes.options())?;
        let scenes: Vec<RgbImage> = std::iter::repeat_with(|| {
            let mut cast = toys.clone();
            cast.shuffle(stream);
            let place = Background::random_place(stream);
            Scene::compose(stream, SIDE, place, cast).render().image
        })
        .take(SCENES)
        .collect();
        for image in softener.soften(&scenes)? {
            let judged = judge.judge(Path::new("scene"), &image)?;
            right += usize::from(judged.score() >= RIGHT);
            counted += usize::from(judged.found.len() == count);
        }
        judged();
    }
    let of = groups as usize * SCENES;
    Ok(Group { toys: count, right: Estimate::rate(right, of), counted: Estimate::rate(counted, of) })
}

fn summary(scores: &[(Truth, f64, f64)], groups: Vec<Group>) -> MetricProbe {
    let of = |is: &dyn Fn(Truth) -> bool| -> (Vec<f64>, Vec<f64>) {
        scores.iter().filter(|(truth, ..)| is(*truth)).map(|(_, score, plain)| (*score, *plain)).unzip()
    };
    let right = of(&|truth| truth == Truth::Right);
    let wrong = of(&|truth| truth != Truth::Right);
    let mut truths: Vec<Truth> = SHOWN.to_vec();
    truths.dedup();
    let sorts = truths
        .into_iter()
        .map(|truth| {
            let these = of(&|other| other == truth);
            let told = |a: &[f64], b: &[f64]| if truth == Truth::Right { None } else { auroc(a, b) };
            Sort {
                truth,
                score: Estimate::mean(&these.0),
                auroc: told(&right.0, &these.0),
                plain_auroc: told(&right.1, &these.1),
            }
        })
        .collect();
    let share = |of: &[f64], is: &dyn Fn(f64) -> bool| {
        of.iter().filter(|score| is(**score)).count() as f64 / of.len().max(1) as f64
    };
    MetricProbe {
        sorts,
        auroc: auroc(&right.0, &wrong.0).unwrap_or(0.5),
        plain_auroc: auroc(&right.1, &wrong.1).unwrap_or(0.5),
        threshold: best_threshold(&right.0, &wrong.0).unwrap_or((RIGHT, 0.0, 0.0)),
        decided: (share(&right.0, &|score| score >= RIGHT), share(&wrong.0, &|score| score < RIGHT)),
        groups,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixing_goes_from_right_to_the_same_twice() {
        let (first, second) = similar_pair(&mut rng::stream(1, "test", 0));
        let toys = [first, second];
        let stream = &mut rng::stream(2, "test", 0);
        assert_eq!(Truth::Right.cast(&toys, stream), toys);
        let twice = Truth::Duplicated.cast(&toys, stream);
        assert!(twice[0] == twice[1] && toys.contains(&twice[0]));
        assert_eq!(Truth::Missing.cast(&toys, stream).len(), 1);
        for count in 1..4 {
            let mixed = Truth::Mixed(count).cast(&toys, stream);
            let changed: Vec<usize> = (0..2).filter(|&i| mixed[i] != toys[i]).collect();
            assert_eq!(changed.len(), 1);
            assert_ne!(mixed[changed[0]], toys[1 - changed[0]]);
        }
        let swapped = Truth::Swapped.cast(&toys, stream);
        assert!(swapped[0] != toys[0] && swapped[1] != toys[1] && swapped[0] != toys[1]);
    }
}
