//! The curve of a loss: what is drawn where.

use std::fmt::Write;

/// Width and height of the drawing, in its own units.
pub const SIZE: (f64, f64) = (720.0, 260.0);
/// Room for the numbers at the left and below.
const ROOM: (f64, f64) = (44.0, 24.0);
/// Points that are drawn at most: more cannot be told apart.
const MOST: usize = 1200;

/// A plot's paths and numbers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plot {
    /// Every step's loss, as the path of an SVG.
    pub raw: String,
    /// The running mean, as the path of an SVG.
    pub smooth: String,
    /// Numbers at the left: their height and their text.
    pub levels: Vec<(f64, String)>,
    /// Numbers below: their place and their text.
    pub steps: Vec<(f64, String)>,
    /// The mean loss of the first steps and of the last ones.
    pub ends: Option<Ends>,
}

/// How a run began and how it goes, by means over as many steps: a single step says little.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ends {
    /// Over how many steps each mean is.
    pub steps: usize,
    /// Of the first steps.
    pub first: f64,
    /// Of the last steps.
    pub last: f64,
}

/// The plot of losses by step, in order; `steps` is the last step that will come.
#[must_use]
pub fn plot(losses: &[(u64, f64)], steps: u64) -> Plot {
    let finite: Vec<(u64, f64)> = losses.iter().copied().filter(|(_, loss)| loss.is_finite()).collect();
    let (Some(first), Some(last)) = (finite.first(), finite.last()) else { return Plot::default() };
    let smooth = running_mean(&finite);
    // Single steps jump: the scale is that of nearly all of them.
    let mut sorted: Vec<f64> = finite.iter().map(|(_, loss)| *loss).collect();
    sorted.sort_by(f64::total_cmp);
    let high = sorted[(sorted.len() - 1) * 98 / 100].max(f64::MIN_POSITIVE) * 1.1;
    let end = steps.max(last.0).max(first.0 + 1);
    let (width, height) = (SIZE.0 - ROOM.0, SIZE.1 - ROOM.1);
    let x = |step: u64| ROOM.0 + width * (step as f64 / end as f64);
    let y = |loss: f64| height - (height - 8.0) * (loss / high).clamp(0.0, 1.0);
    let path = |points: &[(u64, f64)]| {
        let every = points.len().div_ceil(MOST).max(1);
        let mut path = String::new();
        for (index, (step, loss)) in points.iter().step_by(every).enumerate() {
            // Writing to a string does not fail.
            let _ = write!(path, "{}{:.1} {:.1}", if index == 0 { 'M' } else { 'L' }, x(*step), y(*loss));
        }
        path
    };
    let level = nice(high / 3.0);
    let levels = (0..).map(|n| f64::from(n) * level).take_while(|loss| *loss <= high);
    let stride = nice(end as f64 / 5.0).max(1.0);
    let marks = (0..).map(|n| (f64::from(n) * stride) as u64).take_while(|step| *step <= end);
    Plot {
        raw: path(&finite),
        smooth: path(&smooth),
        levels: levels.map(|loss| (y(loss), short(loss))).collect(),
        steps: marks.map(|step| (x(step), step.to_string())).collect(),
        ends: Some(ends(&finite)),
    }
}

/// The means of the first and of the last eighth; at least one loss is there.
fn ends(losses: &[(u64, f64)]) -> Ends {
    let steps = (losses.len() / 8).max(1);
    let mean = |part: &[(u64, f64)]| part.iter().map(|(_, loss)| loss).sum::<f64>() / steps as f64;
    Ends { steps, first: mean(&losses[..steps]), last: mean(&losses[losses.len() - steps..]) }
}

/// An exponential mean, without the pull towards zero at its begin.
fn running_mean(losses: &[(u64, f64)]) -> Vec<(u64, f64)> {
    let keep = 1.0 - 2.0 / (losses.len() as f64 / 8.0 + 2.0);
    let (mut sum, mut weight) = (0.0, 0.0);
    let mean = |&(step, loss): &(u64, f64)| {
        (sum, weight) = (sum * keep + loss, weight * keep + 1.0);
        (step, sum / weight)
    };
    losses.iter().map(mean).collect()
}

/// The largest of 1, 2 and 5 times a power of ten that is not above `value`.
fn nice(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(f64::MIN_POSITIVE).log10().floor());
    [5.0, 2.0].into_iter().map(|n| n * power).find(|n| *n <= value).unwrap_or(power)
}

fn short(loss: f64) -> String {
    let text = format!("{loss:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert_eq!(plot(&[], 10), Plot::default());
        assert_eq!(plot(&[(1, f64::NAN)], 10), Plot::default());
    }

    #[test]
    fn one_step_is_a_point() {
        let plot = plot(&[(1, 0.2)], 10);
        assert!(plot.raw.starts_with('M') && !plot.raw.contains('L'));
        assert_eq!(plot.ends, Some(Ends { steps: 1, first: 0.2, last: 0.2 }));
    }

    #[test]
    fn a_curve_stays_in_its_field() {
        let losses: Vec<(u64, f64)> = (1..=5000).map(|step| (step, 1.0 / step as f64)).collect();
        let plot = plot(&losses, 10_000);
        let numbers = plot.raw.split(['M', 'L', ' ']).filter(|text| !text.is_empty());
        let numbers: Vec<f64> = numbers.map(|text| text.parse().expect("a number")).collect();
        assert!(numbers.len() / 2 <= MOST + 1);
        assert!(numbers.iter().step_by(2).all(|x| (ROOM.0..=SIZE.0).contains(x)));
        assert!(numbers.iter().skip(1).step_by(2).all(|y| (0.0..=SIZE.1).contains(y)));
        let ends = plot.ends.expect("ends");
        assert!(ends.last < ends.first);
        assert_eq!(plot.steps.last().map(|(_, text)| text.as_str()), Some("10000"));
    }

    #[test]
    fn ends_are_means_of_as_many_steps() {
        let losses: Vec<(u64, f64)> = (1..=17).map(|step| (step, step as f64)).collect();
        assert_eq!(ends(&losses), Ends { steps: 2, first: 1.5, last: 16.5 });
    }

    #[test]
    fn numbers_at_the_edge_are_round() {
        for (value, round) in [(0.07, 0.05), (3.0, 2.0), (1.0, 1.0), (99.0, 50.0)] {
            assert!((nice(value) - round).abs() < 1e-9, "{value}");
        }
        assert_eq!(
            (short(0.5), short(0.0), short(0.125)),
            ("0.5".to_owned(), "0".to_owned(), "0.125".to_owned())
        );
    }
}
