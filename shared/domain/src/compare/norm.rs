//! How far two matrices of similarities are apart.

use serde::{Deserialize, Serialize};

use super::Similarities;

/// How the difference of the matrices becomes one number. The sources disagree (`docs/method.md`), so the score always
/// names its norm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// Root of the sum of squares: what fits the paper's published examples best.
    #[default]
    Frobenius,
    /// Sum of squares: the paper's formula.
    Squared,
    /// Largest singular value: the released code.
    Spectral,
}

/// A word that is no norm.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no norm; known are frobenius, squared, spectral")]
pub struct UnknownNorm(String);

impl Norm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Frobenius, Self::Squared, Self::Spectral];

    /// Its word on the command line and in files.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Frobenius => "frobenius",
            Self::Squared => "squared",
            Self::Spectral => "spectral",
        }
    }

    /// The norm of `a - b`, of two square matrices of one size.
    pub(super) fn of_difference(self, a: &Similarities, b: &Similarities) -> f64 {
        let subtract = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| a - b).collect();
        let difference: Similarities = a.iter().zip(b).map(subtract).collect();
        let squares = || difference.iter().flatten().map(|value| value * value).sum::<f64>();
        match self {
            Self::Frobenius => squares().sqrt(),
            Self::Squared => squares(),
            Self::Spectral => largest_singular_value(&difference),
        }
    }
}

impl std::fmt::Display for Norm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

impl std::str::FromStr for Norm {
    type Err = UnknownNorm;

    fn from_str(word: &str) -> Result<Self, UnknownNorm> {
        Self::ALL.into_iter().find(|norm| norm.word() == word).ok_or_else(|| UnknownNorm(word.to_owned()))
    }
}

/// The root of the largest eigenvalue of `A^T A`, by Jacobi's rotations, which need no starting vector and so have none
/// that fails.
fn largest_singular_value(a: &Similarities) -> f64 {
    // Rotations converge quadratically; matrices of a dozen rows need five or six sweeps.
    const SWEEPS: usize = 32;
    let n = a.len();
    let mut gram: Similarities =
        (0..n).map(|i| (0..n).map(|j| (0..n).map(|k| a[k][i] * a[k][j]).sum()).collect()).collect();
    for _ in 0..SWEEPS {
        let mut rotated = false;
        for p in 0..n {
            for q in p + 1..n {
                rotated |= rotate(&mut gram, p, q);
            }
        }
        if !rotated {
            break;
        }
    }
    (0..n).map(|i| gram[i][i]).fold(0.0, f64::max).sqrt()
}

/// Rotates rows and columns `p`, `q` of a symmetric matrix so that their common element vanishes; `false` where it is
/// already nothing beside the diagonal.
fn rotate(m: &mut Similarities, p: usize, q: usize) -> bool {
    let (pp, qq, pq) = (m[p][p], m[q][q], m[p][q]);
    if pq.abs() <= f64::EPSILON * (pp.abs() + qq.abs()) {
        return false;
    }
    let theta = (qq - pp) / (2.0 * pq);
    let tangent = theta.signum() / (theta.abs() + theta.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let sine = tangent * cosine;
    for row in m.iter_mut() {
        (row[p], row[q]) = (cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q]);
    }
    let Ok([row_p, row_q]) = m.get_disjoint_mut([p, q]) else { return false };
    for (a, b) in row_p.iter_mut().zip(row_q) {
        (*a, *b) = (cosine * *a - sine * *b, sine * *a + cosine * *b);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spectral(a: &[&[f64]]) -> f64 {
        largest_singular_value(&a.iter().map(|row| row.to_vec()).collect())
    }

    #[test]
    fn singular_values_worked_out_by_hand() {
        assert_eq!(spectral(&[]), 0.0);
        assert_eq!(spectral(&[&[-3.0]]), 3.0);
        assert_eq!(spectral(&[&[0.0, 0.0], &[0.0, 0.0]]), 0.0);
        // A^T A = [[25, 20], [20, 25]], with eigenvalues 45 and 5.
        assert!((spectral(&[&[3.0, 0.0], &[4.0, 5.0]]) - 45.0_f64.sqrt()).abs() < 1e-12);
        // Of rank 1: the product of the lengths of (1, 2, 2) and (3, 0, 4).
        assert!((spectral(&[&[3.0, 0.0, 4.0], &[6.0, 0.0, 8.0], &[6.0, 0.0, 8.0]]) - 15.0).abs() < 1e-12);
    }

    #[test]
    fn words_read_back() {
        for norm in Norm::ALL {
            assert_eq!(norm.word().parse(), Ok(norm));
            assert_eq!(serde_json::to_string(&norm).unwrap(), format!("\"{norm}\""));
        }
        assert!("nuclear".parse::<Norm>().unwrap_err().to_string().contains("spectral"));
    }
}
