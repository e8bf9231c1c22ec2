//! A wide or a high image in squares that overlap, for a detector to which things would be too small in one square that holds all of it.

use mudi_domain::geometry::{Rect, UnitBox};
use mudi_vision::owl::{Detection, suppress};

/// How near to the edge of a square the box of what it cuts may end, in sides.
const NEAR: f64 = 0.05;
/// What is found at one place in several squares is one thing where the boxes share as much (intersection over union).
const SAME: f64 = 0.4;
/// What lies within something surer to a larger share than this is a part of it, such as a head.
const PART: f64 = 0.6;
/// How many squares begin within the length of one.
const STEPS: u64 = 8;

/// The squares of an image along its longer side.
pub(super) struct Squares {
    /// Width and height of the image, in pixels.
    size: (u32, u32),
    squares: Vec<Rect>,
}

impl Squares {
    /// Of an image of so many pixels across and down: each an eighth of a side after the one before, or less. What is at most two thirds as long as
    /// they are lies well within one of them, and most things within several.
    pub(super) fn of((width, height): (u32, u32)) -> Self {
        let (side, longer) = (width.min(height), width.max(height));
        let further = u64::from(longer - side);
        let steps = (STEPS * further).div_ceil(u64::from(side).max(1));
        let square = |step: u64| {
            let start = (further * step).checked_div(steps).unwrap_or(0) as i32;
            let (x, y) = if width > height { (start, 0) } else { (0, start) };
            Rect::new(x, y, side, side)
        };
        Self { size: (width, height), squares: (0..=steps).map(square).collect() }
    }

    /// All of them, from the left or from the top.
    pub(super) fn all(&self) -> &[Rect] {
        &self.squares
    }

    /// A detection of a square as one of the image; none where the square cuts it: it lies within another one.
    pub(super) fn place(&self, square: &Rect, detection: Detection) -> Option<Detection> {
        let (width, height) = (f64::from(self.size.0), f64::from(self.size.1));
        let (across, down) = (f64::from(square.width) / width, f64::from(square.height) / height);
        let bounds = UnitBox {
            x: f64::from(square.x) / width + detection.bounds.x * across,
            y: f64::from(square.y) / height + detection.bounds.y * down,
            width: detection.bounds.width * across,
            height: detection.bounds.height * down,
        };
        self.holds(square, &bounds).then_some(Detection { bounds, ..detection })
    }

    /// Whether a box of the image lies within a square, not too near to where that cuts the image.
    fn holds(&self, square: &Rect, bounds: &UnitBox) -> bool {
        let near = NEAR * f64::from(square.width);
        let within = |start: f64, end: f64, from: i32, whole: u32| {
            let (from, whole) = (f64::from(from), f64::from(whole));
            let to = from + f64::from(square.width);
            (from <= 0.0 || start * whole >= from + near) && (to >= whole || end * whole <= to - near)
        };
        within(bounds.x, bounds.x + bounds.width, square.x, self.size.0)
            && within(bounds.y, bounds.y + bounds.height, square.y, self.size.1)
    }

    /// What squares have found together, the surest first; `found` has a list for each, the surest first. A score is the mean over all squares that hold
    /// the box: what one alone takes for something is mostly nothing. What does not exceed `threshold` then is left out.
    pub(super) fn agreed(&self, found: &[Vec<Detection>], threshold: f32) -> Vec<Detection> {
        let mut all = found.concat();
        all.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut together = Vec::new();
        while let Some(query) = all.first().map(|detection| detection.query) {
            let (of_query, others): (Vec<_>, Vec<_>) =
                all.into_iter().partition(|detection| detection.query == query);
            together.extend(suppress(&of_query, SAME).iter().map(|detection| self.mean(detection, found)));
            all = others;
        }
        together.retain(|detection| detection.score > threshold);
        together.sort_by(|a, b| b.score.total_cmp(&a.score));
        without_parts(&together)
    }

    /// A detection with the mean score over the squares that hold it.
    fn mean(&self, detection: &Detection, found: &[Vec<Detection>]) -> Detection {
        let is_same =
            |other: &&Detection| other.query == detection.query && other.bounds.iou(&detection.bounds) > SAME;
        let scores: Vec<f32> = self
            .squares
            .iter()
            .zip(found)
            .filter(|(square, _)| self.holds(square, &detection.bounds))
            .map(|(_, found)| found.iter().find(is_same).map_or(0.0, |other| other.score))
            .collect();
        Detection { score: scores.iter().sum::<f32>() / scores.len().max(1) as f32, ..*detection }
    }
}

/// Those of `found`, the surest first, that are no parts of surer ones.
fn without_parts(found: &[Detection]) -> Vec<Detection> {
    let mut kept: Vec<Detection> = Vec::new();
    for detection in found {
        if kept.iter().all(|surer| share_within(&detection.bounds, &surer.bounds) <= PART) {
            kept.push(*detection);
        }
    }
    kept
}

/// What of the smaller of two boxes lies within the larger one, 0..=1.
fn share_within(a: &UnitBox, b: &UnitBox) -> f64 {
    let areas = [a, b].map(|bounds| bounds.width * bounds.height);
    let iou = a.iou(b);
    // What both cover is `iou` of their union, which is their sum without it.
    let shared = iou / (1.0 + iou) * (areas[0] + areas[1]);
    let smaller = areas[0].min(areas[1]);
    if smaller > 0.0 { shared / smaller } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(x: f64, width: f64, score: f32) -> Detection {
        let bounds = UnitBox { x, y: 0.2, width, height: 0.6 };
        Detection { bounds, query: 0, score, objectness: 0.5 }
    }

    #[test]
    fn a_square_has_one() {
        assert_eq!(Squares::of((96, 96)).all(), [Rect::whole(96, 96)]);
        assert_eq!(Squares::of((0, 0)).all().len(), 1);
    }

    #[test]
    fn what_a_square_cuts_another_one_holds() {
        let squares = Squares::of((192, 96));
        let first = squares.all()[0];
        // The right end of the first square: what ends there may go on.
        assert_eq!(squares.place(&first, found(0.6, 0.4, 0.5)), None);
        // The left end of it is the image's.
        let placed = squares.place(&first, found(0.0, 0.4, 0.5)).unwrap();
        assert!((placed.bounds.width - 0.2).abs() < 1e-9);
        let last = squares.all().last().unwrap();
        let placed = squares.place(last, found(0.6, 0.4, 0.5)).unwrap();
        assert!((placed.bounds.x - 0.8).abs() < 1e-9);
    }

    #[test]
    fn what_one_square_alone_finds_counts_little() {
        let squares = Squares::of((192, 96));
        let holding = |x| {
            let bounds = UnitBox { x, y: 0.2, width: 0.2, height: 0.6 };
            squares.all().iter().map(|square| squares.holds(square, &bounds)).collect::<Vec<_>>()
        };
        let mut seen: Vec<Vec<Detection>> = holding(0.1)
            .into_iter()
            // Twice in one square is not in two.
            .map(|holds| if holds { vec![found(0.1, 0.2, 0.6); 2] } else { Vec::new() })
            .collect();
        assert!(seen.iter().filter(|found| !found.is_empty()).count() > 1);
        let others = holding(0.45);
        assert!(others.iter().filter(|&&holds| holds).count() > 3, "{others:?}");
        let alone = others.iter().position(|&holds| holds).unwrap();
        seen[alone].insert(0, found(0.45, 0.2, 0.9));
        let together = squares.agreed(&seen, 0.25);
        assert_eq!(together.len(), 1, "{together:?}");
        assert!((together[0].score - 0.6).abs() < 1e-6);
    }

    #[test]
    fn a_head_is_a_part_of_what_it_belongs_to() {
        let squares = Squares::of((96, 96));
        let whole = found(0.3, 0.4, 0.6);
        let head =
            Detection { bounds: UnitBox { x: 0.35, y: 0.2, width: 0.3, height: 0.25 }, score: 0.4, ..whole };
        assert_eq!(squares.agreed(&[vec![whole, head]], 0.25), [whole]);
        // Surer than the whole it is not dropped, and the whole is.
        let head = Detection { score: 0.7, ..head };
        assert_eq!(squares.agreed(&[vec![head, whole]], 0.25), [head]);
    }

    #[test]
    fn texts_do_not_vote_for_each_other() {
        let squares = Squares::of((96, 96));
        let other = Detection { query: 1, ..found(0.7, 0.2, 0.5) };
        let together = squares.agreed(&[vec![found(0.4, 0.2, 0.8), other]], 0.25);
        assert_eq!(
            together.iter().map(|one| (one.query, one.score)).collect::<Vec<_>>(),
            [(0, 0.8), (1, 0.5)]
        );
    }

    proptest! {
        #[test]
        fn squares_cover_the_image(width in 1u32..3000, height in 1u32..3000) {
            let squares = Squares::of((width, height));
            let (first, last) = (squares.all()[0], *squares.all().last().unwrap());
            prop_assert_eq!((first.x, first.y), (0, 0));
            prop_assert_eq!((last.right(), last.bottom()), (i64::from(width), i64::from(height)));
            for pair in squares.all().windows(2) {
                let step = (pair[1].x - pair[0].x) + (pair[1].y - pair[0].y);
                prop_assert!(step >= 0 && step as u32 <= first.width.div_ceil(8), "{}", step);
            }
        }

        #[test]
        fn what_is_half_as_long_lies_within_one(wide in 1.0f64..4.0, at in 0.0f64..1.0) {
            let width = (96.0 * wide) as u32;
            let squares = Squares::of((width, 96));
            let length = 48.0 / f64::from(width);
            let bounds = UnitBox { x: at * (1.0 - length), y: 0.0, width: length, height: 1.0 };
            prop_assert!(squares.all().iter().any(|square| squares.holds(square, &bounds)));
        }
    }
}
