//! A mixture of normal distributions of colours.

/// Distributions in a mixture, as in the paper.
const PARTS: usize = 5;
/// Added to variances, so that an even colour has a density: about the noise of a photo.
const FLOOR: f32 = 4.0;

type Colour = [f32; 3];

/// One distribution.
struct Part {
    mean: Colour,
    /// Of the covariance: rows of its inverse.
    inverse: [Colour; 3],
    /// The logarithm of its share and its normalization.
    log_factor: f32,
}

/// The mixture.
pub(super) struct Mixture {
    parts: Vec<Part>,
}

fn mean(colours: &[Colour]) -> Colour {
    let mut sum = [0f64; 3];
    for colour in colours {
        sum.iter_mut().zip(colour).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    sum.map(|sum| (sum / colours.len().max(1) as f64) as f32)
}

fn covariance(colours: &[Colour], mean: Colour) -> [Colour; 3] {
    let mut sums = [[0f64; 3]; 3];
    for colour in colours {
        for (row, sums) in sums.iter_mut().enumerate() {
            for (column, sum) in sums.iter_mut().enumerate() {
                *sum += f64::from((colour[row] - mean[row]) * (colour[column] - mean[column]));
            }
        }
    }
    sums.map(|row| row.map(|sum| (sum / colours.len().max(1) as f64) as f32))
}

fn times(matrix: &[Colour; 3], v: Colour) -> Colour {
    matrix.map(|row| dot(row, v))
}

fn dot(a: Colour, b: Colour) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// The direction in which colours vary most, and their variance in it.
fn main_axis(matrix: &[Colour; 3]) -> (Colour, f32) {
    // No covariance is blind to all three starts, and none of them has to be right: the axis only says where to split.
    let mut axis = [0.6, 0.55, 0.58];
    for _ in 0..24 {
        let next = times(matrix, axis);
        let length = dot(next, next).sqrt();
        if length < 1e-6 {
            break;
        }
        axis = next.map(|value| value / length);
    }
    (axis, dot(axis, times(matrix, axis)))
}

impl Mixture {
    /// Of at least one colour: groups of them, found by splitting the most varied one in two over and over (Orchard and
    /// Bouman, 1991).
    pub(super) fn of(colours: &[Colour]) -> Self {
        let mut groups = vec![colours.to_vec()];
        while groups.len() < PARTS {
            let spread =
                |group: &Vec<Colour>| main_axis(&covariance(group, mean(group))).1 * group.len() as f32;
            let widest = (0..groups.len()).max_by(|&a, &b| spread(&groups[a]).total_cmp(&spread(&groups[b])));
            let Some(widest) = widest else { break };
            let group = groups.swap_remove(widest);
            let middle = mean(&group);
            let (axis, variance) = main_axis(&covariance(&group, middle));
            if variance < FLOOR {
                groups.push(group);
                break;
            }
            let edge = dot(axis, middle);
            let (low, high): (Vec<_>, Vec<_>) =
                group.into_iter().partition(|&colour| dot(axis, colour) <= edge);
            groups.extend([low, high].into_iter().filter(|half| !half.is_empty()));
        }
        let parts = groups.iter().map(|group| Part::of(group, group.len() as f32 / colours.len() as f32));
        Self { parts: parts.collect() }
    }

    /// The logarithm of the density at `colour`.
    pub(super) fn log_density(&self, colour: Colour) -> f32 {
        let logs = self.parts.iter().map(|part| part.log_density(colour));
        let most = logs.clone().fold(f32::NEG_INFINITY, f32::max);
        most + logs.map(|log| (log - most).exp()).sum::<f32>().ln()
    }
}

impl Part {
    fn of(colours: &[Colour], share: f32) -> Self {
        let mean = mean(colours);
        let mut c = covariance(colours, mean);
        for (axis, row) in c.iter_mut().enumerate() {
            row[axis] += FLOOR;
        }
        let minor =
            |r: [usize; 2], k: [usize; 2]| c[r[0]][k[0]] * c[r[1]][k[1]] - c[r[0]][k[1]] * c[r[1]][k[0]];
        let others = |axis: usize| [(axis + 1) % 3, (axis + 2) % 3];
        // Cyclic minors carry their sign.
        let adjugate = [0, 1, 2].map(|row| [0, 1, 2].map(|column| minor(others(column), others(row))));
        let determinant =
            (0..3).map(|column| c[0][column] * adjugate[column][0]).sum::<f32>().max(f32::MIN_POSITIVE);
        let inverse = adjugate.map(|row| row.map(|value| value / determinant));
        Self { mean, inverse, log_factor: share.ln() - 0.5 * determinant.ln() }
    }

    fn log_density(&self, colour: Colour) -> f32 {
        let off = [0, 1, 2].map(|axis| colour[axis] - self.mean[axis]);
        self.log_factor - 0.5 * dot(off, times(&self.inverse, off))
    }
}
