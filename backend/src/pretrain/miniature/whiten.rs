//! A linear map after which vectors are centred and their coordinates are independent, each with variance 1.

/// Directions that vary less than this share of the mean variance are not stretched to the full.
const LEAST: f64 = 0.02;

/// The mean of `vectors` (each of `width` values, at least one), and the map `[width, width]`, row by row, that makes their
/// covariance the identity: the inverse of its Cholesky factor.
pub(super) fn whitening(vectors: &[f32], width: usize) -> (Vec<f32>, Vec<f32>) {
    let count = (vectors.len() / width).max(1) as f64;
    let mut mean = vec![0f64; width];
    for vector in vectors.chunks_exact(width) {
        mean.iter_mut().zip(vector).for_each(|(mean, v)| *mean += f64::from(*v) / count);
    }
    let mut covariance = vec![0f64; width * width];
    for vector in vectors.chunks_exact(width) {
        let off: Vec<f64> = vector.iter().zip(&mean).map(|(v, mean)| f64::from(*v) - mean).collect();
        for (row, a) in covariance.chunks_exact_mut(width).zip(&off) {
            row.iter_mut().zip(&off).for_each(|(sum, b)| *sum += a * b / count);
        }
    }
    let variance = (0..width).map(|i| covariance[i * width + i]).sum::<f64>() / width as f64;
    for i in 0..width {
        covariance[i * width + i] += LEAST * variance + 1e-12;
    }
    let inverse = inverse_factor(&covariance, width);
    let single = |values: Vec<f64>| values.into_iter().map(|v| v as f32).collect();
    (single(mean), single(inverse))
}

/// The inverse of the lower triangular factor of a positive definite matrix.
fn inverse_factor(matrix: &[f64], width: usize) -> Vec<f64> {
    let mut factor = vec![0f64; width * width];
    for i in 0..width {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| factor[i * width + k] * factor[j * width + k]).sum();
            let rest = matrix[i * width + j] - known;
            factor[i * width + j] =
                if i == j { rest.max(1e-24).sqrt() } else { rest / factor[j * width + j] };
        }
    }
    let mut inverse = vec![0f64; width * width];
    for column in 0..width {
        for row in column..width {
            let known: f64 =
                (column..row).map(|k| factor[row * width + k] * inverse[k * width + column]).sum();
            let unit = if row == column { 1.0 } else { 0.0 };
            inverse[row * width + column] = (unit - known) / factor[row * width + row];
        }
    }
    inverse
}

#[cfg(test)]
mod tests {
    use mudi_domain::rng;

    use super::whitening;

    #[test]
    fn what_comes_out_is_white() {
        const WIDTH: usize = 5;
        let noise = rng::normal(&mut rng::stream(1, "test", 0), 400 * WIDTH);
        // Stretched, mixed and shifted, but with no direction so thin that it is left short.
        let vectors: Vec<f32> = noise
            .chunks_exact(WIDTH)
            .flat_map(|v| [3.0 + v[0], 2.0 * v[1] + v[0], v[2] - v[1], v[3] + v[0], v[4]])
            .collect();
        let (mean, map) = whitening(&vectors, WIDTH);
        let white: Vec<f32> = vectors
            .chunks_exact(WIDTH)
            .flat_map(|vector| {
                let off: Vec<f32> = vector.iter().zip(&mean).map(|(v, mean)| v - mean).collect();
                map.chunks_exact(WIDTH)
                    .map(|row| row.iter().zip(&off).map(|(a, b)| a * b).sum::<f32>())
                    .collect::<Vec<_>>()
            })
            .collect();
        for i in 0..WIDTH {
            for j in 0..WIDTH {
                let products = white.chunks_exact(WIDTH).map(|v| v[i] * v[j]);
                let covariance = products.sum::<f32>() / 400.0;
                let expected = if i == j { 1.0 } else { 0.0 };
                assert!((covariance - expected).abs() < 0.12, "{i}, {j}: {covariance}");
            }
        }
    }
}
