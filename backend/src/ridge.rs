//! A linear readout of what vectors mean, by ridge regression (Hoerl and Kennard, 1970).

/// What is added to the covariance's diagonal, as a share of its mean: what hardly ever varies is not relied on.
const RIDGE: f64 = 2e-4;

/// The map `[wanted_width, width]`, row by row, that brings `vectors` (each of `width` values) nearest to `wanted` (as many,
/// each of `wanted_width` values) in the sum of squares.
pub(crate) fn readout(vectors: &[f32], width: usize, wanted: &[f32], wanted_width: usize) -> Vec<f32> {
    let count = (vectors.len() / width).max(1) as f64;
    let mut squares = vec![0f64; width * width];
    let mut products = vec![0f64; width * wanted_width];
    for (vector, wanted) in vectors.chunks_exact(width).zip(wanted.chunks_exact(wanted_width)) {
        for (i, a) in vector.iter().enumerate() {
            let a = f64::from(*a) / count;
            add_scaled(&mut squares[i * width..(i + 1) * width], vector, a);
            add_scaled(&mut products[i * wanted_width..(i + 1) * wanted_width], wanted, a);
        }
    }
    let mean = (0..width).map(|i| squares[i * width + i]).sum::<f64>() / width as f64;
    for i in 0..width {
        squares[i * width + i] += RIDGE * mean + 1e-12;
    }
    let solved = solve(squares, products, width, wanted_width);
    let at = |row: usize, column: usize| solved[column * wanted_width + row] as f32;
    (0..wanted_width)
        .flat_map(|row| (0..width).map(move |column| (row, column)))
        .map(|(r, c)| at(r, c))
        .collect()
}

fn add_scaled(sum: &mut [f64], values: &[f32], factor: f64) {
    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += factor * f64::from(*value));
}

/// Solves `matrix [n, n] * x = right [n, m]` for a positive definite matrix, by its Cholesky factor.
fn solve(mut matrix: Vec<f64>, mut right: Vec<f64>, n: usize, m: usize) -> Vec<f64> {
    // The factor replaces the lower triangle.
    for i in 0..n {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| matrix[i * n + k] * matrix[j * n + k]).sum();
            let rest = matrix[i * n + j] - known;
            matrix[i * n + j] = if i == j { rest.max(1e-24).sqrt() } else { rest / matrix[j * n + j] };
        }
    }
    for column in 0..m {
        for i in 0..n {
            let known: f64 = (0..i).map(|k| matrix[i * n + k] * right[k * m + column]).sum();
            right[i * m + column] = (right[i * m + column] - known) / matrix[i * n + i];
        }
        for i in (0..n).rev() {
            let known: f64 = (i + 1..n).map(|k| matrix[k * n + i] * right[k * m + column]).sum();
            right[i * m + column] = (right[i * m + column] - known) / matrix[i * n + i];
        }
    }
    right
}

#[cfg(test)]
mod tests {
    use mudi_domain::rng;

    use super::readout;

    #[test]
    fn what_depends_linearly_is_read_out() {
        const WIDTH: usize = 5;
        let vectors = rng::normal(&mut rng::stream(1, "test", 0), 400 * WIDTH);
        let noise = rng::normal(&mut rng::stream(2, "test", 0), 400);
        let wanted: Vec<f32> = vectors
            .chunks_exact(WIDTH)
            .zip(&noise)
            .flat_map(|(v, noise)| [2.0 * v[0] - v[3], v[1] + 0.1 * noise])
            .collect();
        let map = readout(&vectors, WIDTH, &wanted, 2);
        let expected = [2.0, 0.0, 0.0, -1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0];
        for (found, expected) in map.iter().zip(expected) {
            assert!((found - expected).abs() < 0.02, "{map:?}");
        }
    }
}
