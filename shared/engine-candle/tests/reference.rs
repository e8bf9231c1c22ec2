//! Every operation's values against plain loops in double precision, and shapes that do not fit.
#![allow(clippy::unwrap_used)] // In the helpers of tests too.

use mudi_diffusion::{Activation, ConvGeometry, Engine};
use mudi_engine_candle::{CandleEngine, Tensor};
use mudi_engine_cases::{ACTIVATIONS, inputs};
use proptest::prelude::*;

mod common;
use common::{assert_close, drawn, engines, runs, tensors, value, values};

/// The error function, by a series whose terms are all of one sign.
fn erf(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
    }
    2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp() * sum
}

fn activation(kind: Activation, x: f64) -> f64 {
    match kind {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Gelu => 0.5 * x * (1.0 + erf(x / 2f64.sqrt())),
        Activation::QuickGelu => x / (1.0 + (-1.702 * x).exp()),
        Activation::Relu => x.max(0.0),
        Activation::Elu => {
            if x > 0.0 {
                x
            } else {
                x.exp_m1()
            }
        }
    }
}

/// Normalizes the values at `members` of `x`.
fn normalize(x: &mut [f64], members: &[usize], eps: f64) {
    let count = members.len() as f64;
    let mean = members.iter().map(|&i| x[i]).sum::<f64>() / count;
    let variance = members.iter().map(|&i| (x[i] - mean).powi(2)).sum::<f64>() / count;
    members.iter().for_each(|&i| x[i] = (x[i] - mean) / (variance + eps).sqrt());
}

/// A convolution, one product at a time.
fn convolve(
    [x, w]: [&[f64]; 2],
    bias: Option<&[f64]>,
    [batch, height, width, inputs]: [usize; 4],
    [outputs, kh, kw]: [usize; 3],
    geometry: ConvGeometry,
) -> Vec<f64> {
    let ConvGeometry { stride, before, .. } = geometry;
    let (oh, ow) = (geometry.output(height, kh), geometry.output(width, kw));
    let mut expected = vec![];
    for position in 0..batch * oh * ow {
        let (sample, oy, ox) = (position / (oh * ow), position / ow % oh, position % ow);
        for output in 0..outputs {
            let mut sum = bias.map_or(0.0, |bias| bias[output]);
            for tap in 0..kh * kw {
                let (iy, ix) = (oy * stride + tap / kw, ox * stride + tap % kw);
                if (before..before + height).contains(&iy) && (before..before + width).contains(&ix) {
                    let from = (sample * height + iy - before) * width + ix - before;
                    for c in 0..inputs {
                        sum += x[from * inputs + c] * w[(output * kh * kw + tap) * inputs + c];
                    }
                }
            }
            expected.push(sum);
        }
    }
    expected
}

#[test]
fn convolutions_by_minimal_filtering() {
    // Channels in eights and many positions: the kernels transform tiles of 2x2 outputs. Blocks of tiles that end within
    // a sample, at its end and across samples; one tile across; more inputs than outputs.
    for (x, outputs) in
        [([3, 10, 14, 16], 24), ([2, 66, 2, 8], 16), ([1, 8, 130, 24], 8), ([5, 6, 6, 64], 32)]
    {
        let [batch, height, width, inputs] = x;
        let geometry = ConvGeometry::same(3);
        let (input, xv) = drawn(1, &x);
        let (weight, wv) = drawn(2, &[outputs, 3, 3, inputs]);
        let (bias, bv) = drawn(3, &[outputs]);
        let expected = convolve([&xv, &wv], Some(&bv), x, [outputs, 3, 3], geometry);
        for engine in engines() {
            let y = engine.conv2d(&input, &weight, Some(&bias), geometry).unwrap();
            assert_close(&y, &[batch, height, width, outputs], &expected);
        }
    }
}

#[test]
fn activations_over_their_range() {
    engines().iter().for_each(over_their_range);
}

fn over_their_range(engine: &CandleEngine) {
    let xs: Vec<f32> = (-1200i16..=1200).map(|i| f32::from(i) * 0.01).collect();
    let x = Tensor::constant(value(&xs, &[xs.len()]));
    for kind in ACTIVATIONS {
        let y = values(engine.activation(&x, kind).unwrap().value());
        for (&x, &y) in xs.iter().zip(&y) {
            // Relative to the input: results next to zero are differences of larger numbers.
            let error = (f64::from(y) - activation(kind, f64::from(x))).abs();
            assert!(error <= 1e-6 * f64::from(x.abs()), "{kind:?}({x}) = {y}, off by {error:.1e}");
        }
    }
    let far = Tensor::constant(value(&[-1e30, -1e4, -100.0, 0.0, 100.0, 1e30], &[6]));
    for kind in ACTIVATIONS {
        let y = values(engine.activation(&far, kind).unwrap().value());
        let limit = if kind == Activation::Elu { -1.0 } else { 0.0 };
        assert!(y[..3].iter().all(|y| (y - limit).abs() < 1e-6) && y[3] == 0.0, "{kind:?}: {y:?}");
        assert_eq!(y[4..], [100.0, 1e30]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn convolution(
        (batch, height, width, inputs, outputs) in (1usize..3, 1usize..9, 1usize..9, 1usize..5, 1usize..6),
        (kh, kw, stride, before, after) in (1usize..5, 1usize..5, 1usize..4, 0usize..4, 0usize..4),
        with_bias in any::<bool>(),
    ) {
        let geometry = ConvGeometry { stride, before, after };
        let (oh, ow) = (geometry.output(height, kh), geometry.output(width, kw));
        let (x, xv) = drawn(1, &[batch, height, width, inputs]);
        let (w, wv) = drawn(2, &[outputs, kh, kw, inputs]);
        let (bias, bv) = drawn(3, &[outputs]);
        let ys = engines().map(|engine| engine.conv2d(&x, &w, with_bias.then_some(&bias), geometry));
        if oh == 0 || ow == 0 || before.max(after) >= kh.min(kw) {
            prop_assert!(ys.iter().all(Result::is_err));
            return Ok(());
        }
        let bias = with_bias.then_some(&bv[..]);
        let expected = convolve([&xv, &wv], bias, [batch, height, width, inputs], [outputs, kh, kw], geometry);
        for y in ys {
            assert_close(&y.unwrap(), &[batch, oh, ow, outputs], &expected);
        }
    }

    #[test]
    fn linear(rows in 1usize..90, inputs in 1usize..70, outputs in 1usize..70, with_bias in any::<bool>()) {
        let (x, xv) = drawn(1, &[1, rows, inputs]);
        let (w, wv) = drawn(2, &[outputs, inputs]);
        let (bias, bv) = drawn(3, &[outputs]);
        let dot = |r: usize, o: usize| (0..inputs).map(|i| xv[r * inputs + i] * wv[o * inputs + i]).sum::<f64>();
        let expected: Vec<f64> = (0..rows * outputs)
            .map(|i| dot(i / outputs, i % outputs) + if with_bias { bv[i % outputs] } else { 0.0 })
            .collect();
        for engine in engines() {
            let y = engine.linear(&x, &w, with_bias.then_some(&bias)).unwrap();
            assert_close(&y, &[1, rows, outputs], &expected);
        }
    }

    #[test]
    fn norms(batch in 1usize..4, positions in 1usize..50, groups in 1usize..5, each in 1usize..9, silu in any::<bool>()) {
        let channels = groups * each;
        let shape = [batch, positions, channels];
        let (x, xv) = drawn(1, &shape);
        let ((w, wv), (b, bv)) = (drawn(2, &[channels]), drawn(3, &[channels]));
        let affine = |x: &[f64]| -> Vec<f64> {
            x.iter().enumerate().map(|(i, x)| x * wv[i % channels] + bv[i % channels]).collect()
        };
        let mut grouped = xv.clone();
        for (sample, group) in (0..batch).flat_map(|sample| (0..groups).map(move |group| (sample, group))) {
            let members: Vec<usize> = (0..positions * each)
                .map(|i| (sample * positions + i / each) * channels + group * each + i % each)
                .collect();
            normalize(&mut grouped, &members, 1e-3);
        }
        let mut expected = affine(&grouped);
        if silu {
            expected.iter_mut().for_each(|x| *x = activation(Activation::Silu, *x));
        }
        let mut rows = xv;
        for row in 0..batch * positions {
            normalize(&mut rows, &(row * channels..(row + 1) * channels).collect::<Vec<_>>(), 1e-3);
        }
        for engine in engines() {
            let y = engine.group_norm(&x, &w, &b, groups, 1e-3, silu.then_some(Activation::Silu)).unwrap();
            assert_close(&y, &shape, &expected);
            assert_close(&engine.layer_norm(&x, &w, &b, 1e-3).unwrap(), &shape, &affine(&rows));
        }
    }

    #[test]
    fn depthwise_convolution(
        (batch, height, width, channels) in (1usize..3, 1usize..9, 1usize..9, 1usize..6),
        (kh, kw, stride, before, after) in (1usize..5, 1usize..5, 1usize..4, 0usize..4, 0usize..4),
    ) {
        let geometry = ConvGeometry { stride, before, after };
        let (oh, ow) = (geometry.output(height, kh), geometry.output(width, kw));
        let (x, xv) = drawn(1, &[batch, height, width, channels]);
        let ((w, wv), (bias, bv)) = (drawn(2, &[channels, kh, kw, 1]), drawn(3, &[channels]));
        let ys = engines().map(|engine| engine.depthwise_conv2d(&x, &w, Some(&bias), geometry));
        if oh == 0 || ow == 0 || before.max(after) >= kh.min(kw) {
            prop_assert!(ys.iter().all(Result::is_err));
            return Ok(());
        }
        let expected: Vec<f64> = (0..batch * oh * ow * channels)
            .map(|at| {
                let (position, c) = (at / channels, at % channels);
                let (sample, oy, ox) = (position / (oh * ow), position / ow % oh, position % ow);
                let tap = |tap: usize| {
                    let (y, x) = ((oy * stride + tap / kw).wrapping_sub(before), (ox * stride + tap % kw).wrapping_sub(before));
                    if y < height && x < width {
                        xv[((sample * height + y) * width + x) * channels + c] * wv[c * kh * kw + tap]
                    } else {
                        0.0
                    }
                };
                bv[c] + (0..kh * kw).map(tap).sum::<f64>()
            })
            .collect();
        for y in ys {
            assert_close(&y.unwrap(), &[batch, oh, ow, channels], &expected);
        }
    }

    #[test]
    fn layout(dims in proptest::collection::vec(1usize..6, 1..5), order in any::<u64>(), from in 0usize..6, length in 1usize..6, axis in 0usize..4) {
        let (x, xv) = drawn(1, &dims);
        let rank = dims.len();
        let at = |place: &[usize]| xv[place.iter().zip(&dims).fold(0, |sum, (place, dim)| sum * dim + place)];
        // Places of a shape, in order.
        let places = |shape: &[usize]| -> Vec<Vec<usize>> {
            (0..shape.iter().product()).map(|mut flat: usize| {
                let mut place: Vec<usize> = shape.iter().rev().map(|&dim| { let at = flat % dim; flat /= dim; at }).collect();
                place.reverse();
                place
            }).collect()
        };
        let mut axes: Vec<usize> = (0..rank).collect();
        axes.sort_by_key(|&axis| order.rotate_left(7 * axis as u32) % 97);
        let turned: Vec<usize> = axes.iter().map(|&axis| dims[axis]).collect();
        let permuted: Vec<f64> = places(&turned).iter().map(|place| {
            let mut source = vec![0; rank];
            axes.iter().zip(place).for_each(|(&axis, &place)| source[axis] = place);
            at(&source)
        }).collect();
        let axis = axis % rank;
        let fits = from + length <= dims[axis];
        let mut part = dims.clone();
        part[axis] = length;
        for engine in engines() {
            assert_close(&engine.permute(&x, &axes).unwrap(), &turned, &permuted);
            let sliced = engine.slice(&x, axis, from, length);
            prop_assert_eq!(sliced.is_ok(), fits);
            if let Ok(sliced) = sliced {
                let expected: Vec<f64> = places(&part).iter().map(|place| {
                    let mut source = place.clone();
                    source[axis] += from;
                    at(&source)
                }).collect();
                assert_close(&sliced, &part, &expected);
                // What was taken apart is put together again.
                let before = if from > 0 { Some(engine.slice(&x, axis, 0, from).unwrap()) } else { None };
                let rest = dims[axis] - from - length;
                let after = if rest > 0 { Some(engine.slice(&x, axis, from + length, rest).unwrap()) } else { None };
                let mut whole = sliced;
                if let Some(before) = before { whole = engine.concat(&before, &whole, axis).unwrap(); }
                if let Some(after) = after { whole = engine.concat(&whole, &after, axis).unwrap(); }
                assert_close(&whole, &dims, &xv);
            }
        }
    }

    #[test]
    fn pointwise(batch in 1usize..4, length in 1usize..9, channels in 1usize..9, other in 1usize..5, factor in -3f32..3.0) {
        let shape = [batch, length, channels];
        let ((x, xv), (z, zv)) = (drawn(1, &shape), drawn(2, &shape));
        let map = |f: &dyn Fn(usize) -> f64| -> Vec<f64> { (0..xv.len()).map(f).collect() };
        let (sum, scaled) = (map(&|i| xv[i] + zv[i]), map(&|i| xv[i] * f64::from(factor)));
        let product = map(&|i| xv[i] * zv[i]);
        let (channel_factors, cv) = drawn(7, &[channels]);
        let by_channel = map(&|i| xv[i] * cv[i % channels]);
        let (v, vv) = drawn(3, &[batch, channels]);
        let per_sample = map(&|i| xv[i] + vv[i / (length * channels) * channels + i % channels]);
        let (table, tv) = drawn(4, &[length + other, channels]);
        let positions = map(&|i| xv[i] + tv[i % (length * channels)]);
        let (b, bv) = drawn(5, &[batch, length, other]);
        let joined: Vec<f64> = xv
            .chunks(channels)
            .zip(bv.chunks(other))
            .flat_map(|(a, b)| [a, b].concat())
            .collect();
        let at: Vec<usize> = (0..batch).map(|sample| (sample * 5 + other) % length).collect();
        let selected: Vec<f64> = (0..batch * channels)
            .map(|i| xv[(i / channels * length + at[i / channels]) * channels + i % channels])
            .collect();
        let ids: Vec<u32> = (0..batch * other).map(|i| ((i * 7 + 3) % (length + other)) as u32).collect();
        let rows: Vec<f64> =
            ids.iter().flat_map(|&id| tv[id as usize * channels..][..channels].to_vec()).collect();
        let (g, gv) = drawn(6, &[batch, length, 2 * channels]);
        let gated: Vec<f64> = gv
            .chunks(2 * channels)
            .flat_map(|row| (0..channels).map(|c| row[c] * activation(Activation::Gelu, row[channels + c])).collect::<Vec<_>>())
            .collect();
        for engine in engines() {
            assert_close(&engine.add(&x, &z).unwrap(), &shape, &sum);
            assert_close(&engine.mul(&x, &z).unwrap(), &shape, &product);
            assert_close(&engine.mul(&x, &channel_factors).unwrap(), &shape, &by_channel);
            assert_close(&engine.scale(&x, factor).unwrap(), &shape, &scaled);
            assert_close(&engine.reshape(&x, &[batch * length, channels]).unwrap(), &[batch * length, channels], &xv);
            assert_close(&engine.add_per_sample(&x, &v).unwrap(), &shape, &per_sample);
            assert_close(&engine.add_positions(&x, &table).unwrap(), &shape, &positions);
            assert_close(&engine.concat(&x, &b, 2).unwrap(), &[batch, length, channels + other], &joined);
            assert_close(&engine.select_positions(&x, &at).unwrap(), &[batch, channels], &selected);
            assert_close(&engine.embedding(&table, &ids, batch).unwrap(), &[batch, other, channels], &rows);
            assert_close(&engine.geglu(&g).unwrap(), &shape, &gated);
        }
    }

    #[test]
    fn upsampling(batch in 1usize..3, h in 1usize..6, w in 1usize..6, c in 1usize..4, more in (0usize..9, 0usize..9)) {
        let (height, width) = (h + more.0, w + more.1);
        let (x, xv) = drawn(1, &[batch, h, w, c]);
        let from = |i: usize| {
            let (b, y, x) = (i / c / width / height, i / c / width % height, i / c % width);
            ((b * h + y * h / height) * w + x * w / width) * c + i % c
        };
        let expected: Vec<f64> = (0..batch * height * width * c).map(|i| xv[from(i)]).collect();
        for engine in engines() {
            let y = engine.upsample_nearest(&x, height, width).unwrap();
            assert_close(&y, &[batch, height, width, c], &expected);
        }
    }

    #[test]
    fn shapes_that_do_not_fit_never_panic(input in 0usize..3, axis in 0usize..4, length in 0usize..4, fewer in any::<bool>()) {
        for (engine, mut case) in runs() {
            let index = input % case.inputs.len();
            let shape = &mut case.inputs[index];
            if fewer {
                shape.truncate(axis);
            } else {
                let axis = axis % shape.len();
                shape[axis] = length;
            }
            let leaves = tensors(&case, &inputs(&case), |_| true);
            if let Ok(y) = (case.run)(&engine, &leaves) {
                let _ = mudi_engine_candle::backward(&[(&y, common::seed(&y))]);
            }
        }
    }
}
