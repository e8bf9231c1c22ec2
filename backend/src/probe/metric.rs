//! Detect-and-Compare against truth: scenes of two to five similar toys that are right, mixed by known degrees, duplicated, missing
//! or swapped.

use std::path::Path;
use std::sync::Arc;

use mudi_domain::mask::Mask;
use mudi_domain::recipe::Recipe;
use mudi_domain::rng::{self, Stream};
use mudi_domain::statistics::Estimate;
use mudi_domain::subject::{Subject, SubjectId};
use mudi_toybox::{
    Background, MAX_TOYS, Naming, Rendered, Scene, Toy, photo_set, similar_group, similar_pair, subject_name,
};
use rand::Rng;
use rand::seq::SliceRandom;
use serde::Serialize;

use super::ProbeError;
use super::auroc::{auroc, best_threshold, threshold_passed_by};
use crate::dataset::{Dataset, Digests, Photo, SubjectData};
use crate::evaluate::{Eyes, Judge, right_from};
use crate::pretrain::miniature::redraw::{Redrawer, STEPS};

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

/// What a scene shows of two toys, or of two of more, the others being right.
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

/// What each pair or group is shown as; right ones as often as they are needed to be told from the others.
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
    /// What to draw for at least two toys.
    fn cast(self, toys: &[Toy], stream: &mut Stream) -> Vec<Toy> {
        let mut traits = TRAITS;
        traits.shuffle(stream);
        let mut shown = toys.to_vec();
        // Toys are in a random order, so that the next one is any other.
        let which = stream.random_range(0..toys.len());
        let other = (which + 1) % toys.len();
        let mut take = |count: usize| {
            traits.iter().take(count).for_each(|take| take(&mut shown[which], &toys[other]));
        };
        match self {
            Self::Right => {}
            Self::Mixed(count) => take(count),
            Self::Duplicated => take(TRAITS.len()),
            Self::Swapped => {
                for take in traits.iter().take(stream.random_range(1..=2)) {
                    take(&mut shown[which], &toys[other]);
                    take(&mut shown[other], &toys[which]);
                }
            }
            Self::Missing => {
                shown.remove(other);
            }
        }
        shown
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

/// How well scores tell right scenes of one number of toys from others.
#[derive(Clone, Debug, Serialize)]
pub struct Telling {
    /// Of the Detect-and-Compare score, against all others.
    pub auroc: f64,
    /// Of the plain multi-subject similarity.
    pub plain_auroc: f64,
    /// The threshold that tells them best, with the share of right scenes at or above it and that of others below it.
    pub threshold: (f64, f64, f64),
    /// The same of the threshold that this program decides by, [`right_from`].
    pub decided: (f64, f64, f64),
    /// The share of right scenes in which exactly so many toys are found.
    pub counted: Option<Estimate>,
}

/// Detect-and-Compare against truth.
#[derive(Clone, Debug, Serialize)]
pub struct MetricProbe {
    /// Every sort of scene of two toys.
    pub sorts: Vec<Sort>,
    /// All scenes of two toys.
    #[serde(flatten)]
    pub telling: Telling,
    /// Scenes of three, four and five toys.
    pub groups: Vec<Group>,
}

/// Scenes of a group of more than two toys.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// How many toys.
    pub toys: usize,
    /// How well they are told. The share of right scenes that count as right is what no way to draw them can be expected to exceed.
    #[serde(flatten)]
    pub telling: Telling,
    /// The threshold from which as few of the scenes that are not right pass as do of two toys': what [`right_from`] was read from.
    pub as_strict: Option<f64>,
}

/// Photos of at most five toys, as a data set in memory.
pub(crate) fn references(toys: &[Toy], seed: u64) -> Result<Dataset, ProbeError> {
    let mut subjects: Vec<SubjectData> = Vec::new();
    for (index, toy) in toys.iter().enumerate() {
        let id = SubjectId::new(["a", "b", "c", "d", "e"][index])?;
        let subject = Subject::new(id, &subject_name(index, toy, Naming::Kind))?;
        subjects.push(SubjectData { subject, photos: Vec::new() });
    }
    for photo in photo_set(toys, Naming::Kind, PHOTOS, seed, Recipe::pocket_side(toys.len())) {
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

/// A judged scene.
struct Scored {
    truth: Truth,
    score: f64,
    plain: f64,
    /// How many toys were found.
    found: usize,
}

/// Which scenes are judged.
#[derive(Clone, Copy, Debug)]
pub struct MetricOptions {
    /// Pairs of held-out toys, and groups of three, four and five each.
    pub pairs: u64,
    /// The seed by which they are drawn.
    pub seed: u64,
    /// How many of the last of [`MOST_DRAWN`] steps the base draws anew: from 0, where its autoencoder alone softens the scenes.
    pub drawn: usize,
}

/// The most steps that a base can draw anew.
pub const MOST_DRAWN: usize = STEPS;

/// Judges scenes of pairs and groups of held-out toys with the networks `eyes`. The scenes go through the autoencoder of `base`, as pictures
/// that it generates do, on request with noise that it takes away again. `judged` hears of each pair and each group.
///
/// # Errors
/// Networks that fail; a folder without a base model.
pub fn metric(
    eyes: &Arc<Eyes>,
    base: &Path,
    options: &MetricOptions,
    mut judged: impl FnMut(),
) -> Result<MetricProbe, ProbeError> {
    let redrawer = Redrawer::load(base)?;
    let mut scenes = |count: usize| {
        let mut scored = Vec::new();
        for index in 0..options.pairs {
            scored.extend(group(eyes, &redrawer, count, index, options)?);
            judged();
        }
        Ok::<_, ProbeError>(scored)
    };
    let of_pairs = scenes(2)?;
    let telling = telling(&of_pairs, 2);
    let passing = 1.0 - telling.decided.2;
    let groups = (3..=MAX_TOYS).map(|count| {
        let scored = scenes(count)?;
        Ok(Group {
            toys: count,
            telling: self::telling(&scored, count),
            as_strict: threshold_passed_by(&scores(&scored, |truth| truth != Truth::Right).0, passing),
        })
    });
    let groups = groups.collect::<Result<_, ProbeError>>()?;
    Ok(MetricProbe { sorts: sorts(&of_pairs), telling, groups })
}

/// All scenes of one group of `count` toys.
fn group(
    eyes: &Arc<Eyes>,
    redrawer: &Redrawer,
    count: usize,
    index: u64,
    &MetricOptions { seed, drawn, .. }: &MetricOptions,
) -> Result<Vec<Scored>, ProbeError> {
    let name = if count == 2 { "metric pair".to_owned() } else { format!("metric group of {count}") };
    let mut stream = rng::stream(seed, &name, index);
    let toys = if count == 2 {
        let (first, second) = similar_pair(&mut stream);
        vec![first, second]
    } else {
        similar_group(&mut stream, count)
    };
    let judge = Judge::new(eyes.clone(), &references(&toys, seed ^ index)?, eyes.options())?;
    let scenes = SHOWN.map(|truth| {
        let mut cast = truth.cast(&toys, &mut stream);
        cast.shuffle(&mut stream);
        let place = Background::random_place(&mut stream);
        Scene::compose(&mut stream, scene_size(count), place, cast)
    });
    let mut noise = rng::stream(seed, &format!("{name}, drawn"), index);
    let drawn = redrawer.redraw(&scenes.each_ref(), drawn, &mut noise)?;
    let judged = SHOWN.iter().zip(drawn).map(|(&truth, Rendered { image, .. })| {
        let judged = judge.judge(Path::new("scene"), &image)?;
        let plain = judged.verdicts.first().map_or(0.0, |verdict| verdict.multi_subject_similarity);
        Ok(Scored { truth, score: judged.score(), plain, found: judged.found.len() })
    });
    judged.collect()
}

/// Width and height of scenes of so many toys, as pocket draws them.
fn scene_size(toys: usize) -> [u32; 2] {
    let side = Recipe::pocket_side(toys) as usize;
    let [height, width] = Recipe::pocket_aspect(toys).size(side, 16);
    [width as u32, height as u32]
}

/// Scores and plain similarities of the scenes whose truth `is` so.
fn scores(scored: &[Scored], is: impl Fn(Truth) -> bool) -> (Vec<f64>, Vec<f64>) {
    scored.iter().filter(|scene| is(scene.truth)).map(|scene| (scene.score, scene.plain)).unzip()
}

fn telling(scored: &[Scored], toys: usize) -> Telling {
    let right = scores(scored, |truth| truth == Truth::Right);
    let wrong = scores(scored, |truth| truth != Truth::Right);
    let share = |of: &[f64], is: &dyn Fn(f64) -> bool| {
        of.iter().filter(|score| is(**score)).count() as f64 / of.len().max(1) as f64
    };
    let from = right_from(toys);
    let counted = scored.iter().filter(|scene| scene.truth == Truth::Right && scene.found == toys).count();
    Telling {
        auroc: auroc(&right.0, &wrong.0).unwrap_or(0.5),
        plain_auroc: auroc(&right.1, &wrong.1).unwrap_or(0.5),
        threshold: best_threshold(&right.0, &wrong.0).unwrap_or((from, 0.0, 0.0)),
        decided: (from, share(&right.0, &|score| score >= from), share(&wrong.0, &|score| score < from)),
        counted: Estimate::rate(counted, right.0.len()),
    }
}

fn sorts(scored: &[Scored]) -> Vec<Sort> {
    let right = scores(scored, |truth| truth == Truth::Right);
    let mut truths: Vec<Truth> = SHOWN.to_vec();
    truths.dedup();
    truths
        .into_iter()
        .map(|truth| {
            let these = scores(scored, |other| other == truth);
            let told = |a: &[f64], b: &[f64]| if truth == Truth::Right { None } else { auroc(a, b) };
            Sort {
                truth,
                score: Estimate::mean(&these.0),
                auroc: told(&right.0, &these.0),
                plain_auroc: told(&right.1, &these.1),
            }
        })
        .collect()
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
        let many = similar_group(stream, 4);
        for _ in 0..20 {
            let one = Truth::Mixed(2).cast(&many, stream);
            assert_eq!((0..4).filter(|&i| one[i] != many[i]).count(), 1);
            let two = Truth::Swapped.cast(&many, stream);
            assert_eq!((0..4).filter(|&i| two[i] != many[i]).count(), 2);
            let rest = Truth::Missing.cast(&many, stream);
            assert!(rest.len() == 3 && rest.iter().all(|toy| many.contains(toy)));
        }
        let swapped = Truth::Swapped.cast(&toys, stream);
        assert!(swapped[0] != toys[0] && swapped[1] != toys[1] && swapped[0] != toys[1]);
    }
}
