//! Every operation, with shapes that are even and odd, small and larger than a tile.

use mudi_diffusion::{Activation, ConvGeometry, Engine, Result, ScoreBias};

use crate::random;

/// Every non-linearity.
pub const ACTIVATIONS: [Activation; 5] =
    [Activation::Silu, Activation::Gelu, Activation::QuickGelu, Activation::Relu, Activation::Elu];

type Run<E> = Box<dyn Fn(&E, &[<E as Engine>::Tensor]) -> Result<<E as Engine>::Tensor> + Send + Sync>;

/// An operation and the shapes of its differentiable inputs.
pub struct Case<E: Engine> {
    /// What it tries.
    pub name: String,
    /// Shapes of its inputs.
    pub inputs: Vec<Vec<usize>>,
    /// The operation.
    pub run: Run<E>,
}

pub(crate) fn case<E: Engine>(
    name: impl Into<String>,
    inputs: &[&[usize]],
    run: impl Fn(&E, &[E::Tensor]) -> Result<E::Tensor> + Send + Sync + 'static,
) -> Case<E> {
    let inputs = inputs.iter().map(|shape| shape.to_vec()).collect();
    Case { name: name.into(), inputs, run: Box::new(run) }
}

fn conv_case<E: Engine>(
    name: &str,
    x: [usize; 4],
    w: [usize; 4],
    pad: [usize; 2],
    stride: usize,
    bias: bool,
) -> Case<E> {
    let geometry = ConvGeometry { stride, before: pad[0], after: pad[1] };
    let shapes: &[&[usize]] = if bias { &[&x, &w, &w[..1]] } else { &[&x, &w] };
    case(format!("conv2d {name}"), shapes, move |e: &E, t: &[E::Tensor]| {
        e.conv2d(&t[0], &t[1], t.get(2), geometry)
    })
}

fn group_norm_case<E: Engine>(x: &[usize], groups: usize, activation: Option<Activation>) -> Case<E> {
    let channels = [x[x.len() - 1]];
    let name = format!("group_norm {x:?} {groups} groups, {activation:?}");
    case(name, &[x, &channels, &channels], move |e: &E, t: &[E::Tensor]| {
        e.group_norm(&t[0], &t[1], &t[2], groups, 1e-5, activation)
    })
}

fn attention_case<E: Engine>(name: &str, queries: usize, keys: usize, heads: usize, causal: bool) -> Case<E> {
    let (q, k) = ([2, queries, 4 * heads], [2, keys, 4 * heads]);
    case(format!("attention {name}"), &[&q, &k, &k], move |e: &E, t: &[E::Tensor]| {
        e.attention(&t[0], &t[1], &t[2], heads, causal)
    })
}

fn wide_head_case<E: Engine>(
    name: &str,
    [queries, keys]: [usize; 2],
    heads: usize,
    width: usize,
    causal: bool,
) -> Case<E> {
    let (q, k) = ([2, queries, heads * width], [2, keys, heads * width]);
    case(format!("attention {name}"), &[&q, &k, &k], move |e: &E, t: &[E::Tensor]| {
        e.attention(&t[0], &t[1], &t[2], heads, causal)
    })
}

fn depthwise_case<E: Engine>(
    name: &str,
    x: [usize; 4],
    kernel: usize,
    pad: [usize; 2],
    stride: usize,
    bias: bool,
) -> Case<E> {
    let geometry = ConvGeometry { stride, before: pad[0], after: pad[1] };
    let w = [x[3], kernel, kernel, 1];
    let shapes: &[&[usize]] = if bias { &[&x, &w, &w[..1]] } else { &[&x, &w] };
    case(format!("depthwise {name}"), shapes, move |e: &E, t: &[E::Tensor]| {
        e.depthwise_conv2d(&t[0], &t[1], t.get(2), geometry)
    })
}

fn full_bias_case<E: Engine>(
    name: &str,
    queries: usize,
    keys: usize,
    heads: usize,
    each_sample: bool,
) -> Case<E> {
    let (q, k) = ([2, queries, 4 * heads], [2, keys, 4 * heads]);
    let bias = [if each_sample { 2 * heads } else { heads }, queries, keys];
    case(format!("attention with a bias {name}"), &[&q, &k, &k, &bias], move |e: &E, t: &[E::Tensor]| {
        e.biased_attention(&t[0], &t[1], &t[2], heads, ScoreBias::Full(&t[3]))
    })
}

fn wide_bias_case<E: Engine>() -> Case<E> {
    let (q, k) = ([2, 5, 72], [2, 19, 72]);
    case("attention with a bias, wide head", &[&q, &k, &k, &[1, 5, 19]], |e: &E, t: &[E::Tensor]| {
        e.biased_attention(&t[0], &t[1], &t[2], 1, ScoreBias::Full(&t[3]))
    })
}

fn relative_case<E: Engine>(name: &str, grid: [usize; 2], heads: usize) -> Case<E> {
    let tokens = grid[0] * grid[1];
    let x = [2, tokens, 4 * heads];
    let [rows, columns] = grid.map(|length| [2, tokens, heads * (2 * length - 1)]);
    case(
        format!("attention with relative positions, {name}"),
        &[&x, &x, &x, &rows, &columns],
        move |e: &E, t: &[E::Tensor]| {
            let bias = ScoreBias::Relative { grid, rows: &t[3], columns: &t[4] };
            e.biased_attention(&t[0], &t[1], &t[2], heads, bias)
        },
    )
}

/// Values on both sides of the bend at 0, and none so near that a difference would reach over it.
fn relu_case<E: Engine>() -> Case<E> {
    case("activation Relu", &[&[3, 7]], |e: &E, t: &[E::Tensor]| {
        let sides: Vec<f32> = (0..21).map(|at| if at % 2 == 0 { 1.5 } else { -1.5 }).collect();
        e.activation(&e.add(&t[0], &e.from_slice(&sides, &[3, 7])?)?, Activation::Relu)
    })
}

/// A grid of one row, whose part of the bias is the same for all keys: its gradient is zero but for rounding, so it is no
/// input.
fn one_row_case<E: Engine>(length: usize, heads: usize) -> Case<E> {
    let x = [2, length, 4 * heads];
    let columns = [2, length, heads * (2 * length - 1)];
    case(
        "attention with relative positions, one row",
        &[&x, &x, &x, &columns],
        move |e: &E, t: &[E::Tensor]| {
            let rows = e.from_slice(&random(7, 2 * length * heads), &[2, length, heads])?;
            let bias = ScoreBias::Relative { grid: [1, length], rows: &rows, columns: &t[3] };
            e.biased_attention(&t[0], &t[1], &t[2], heads, bias)
        },
    )
}

/// Every operation of the engine.
#[must_use]
pub fn cases<E: Engine>() -> Vec<Case<E>> {
    let mut cases = vec![
        case("linear", &[&[2, 3, 5], &[4, 5]], |e: &E, t: &[E::Tensor]| e.linear(&t[0], &t[1], None)),
        case("linear with bias", &[&[7, 5], &[4, 5], &[4]], |e: &E, t: &[E::Tensor]| {
            e.linear(&t[0], &t[1], Some(&t[2]))
        }),
        case("linear, wide", &[&[2, 67, 48], &[80, 48], &[80]], |e: &E, t: &[E::Tensor]| {
            e.linear(&t[0], &t[1], Some(&t[2]))
        }),
        case("linear, tall", &[&[515, 33], &[37, 33]], |e: &E, t: &[E::Tensor]| e.linear(&t[0], &t[1], None)),
        case("linear, few rows", &[&[3, 300], &[400, 300]], |e: &E, t: &[E::Tensor]| {
            e.linear(&t[0], &t[1], None)
        }),
        case("linear, deep", &[&[20, 2000], &[40, 2000]], |e: &E, t: &[E::Tensor]| {
            e.linear(&t[0], &t[1], None)
        }),
        conv_case("3x3, several channels", [1, 16, 16, 32], [48, 3, 3, 32], [1, 1], 1, true),
        conv_case("3x3, blocks of tiles", [3, 10, 14, 16], [24, 3, 3, 16], [1, 1], 1, true),
        conv_case("3x3, one tile across", [2, 66, 2, 8], [16, 3, 3, 8], [1, 1], 1, false),
        conv_case("3x3", [2, 4, 6, 3], [4, 3, 3, 3], [1, 1], 1, false),
        conv_case("3x3 with bias", [2, 5, 7, 3], [4, 3, 3, 3], [1, 1], 1, true),
        conv_case("3x3, many tiles", [2, 31, 29, 3], [5, 3, 3, 3], [1, 1], 1, true),
        conv_case("3x3 without padding", [1, 5, 4, 2], [3, 3, 3, 2], [0, 0], 1, true),
        conv_case("3x3 padded before", [1, 5, 4, 2], [3, 3, 3, 2], [2, 0], 1, true),
        conv_case("3x3 padded after", [2, 4, 5, 2], [3, 3, 3, 2], [0, 1], 1, true),
        conv_case("1x1", [2, 3, 5, 4], [6, 1, 1, 4], [0, 0], 1, false),
        conv_case("1x1 with bias", [2, 3, 5, 4], [6, 1, 1, 4], [0, 0], 1, true),
        conv_case("1x1 stride 2", [2, 5, 4, 3], [2, 1, 1, 3], [0, 0], 2, true),
        conv_case("3x3 stride 2", [2, 8, 6, 3], [4, 3, 3, 3], [1, 1], 2, true),
        conv_case("3x3 stride 2, odd", [2, 7, 5, 3], [4, 3, 3, 3], [1, 1], 2, true),
        conv_case("3x3 stride 2, asymmetric", [2, 8, 6, 3], [4, 3, 3, 3], [0, 1], 2, true),
        conv_case("3x3 stride 2, asymmetric and odd", [1, 7, 9, 3], [4, 3, 3, 3], [0, 1], 2, false),
        conv_case("3x3 stride 3", [1, 7, 9, 3], [4, 3, 3, 3], [1, 0], 3, true),
        conv_case("2x2", [1, 4, 5, 2], [3, 2, 2, 2], [0, 1], 1, true),
        conv_case("5x5 larger than the image", [1, 2, 3, 2], [3, 5, 5, 2], [2, 2], 1, true),
        conv_case("1x3", [1, 4, 5, 2], [3, 1, 3, 2], [0, 0], 1, true),
        conv_case("3x2 padded", [2, 4, 5, 2], [3, 3, 2, 2], [1, 0], 1, true),
        conv_case("2x3 stride 2", [2, 6, 5, 2], [3, 2, 3, 2], [1, 1], 2, true),
        case("layer_norm", &[&[2, 5, 8], &[8], &[8]], |e: &E, t: &[E::Tensor]| {
            e.layer_norm(&t[0], &t[1], &t[2], 1e-5)
        }),
        case("layer_norm, odd", &[&[41, 37], &[37], &[37]], |e: &E, t: &[E::Tensor]| {
            e.layer_norm(&t[0], &t[1], &t[2], 1e-3)
        }),
        case("layer_norm, many rows", &[&[530, 37], &[37], &[37]], |e: &E, t: &[E::Tensor]| {
            e.layer_norm(&t[0], &t[1], &t[2], 1e-5)
        }),
        wide_head_case("wide heads", [9, 35], 2, 96, false),
        wide_head_case("a head of odd width", [5, 5], 1, 70, false),
        wide_head_case("causal, a wide head", [21, 21], 1, 72, true),
        attention_case("self", 6, 6, 1, false),
        attention_case("self, several heads", 9, 9, 3, false),
        attention_case("cross", 5, 11, 2, false),
        attention_case("cross to one key", 5, 1, 2, false),
        attention_case("causal", 9, 9, 2, true),
        attention_case("self, two tiles", 150, 150, 2, false),
        attention_case("cross, two tiles", 131, 7, 2, false),
        attention_case("causal, two tiles", 137, 137, 2, true),
        case("geglu", &[&[2, 5, 14]], |e: &E, t: &[E::Tensor]| e.geglu(&t[0])),
        case("upsample to 2x", &[&[2, 3, 4, 3]], |e: &E, t: &[E::Tensor]| e.upsample_nearest(&t[0], 6, 8)),
        case("upsample to odd sizes", &[&[2, 3, 4, 3]], |e: &E, t: &[E::Tensor]| {
            e.upsample_nearest(&t[0], 5, 7)
        }),
        case("upsample to the same size", &[&[1, 3, 2, 3]], |e: &E, t: &[E::Tensor]| {
            e.upsample_nearest(&t[0], 3, 2)
        }),
        case("add", &[&[2, 3, 4], &[2, 3, 4]], |e: &E, t: &[E::Tensor]| e.add(&t[0], &t[1])),
        case("add_per_sample", &[&[3, 2, 5, 4], &[3, 4]], |e: &E, t: &[E::Tensor]| {
            e.add_per_sample(&t[0], &t[1])
        }),
        case("add_per_sample, one position", &[&[3, 4], &[3, 4]], |e: &E, t: &[E::Tensor]| {
            e.add_per_sample(&t[0], &t[1])
        }),
        case("add_positions", &[&[3, 5, 4], &[5, 4]], |e: &E, t: &[E::Tensor]| e.add_positions(&t[0], &t[1])),
        case("add_positions, longer table", &[&[3, 5, 4], &[9, 4]], |e: &E, t: &[E::Tensor]| {
            e.add_positions(&t[0], &t[1])
        }),
        case("scale", &[&[3, 5]], |e: &E, t: &[E::Tensor]| e.scale(&t[0], -1.75)),
        case("concat", &[&[2, 3, 4], &[2, 3, 7]], |e: &E, t: &[E::Tensor]| e.concat(&t[0], &t[1], 2)),
        case("concat of tokens", &[&[2, 1, 4], &[2, 5, 4]], |e: &E, t: &[E::Tensor]| {
            e.concat(&t[0], &t[1], 1)
        }),
        case("concat of samples", &[&[2, 3], &[1, 3]], |e: &E, t: &[E::Tensor]| e.concat(&t[0], &t[1], 0)),
        case("slice of channels", &[&[2, 3, 7]], |e: &E, t: &[E::Tensor]| e.slice(&t[0], 2, 3, 2)),
        case("slice of tokens", &[&[2, 5, 4]], |e: &E, t: &[E::Tensor]| e.slice(&t[0], 1, 0, 3)),
        case("slice of samples", &[&[4, 5]], |e: &E, t: &[E::Tensor]| e.slice(&t[0], 0, 3, 1)),
        case("permute, last axis kept", &[&[2, 3, 4, 5]], |e: &E, t: &[E::Tensor]| {
            e.permute(&t[0], &[0, 2, 1, 3])
        }),
        case("permute, last axis moved", &[&[2, 3, 4, 5]], |e: &E, t: &[E::Tensor]| {
            e.permute(&t[0], &[3, 1, 0, 2])
        }),
        case("permute, transposed", &[&[33, 41]], |e: &E, t: &[E::Tensor]| e.permute(&t[0], &[1, 0])),
        case("permute, as it is", &[&[3, 4]], |e: &E, t: &[E::Tensor]| e.permute(&t[0], &[0, 1])),
        case("mul", &[&[2, 3, 4], &[2, 3, 4]], |e: &E, t: &[E::Tensor]| e.mul(&t[0], &t[1])),
        case("mul by channels", &[&[2, 3, 4], &[4]], |e: &E, t: &[E::Tensor]| e.mul(&t[0], &t[1])),
        case("mul by a map", &[&[3, 5, 4], &[5, 4]], |e: &E, t: &[E::Tensor]| e.mul(&t[0], &t[1])),
        depthwise_case("3x3", [2, 5, 7, 3], 3, [1, 1], 1, true),
        depthwise_case("3x3, wide", [1, 9, 8, 40], 3, [1, 1], 1, false),
        depthwise_case("3x3 stride 2", [2, 8, 7, 5], 3, [1, 1], 2, true),
        depthwise_case("3x3 without padding, stride 3", [1, 8, 9, 2], 3, [0, 0], 3, true),
        depthwise_case("2x2 padded after", [1, 4, 5, 2], 2, [0, 1], 1, true),
        full_bias_case("for all samples", 5, 7, 2, false),
        full_bias_case("for each sample", 5, 7, 2, true),
        full_bias_case("two tiles", 150, 20, 1, false),
        wide_bias_case(),
        relative_case("3x4", [3, 4], 2),
        one_row_case(5, 2),
        relative_case("two tiles", [12, 12], 1),
        case("reshape", &[&[2, 3, 4]], |e: &E, t: &[E::Tensor]| e.reshape(&t[0], &[4, 6])),
        case("embedding", &[&[6, 4]], |e: &E, t: &[E::Tensor]| e.embedding(&t[0], &[0, 3, 3, 5, 1, 3], 2)),
        case("select_positions", &[&[3, 5, 4]], |e: &E, t: &[E::Tensor]| {
            e.select_positions(&t[0], &[4, 0, 2])
        }),
        case("a residual block", &[&[1, 4, 4, 4], &[4, 3, 3, 4], &[4]], |e: &E, t: &[E::Tensor]| {
            let h = e.group_norm(&t[0], &t[2], &t[2], 2, 1e-5, Some(Activation::Silu))?;
            let h = e.conv2d(&h, &t[1], Some(&t[2]), ConvGeometry::same(3))?;
            e.add(&t[0], &e.scale(&h, 0.5)?)
        }),
    ];
    for kind in ACTIVATIONS {
        if kind == Activation::Relu {
            cases.push(relu_case());
            continue;
        }
        cases.push(case(format!("activation {kind:?}"), &[&[3, 7]], move |e: &E, t: &[E::Tensor]| {
            e.activation(&t[0], kind)
        }));
        cases.push(group_norm_case(&[2, 3, 5, 6], 3, Some(kind)));
    }
    cases.push(group_norm_case(&[2, 3, 5, 6], 3, None));
    cases.push(group_norm_case(&[2, 9, 8, 4], 1, Some(Activation::Silu)));
    cases.push(group_norm_case(&[2, 7, 4], 4, None));
    cases.push(group_norm_case(&[3, 8], 2, None));
    cases
}

/// Random inputs of a case: normalizations and products of them stay smooth.
#[must_use]
pub fn inputs<E: Engine>(case: &Case<E>) -> Vec<Vec<f32>> {
    let length = |shape: &Vec<usize>| shape.iter().product();
    case.inputs.iter().enumerate().map(|(index, shape)| random(index as u64 + 1, length(shape))).collect()
}
