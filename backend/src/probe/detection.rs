//! Detection of held-out toys.

use mudi_domain::geometry::{Rect, UnitBox};
use mudi_toybox::Kind;
use mudi_vision::owl::{Detection, suppress};

use super::average_precision::{Ranked, average_precision};
use super::{Options, ProbeError, Row, picture};
use crate::vision::{Detector, Questions};

/// Less sure detections change nothing that counts.
const THRESHOLD: f32 = 0.02;
/// Of two boxes that share more than this of both together the surer one counts, as where the networks are used.
const SUPPRESSED: f64 = 0.5;
/// A box is found where it and the detection share this much of both together.
const OVERLAP: f64 = 0.5;

/// Adds the detections of one picture to those of its kind, the surest first; each truth is found once.
fn judge(found: &[Detection], truths: &[(usize, UnitBox)], ranked: &mut [Vec<Ranked>]) {
    let mut taken = vec![false; truths.len()];
    for detection in found {
        let best = truths
            .iter()
            .enumerate()
            .filter(|(at, (query, _))| *query == detection.query && !taken[*at])
            .map(|(at, (_, truth))| (at, truth.iou(&detection.bounds)))
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .filter(|(_, iou)| *iou >= OVERLAP);
        if let Some((at, _)) = best {
            taken[at] = true;
        }
        ranked[detection.query].push((detection.score, best.is_some()));
    }
}

fn rank(
    detector: &Detector,
    questions: &Questions,
    count: usize,
    options: &Options,
    query_of: impl Fn(Kind) -> usize,
) -> Result<(Vec<Vec<Ranked>>, Vec<usize>), ProbeError> {
    let mut ranked = vec![Vec::new(); count];
    let mut there = vec![0; count];
    for index in 0..options.pictures {
        let (scene, rendered) = picture(options, index);
        let (width, height) = rendered.image.dimensions();
        let truths: Vec<(usize, UnitBox)> = scene
            .toys
            .iter()
            .zip(&rendered.boxes)
            .filter(|(_, [_, _, width, height])| width * height > 0)
            .map(|((toy, _), &[x, y, w, h])| {
                let rect = Rect::new(x as i32, y as i32, w, h);
                (query_of(toy.kind), UnitBox::from_pixels(rect, width, height))
            })
            .collect();
        truths.iter().for_each(|(query, _)| there[*query] += 1);
        let found = suppress(&detector.detect(&rendered.image, questions, THRESHOLD)?, SUPPRESSED);
        judge(&found, &truths, &mut ranked);
    }
    Ok((ranked, there))
}

pub(super) fn probe(detector: &Detector, options: &Options) -> Result<Vec<Row>, ProbeError> {
    let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    let questions = detector.ask(&kinds)?;
    let of = |kind: Kind| Kind::ALL.iter().position(|other| *other == kind).unwrap_or(0);
    let (ranked, there) = rank(detector, &questions, kinds.len(), options, of)?;
    let asked: Vec<f64> = ranked
        .into_iter()
        .zip(&there)
        .filter(|(_, there)| **there > 0)
        .map(|(ranked, there)| average_precision(ranked, *there))
        .collect();
    let mean = asked.iter().sum::<f64>() / asked.len().max(1) as f64;
    let count = there.iter().sum();
    let row = |name, value, aim| Row { name, value, interval: None, count, aim };
    let (ranked, there) = rank(detector, &detector.ask(&["toy"])?, 1, options, |_| 0)?;
    let toys = ranked.into_iter().map(|ranked| average_precision(ranked, there[0])).next();
    Ok(vec![
        row("boxes by the name of the kind, mean AP50", mean, Some(0.95)),
        row("boxes of any toy, AP50", toys.unwrap_or(0.0), None),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truth_is_found_once_and_by_its_own_text() {
        let bounds = UnitBox { x: 0.1, y: 0.1, width: 0.4, height: 0.4 };
        let beside = UnitBox { x: 0.6, ..bounds };
        let found = |bounds, query, score| Detection { bounds, query, score, objectness: 0.5 };
        let mut ranked = vec![Vec::new(); 2];
        let detections =
            [found(bounds, 0, 0.9), found(bounds, 0, 0.8), found(bounds, 1, 0.7), found(beside, 1, 0.6)];
        judge(&detections, &[(0, bounds), (1, beside)], &mut ranked);
        assert_eq!(ranked, [vec![(0.9, true), (0.8, false)], vec![(0.7, false), (0.6, true)]]);
    }
}
