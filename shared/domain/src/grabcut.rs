//! A mask without any network: GrabCut (Rother, Kolmogorov and Blake, 2004).
//!
//! A mixture of colours is learnt for the subject and one for the rest; then the cheapest cut between the two is sought,
//! which prefers edges of the photo; and again, with the colours on either side of the cut, until it stays.

mod flow;
mod hints;
mod mixture;

use flow::Grid;
use mixture::Mixture;

pub use hints::{Hints, Stroke, cut_out};

/// What is known of a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It is the subject's, whatever it looks like.
    Subject,
    /// It is not.
    Rest,
    /// It may be either, and rather the subject's: inside of a box.
    Perhaps,
    /// Nothing is known: beside strokes.
    Nothing,
}

/// Times that colours are learnt and the cut is sought anew, at most.
pub const ROUNDS: u32 = 6;
/// How much a cut through even colours costs, in the units of log probabilities; the paper's.
const SMOOTHNESS: f32 = 50.0;
/// More than any sum of other costs at a pixel.
const CERTAIN: f32 = 1e6;

/// The subject's pixels in a photo of `size` (height and width), whose pixels are three bytes each, row by row. `known` has a
/// word on each pixel; where none of them can be the subject's, or none the rest's, that is the answer. `told` hears the number of
/// each round, from 1 to [`ROUNDS`], when it is over; the last one may be an earlier one.
///
/// # Panics
/// Where `rgb` or `known` are not as long as the size says.
#[must_use]
pub fn cut(rgb: &[u8], size: [usize; 2], known: &[Known], mut told: impl FnMut(u32)) -> Vec<bool> {
    let count = size[0] * size[1];
    assert!(rgb.len() == 3 * count && known.len() == count, "as many pixels as the size says");
    let pixels: Vec<[f32; 3]> = rgb.as_chunks::<3>().0.iter().map(|pixel| pixel.map(f32::from)).collect();
    let mut subject: Vec<bool> =
        known.iter().map(|known| matches!(known, Known::Subject | Known::Perhaps)).collect();
    // Beside strokes the first guess is the nearer of the two strokes' colours.
    let mut learnt: Vec<bool> = known.iter().map(|&known| known != Known::Nothing).collect();
    let grid = Grid::new(&pixels, size, SMOOTHNESS);
    for round in 1..=ROUNDS {
        let side = |which: bool| -> Vec<[f32; 3]> {
            let of = pixels.iter().zip(&subject).zip(&learnt);
            of.filter(|&((_, &subject), &learnt)| learnt && subject == which)
                .map(|((&pixel, _), _)| pixel)
                .collect()
        };
        let (inside, outside) = (side(true), side(false));
        if inside.is_empty() || outside.is_empty() {
            return subject;
        }
        let (inside, outside) = (Mixture::of(&inside), Mixture::of(&outside));
        let costs: Vec<f32> = pixels
            .iter()
            .zip(known)
            .map(|(&pixel, known)| match known {
                Known::Subject => CERTAIN,
                Known::Rest => -CERTAIN,
                Known::Perhaps | Known::Nothing => inside.log_density(pixel) - outside.log_density(pixel),
            })
            .collect();
        let found = grid.cut(&costs);
        told(round);
        learnt.fill(true);
        if found == subject {
            break;
        }
        subject = found;
    }
    subject
}

#[cfg(test)]
mod tests {
    use super::{Known, ROUNDS, cut};

    const SIZE: [usize; 2] = [48, 64];

    fn inside(at: usize) -> bool {
        let (y, x) = (at / SIZE[1], at % SIZE[1]);
        let (dy, dx) = (y as f32 - 24.0, x as f32 - 30.0);
        dy * dy + dx * dx < 15.0 * 15.0
    }

    /// An orange disc with stripes on a green and blue ground, with some noise.
    fn picture() -> Vec<u8> {
        (0..SIZE[0] * SIZE[1])
            .flat_map(|at| {
                let noise = (at * 7919 % 23) as u8;
                let stripe = at / 3 % 2 == 0;
                if inside(at) {
                    if stripe { [220 + noise, 120 + noise, 30] } else { [180 + noise, 60, 20 + noise] }
                } else if at / SIZE[1] > 30 {
                    [40 + noise, 140 + noise, 60]
                } else {
                    [70, 110 + noise, 200 + noise]
                }
            })
            .collect()
    }

    fn agreement(found: &[bool]) -> f32 {
        let both = found.iter().enumerate().filter(|&(at, &found)| found && inside(at)).count();
        let either = found.iter().enumerate().filter(|&(at, &found)| found || inside(at)).count();
        both as f32 / either as f32
    }

    fn boxed(at: usize) -> bool {
        (5..44).contains(&(at / SIZE[1])) && (11..50).contains(&(at % SIZE[1]))
    }

    #[test]
    fn a_box_is_enough_for_a_subject_of_its_own_colours() {
        let known: Vec<Known> =
            (0..SIZE[0] * SIZE[1]).map(|at| if boxed(at) { Known::Perhaps } else { Known::Rest }).collect();
        let mut rounds = Vec::new();
        let found = cut(&picture(), SIZE, &known, |round| rounds.push(round));
        assert!(agreement(&found) > 0.97, "{}", agreement(&found));
        assert!(!rounds.is_empty() && rounds.len() <= ROUNDS as usize);
        assert!(rounds.iter().copied().eq(1..=rounds.len() as u32), "{rounds:?}");
    }

    #[test]
    fn so_are_two_strokes() {
        let mut known = vec![Known::Nothing; SIZE[0] * SIZE[1]];
        known[24 * SIZE[1] + 20..24 * SIZE[1] + 40].fill(Known::Subject);
        for row in 0..SIZE[0] {
            known[row * SIZE[1] + 2] = Known::Rest;
        }
        let found = cut(&picture(), SIZE, &known, |_| {});
        assert!(agreement(&found) > 0.97, "{}", agreement(&found));
    }

    #[test]
    fn strokes_are_obeyed_whatever_the_colours_say() {
        let mut known: Vec<Known> =
            (0..SIZE[0] * SIZE[1]).map(|at| if boxed(at) { Known::Perhaps } else { Known::Rest }).collect();
        let (beside, within) = (8 * SIZE[1] + 14, 24 * SIZE[1] + 30);
        (known[beside], known[within]) = (Known::Subject, Known::Rest);
        let found = cut(&picture(), SIZE, &known, |_| {});
        assert!(found[beside] && !found[within]);
    }

    #[test]
    fn there_is_an_answer_where_there_is_nothing_to_choose() {
        let rgb = vec![0; 3 * 12];
        for known in [Known::Subject, Known::Perhaps] {
            assert_eq!(cut(&rgb, [3, 4], &[known; 12], |_| {}), [true; 12]);
        }
        for known in [Known::Rest, Known::Nothing] {
            assert_eq!(cut(&rgb, [3, 4], &[known; 12], |_| {}), [false; 12]);
        }
        assert!(cut(&[], [0, 5], &[], |_| {}).is_empty());
        // All black, half of it known.
        let known: Vec<Known> = (0..12).map(|at| if at < 6 { Known::Rest } else { Known::Perhaps }).collect();
        assert_eq!(cut(&rgb, [3, 4], &known, |_| {}).len(), 12);
    }
}
