//! 3x3 convolutions by Winograd's minimal filtering, F(2x2, 3x3): 16 products for four outputs instead of 36.
//!
//! Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016). Each tile of 2x2 outputs sees 4x4
//! inputs. Inputs and weights are transformed (`B' d B`, `G g G'`), multiplied position by position, summed over channels
//! (16 matrix products over many tiles), and the sums are transformed to outputs (`A' m A`). All factors of the transforms
//! are 0, 1 or 1/2, so that next to nothing is lost in precision.

use rayon::prelude::*;

use super::conv::ConvShape;
use super::raw::{Fresh, Matrix, build, build_with, product_into, zeros};
use super::simd;

/// Values of a transformed tile.
const POINTS: usize = 16;
/// Channels that are transformed together.
const LANES: usize = 8;
/// Tiles in one block: enough for the matrix products to be efficient, few enough for a block to stay in cache.
const BLOCK: usize = 64;
/// Output positions for each channel below which transforming the weights costs more than it saves. Measured, forward: 0.65
/// of the time at 9 and at 13, 0.87 at 1.6, 1.4 at 1.1; the pocket model samples slower with those at 3 than without them.
const POSITIONS: usize = 4;
/// Most weights (outputs times inputs) that are transformed at once; they are held as 16 values for each 9.
const WEIGHTS: usize = 1 << 19;
/// Parts of the weights' gradient, whatever the number of threads.
const PARTS: usize = 4;

type Lane = [f32; LANES];

/// Whether a convolution is done in this way.
pub(crate) fn suits(shape: &ConvShape) -> bool {
    let [height, width] = shape.output;
    shape.kernel == [3, 3]
        && shape.geometry == mudi_diffusion::ConvGeometry::same(3)
        && [height, width].iter().all(|length| length.is_multiple_of(2))
        && [shape.inputs, shape.outputs].iter().all(|channels| channels.is_multiple_of(LANES))
        && shape.batch * height * width >= POSITIONS * shape.inputs.max(shape.outputs)
        && shape.inputs * shape.outputs <= WEIGHTS
}

/// The tiles of a convolution, in rows of tiles counted through all samples.
#[derive(Clone, Copy)]
struct Tiles {
    /// Height and width of a picture, in positions.
    size: [usize; 2],
    /// Tiles in a row.
    across: usize,
    /// Rows of tiles, of all samples.
    rows: usize,
    /// Rows of tiles in a block.
    block: usize,
}

impl Tiles {
    fn of(shape: &ConvShape) -> Self {
        let size = shape.output;
        let (across, rows) = (size[1] / 2, shape.batch * size[0] / 2);
        Self { size, across, rows, block: BLOCK.div_ceil(across).min(rows.div_ceil(PARTS)) }
    }

    /// Transforms the inputs of all tiles in `rows` rows from `first`: `[16, tiles, channels]`.
    fn inputs(&self, x: &[f32], channels: usize, first: usize, rows: usize, to: &mut Vec<f32>) {
        let tiles = rows * self.across;
        to.resize(POINTS * tiles * channels, 0.0);
        let [height, width] = self.size;
        simd(
            #[inline(always)]
            || {
                for tile in 0..tiles {
                    let (row, column) = (first + tile / self.across, tile % self.across);
                    let (sample, top) = (row / (height / 2), 2 * (row % (height / 2)));
                    let image = &x[sample * height * width * channels..][..height * width * channels];
                    // Where each of the 4x4 positions begins; none where it lies outside.
                    let starts: [Option<usize>; POINTS] = std::array::from_fn(|point| {
                        let y = (top + point / 4).checked_sub(1).filter(|&y| y < height)?;
                        let x = (2 * column + point % 4).checked_sub(1).filter(|&x| x < width)?;
                        Some((y * width + x) * channels)
                    });
                    for channel in (0..channels).step_by(LANES) {
                        let d: [Lane; POINTS] = lanes(|point| {
                            starts[point].map_or([0.0; LANES], |start| load(image, start + channel))
                        });
                        let v = transform_input(&d);
                        for (point, v) in v.iter().enumerate() {
                            store(to, (point * tiles + tile) * channels + channel, v);
                        }
                    }
                }
            },
        );
    }

    /// Spreads the gradients of the outputs of all tiles in `rows` rows from `first`, as the transposed output transform
    /// does: `[16, tiles, channels]`.
    fn output_gradients(&self, dy: &[f32], channels: usize, first: usize, rows: usize, to: &mut Vec<f32>) {
        let tiles = rows * self.across;
        to.resize(POINTS * tiles * channels, 0.0);
        let line = self.size[1] * channels;
        simd(
            #[inline(always)]
            || {
                for tile in 0..tiles {
                    let start = 2 * (first + tile / self.across) * line + 2 * (tile % self.across) * channels;
                    for channel in (0..channels).step_by(LANES) {
                        let y: [Lane; 4] = lanes(|point| {
                            load(dy, start + (point / 2) * line + (point % 2) * channels + channel)
                        });
                        for (point, m) in transform_output_gradient(&y).iter().enumerate() {
                            store(to, (point * tiles + tile) * channels + channel, m);
                        }
                    }
                }
            },
        );
    }

    /// Transforms products `[16, tiles, channels]` to the outputs of whole rows of tiles.
    fn outputs<'a>(
        &self,
        products: &[f32],
        bias: Option<&[f32]>,
        channels: usize,
        y: &'a mut Fresh,
    ) -> &'a mut [f32] {
        let y = zeros(y);
        let line = self.size[1] * channels;
        let tiles = products.len() / (POINTS * channels);
        simd(
            #[inline(always)]
            || {
                for tile in 0..tiles {
                    let start = 2 * (tile / self.across) * line + 2 * (tile % self.across) * channels;
                    for channel in (0..channels).step_by(LANES) {
                        let m: [Lane; POINTS] =
                            lanes(|point| load(products, (point * tiles + tile) * channels + channel));
                        let b = bias.map_or([0.0; LANES], |bias| load(bias, channel));
                        for (point, sum) in transform_output(&m).iter().enumerate() {
                            let at = start + (point / 2) * line + (point % 2) * channels + channel;
                            store(y, at, &add(sum, &b));
                        }
                    }
                }
            },
        );
        y
    }
}

/// `std::array::from_fn`, which is not inlined into loops with wider vectors and then has narrow ones.
#[inline(always)]
fn lanes<const N: usize>(lane: impl Fn(usize) -> Lane) -> [Lane; N] {
    let mut all = [[0.0; LANES]; N];
    for (index, to) in all.iter_mut().enumerate() {
        *to = lane(index);
    }
    all
}

#[inline(always)]
fn load(from: &[f32], at: usize) -> Lane {
    let mut lane = [0.0; LANES];
    lane.copy_from_slice(&from[at..at + LANES]);
    lane
}

#[inline(always)]
fn store(to: &mut [f32], at: usize, lane: &Lane) {
    to[at..at + LANES].copy_from_slice(lane);
}

#[inline(always)]
fn add(a: &Lane, b: &Lane) -> Lane {
    let mut sum = *a;
    sum.iter_mut().zip(b).for_each(|(sum, b)| *sum += b);
    sum
}

#[inline(always)]
fn sub(a: &Lane, b: &Lane) -> Lane {
    let mut difference = *a;
    difference.iter_mut().zip(b).for_each(|(difference, b)| *difference -= b);
    difference
}

#[inline(always)]
fn half(a: &Lane) -> Lane {
    let mut half = *a;
    half.iter_mut().for_each(|half| *half *= 0.5);
    half
}

/// `transform` of the columns, then of the rows, of a matrix of `N` columns with `N` rows: `M` by `M`.
#[inline(always)]
fn both<const N: usize, const M: usize, const NN: usize, const MM: usize>(
    x: &[Lane; NN],
    transform: impl Fn([Lane; N]) -> [Lane; M],
) -> [Lane; MM] {
    let mut columns = [[[0.0; LANES]; M]; N];
    for (column, transformed) in columns.iter_mut().enumerate() {
        *transformed = transform(lanes(|row| x[row * N + column]));
    }
    let mut all = [[0.0; LANES]; MM];
    for (row, all) in all.chunks_exact_mut(M).enumerate() {
        all.copy_from_slice(&transform(lanes(|column| columns[column][row])));
    }
    all
}

/// `B' d B`.
#[inline(always)]
fn transform_input(d: &[Lane; 16]) -> [Lane; 16] {
    both::<4, 4, 16, 16>(
        d,
        #[inline(always)]
        |[a, b, c, d]| [sub(&a, &c), add(&b, &c), sub(&c, &b), sub(&b, &d)],
    )
}

/// `A' m A`.
#[inline(always)]
fn transform_output(m: &[Lane; 16]) -> [Lane; 4] {
    both::<4, 2, 16, 4>(
        m,
        #[inline(always)]
        |[a, b, c, d]| [add(&add(&a, &b), &c), sub(&sub(&b, &c), &d)],
    )
}

/// `A y A'`.
#[inline(always)]
fn transform_output_gradient(y: &[Lane; 4]) -> [Lane; 16] {
    both::<2, 4, 4, 16>(
        y,
        #[inline(always)]
        |[a, b]| [a, add(&a, &b), sub(&a, &b), sub(&[0.0; LANES], &b)],
    )
}

/// `G g G'`.
#[inline(always)]
fn transform_weight(g: &[Lane; 9]) -> [Lane; 16] {
    both::<3, 4, 9, 16>(
        g,
        #[inline(always)]
        |[a, b, c]| {
            let ends = add(&a, &c);
            [a, half(&add(&ends, &b)), half(&sub(&ends, &b)), c]
        },
    )
}

/// `G' u G`.
#[inline(always)]
fn transform_weight_gradient(u: &[Lane; 16]) -> [Lane; 9] {
    both::<4, 3, 16, 9>(
        u,
        #[inline(always)]
        |[a, b, c, d]| {
            let middle = half(&add(&b, &c));
            [add(&a, &middle), half(&sub(&b, &c)), add(&d, &middle)]
        },
    )
}

/// Transformed weights, `[inputs, 16, outputs]`, of `[3, 3, inputs, outputs]`.
fn transform_weights(w: &[f32], inputs: usize, outputs: usize) -> Vec<f32> {
    build(inputs * POINTS * outputs, POINTS * outputs, |input, u| {
        let u = zeros(u);
        simd(
            #[inline(always)]
            || {
                for channel in (0..outputs).step_by(LANES) {
                    let g: [Lane; 9] = lanes(|tap| load(w, (tap * inputs + input) * outputs + channel));
                    for (point, lane) in transform_weight(&g).iter().enumerate() {
                        store(u, point * outputs + channel, lane);
                    }
                }
            },
        );
        u
    })
}

/// `x` convolved with `w [3, 3, inputs, outputs]`, plus `b`; `shape` has to [suit](suits).
pub(crate) fn forward(x: &[f32], w: &[f32], b: Option<&[f32]>, shape: &ConvShape) -> Vec<f32> {
    let (inputs, outputs) = (shape.inputs, shape.outputs);
    let u = transform_weights(w, inputs, outputs);
    let tiles = Tiles::of(shape);
    let row = 2 * shape.output[1] * outputs;
    build_with(
        tiles.rows * row,
        tiles.block * row,
        || (Vec::new(), Vec::new()),
        |(v, products), index, y| {
            let rows = y.len() / row;
            let count = rows * tiles.across;
            tiles.inputs(x, inputs, index * tiles.block, rows, v);
            products.resize(POINTS * count * outputs, 0.0);
            for (point, (v, out)) in
                v.chunks_exact(count * inputs).zip(products.chunks_exact_mut(count * outputs)).enumerate()
            {
                let u = Matrix::strided(&u[point * outputs..], inputs, outputs, POINTS * outputs);
                product_into(out, outputs, Matrix::new(v, count, inputs), u, false);
            }
            tiles.outputs(products, b, outputs, y)
        },
    )
}

/// Gradient of the weight, `[outputs, 3, 3, inputs]`; `shape` has to [suit](suits).
pub(crate) fn weight_gradient(dy: &[f32], x: &[f32], shape: &ConvShape) -> Vec<f32> {
    let (inputs, outputs) = (shape.inputs, shape.outputs);
    let tiles = Tiles::of(shape);
    let part = tiles.rows.div_ceil(PARTS);
    let partial: Vec<Vec<f32>> = (0..tiles.rows.div_ceil(part))
        .into_par_iter()
        .map(|index| {
            let mut du = vec![0f32; outputs * POINTS * inputs];
            let (mut v, mut m) = (Vec::new(), Vec::new());
            let (first, end) = (index * part, ((index + 1) * part).min(tiles.rows));
            for row in (first..end).step_by(tiles.block) {
                let rows = tiles.block.min(end - row);
                let count = rows * tiles.across;
                tiles.inputs(x, inputs, row, rows, &mut v);
                tiles.output_gradients(dy, outputs, row, rows, &mut m);
                for (point, (v, m)) in
                    v.chunks_exact(count * inputs).zip(m.chunks_exact(count * outputs)).enumerate()
                {
                    let m = Matrix::new(m, count, outputs).t();
                    let v = Matrix::new(v, count, inputs);
                    product_into(&mut du[point * inputs..], POINTS * inputs, m, v, row > first);
                }
            }
            du
        })
        .collect();
    build(outputs * 9 * inputs, 9 * inputs, |output, dw| {
        let dw = zeros(dw);
        simd(
            #[inline(always)]
            || {
                for channel in (0..inputs).step_by(LANES) {
                    let u: [Lane; POINTS] = lanes(|point| {
                        let at = (output * POINTS + point) * inputs + channel;
                        partial.iter().fold([0.0; LANES], |sum, part| add(&sum, &load(part, at)))
                    });
                    for (tap, lane) in transform_weight_gradient(&u).iter().enumerate() {
                        store(dw, tap * inputs + channel, lane);
                    }
                }
            },
        );
        dw
    })
}
