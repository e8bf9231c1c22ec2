//! What shapes the operations of an [`Engine`](crate::Engine) take, and what shapes they give.
//!
//! Every engine asks these functions before it computes, so that all of them refuse the same inputs with the same words.

use crate::engine::{ConvGeometry, ScoreBias};
use crate::error::{Error, Result};

type Shape = [usize];

/// Fails with the shapes where `fits` is false or a tensor is empty.
fn check(fits: bool, operation: &'static str, shapes: &[&Shape]) -> Result<()> {
    if fits && shapes.iter().all(|shape| !shape.contains(&0)) {
        return Ok(());
    }
    let reason = format!("the shapes {shapes:?} do not fit each other, or are empty");
    Err(Error::Input { name: operation, reason })
}

/// A shape of `N` axes.
fn axes<const N: usize>(operation: &'static str, shape: &Shape) -> Result<[usize; N]> {
    shape.try_into().map_err(|_| {
        let reason = format!("a tensor of shape {shape:?} has {} axes; {N} are needed", shape.len());
        Error::Input { name: operation, reason }
    })
}

/// The last axis of a tensor.
///
/// # Errors
/// A tensor without axes, or whose last axis is empty.
pub fn width(shape: &Shape) -> Result<usize> {
    shape
        .last()
        .copied()
        .filter(|&width| width > 0)
        .ok_or_else(|| Error::Input { name: "tensor", reason: format!("shape {shape:?} has no last axis") })
}

/// Of [`Engine::reshape`](crate::Engine::reshape).
///
/// # Errors
/// Shapes of different numbers of values.
pub fn reshape(x: &Shape, to: &Shape) -> Result<()> {
    let count = |shape: &Shape| shape.iter().try_fold(1usize, |all, &axis| all.checked_mul(axis));
    check(count(x).is_some() && count(x) == count(to), "reshape", &[x, to])
}

/// Of [`Engine::linear`](crate::Engine::linear): the shape of the result.
///
/// # Errors
/// Shapes that do not fit.
pub fn linear(x: &Shape, weight: &Shape, bias: Option<&Shape>) -> Result<Vec<usize>> {
    let inputs = width(x)?;
    let [outputs, expected] = axes("linear", weight)?;
    check(inputs == expected && bias.is_none_or(|bias| bias == [outputs]), "linear", &[x, weight])?;
    let mut shape = x.to_vec();
    shape[x.len() - 1] = outputs;
    Ok(shape)
}

/// Whether a convolution of that geometry has a result, and its bias fits.
fn conv_fits(x: [usize; 4], w: [usize; 4], bias: Option<&Shape>, geometry: ConvGeometry) -> bool {
    let (kh, kw) = (w[1], w[2]);
    geometry.stride > 0
        && geometry.before < kh.min(kw)
        && geometry.after < kh.min(kw)
        && geometry.output(x[1], kh) > 0
        && geometry.output(x[2], kw) > 0
        && bias.is_none_or(|bias| bias == [w[0]])
}

fn conv_result(x: [usize; 4], w: [usize; 4], geometry: ConvGeometry) -> [usize; 4] {
    [x[0], geometry.output(x[1], w[1]), geometry.output(x[2], w[2]), w[0]]
}

/// Of [`Engine::conv2d`](crate::Engine::conv2d): the shape of the result.
///
/// # Errors
/// Shapes that do not fit.
pub fn conv2d(x: &Shape, weight: &Shape, bias: Option<&Shape>, geometry: ConvGeometry) -> Result<[usize; 4]> {
    let (image, w) = (axes("conv2d", x)?, axes("conv2d", weight)?);
    check(image[3] == w[3] && conv_fits(image, w, bias, geometry), "conv2d", &[x, weight])?;
    Ok(conv_result(image, w, geometry))
}

/// Of [`Engine::depthwise_conv2d`](crate::Engine::depthwise_conv2d): the shape of the result.
///
/// # Errors
/// Shapes that do not fit.
pub fn depthwise_conv2d(
    x: &Shape,
    weight: &Shape,
    bias: Option<&Shape>,
    geometry: ConvGeometry,
) -> Result<[usize; 4]> {
    let (image, w) = (axes("depthwise_conv2d", x)?, axes("depthwise_conv2d", weight)?);
    let fits = (image[3], 1) == (w[0], w[3]) && conv_fits(image, w, bias, geometry);
    check(fits, "depthwise_conv2d", &[x, weight])?;
    Ok(conv_result(image, w, geometry))
}

/// Of [`Engine::group_norm`](crate::Engine::group_norm).
///
/// # Errors
/// Shapes that do not fit.
pub fn group_norm(x: &Shape, weight: &Shape, bias: &Shape, groups: usize) -> Result<()> {
    let channels = width(x)?;
    let fits = x.len() >= 2
        && groups > 0
        && channels.is_multiple_of(groups)
        && weight == [channels]
        && bias == [channels];
    check(fits, "group_norm", &[x, weight, bias])
}

/// Of [`Engine::layer_norm`](crate::Engine::layer_norm).
///
/// # Errors
/// Shapes that do not fit.
pub fn layer_norm(x: &Shape, weight: &Shape, bias: &Shape) -> Result<()> {
    let channels = width(x)?;
    check(weight == [channels] && bias == [channels], "layer_norm", &[x, weight, bias])
}

/// Sizes of an attention that fits.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// Samples.
    pub batch: usize,
    /// Queries of each.
    pub queries: usize,
    /// Keys of each.
    pub keys: usize,
    /// Channels of all heads together.
    pub channels: usize,
}

/// Of [`Engine::attention`](crate::Engine::attention).
///
/// # Errors
/// Shapes that do not fit.
pub fn attention(q: &Shape, k: &Shape, v: &Shape, heads: usize) -> Result<Attention> {
    let [batch, queries, channels] = axes("attention", q)?;
    let [k_batch, keys, k_channels] = axes("attention", k)?;
    let fits =
        k == v && (batch, channels) == (k_batch, k_channels) && heads > 0 && channels.is_multiple_of(heads);
    check(fits, "attention", &[q, k, v])?;
    Ok(Attention { batch, queries, keys, channels })
}

/// Of [`Engine::biased_attention`](crate::Engine::biased_attention); of `bias` only the shapes are given.
///
/// # Errors
/// Shapes that do not fit.
pub fn biased_attention(
    q: &Shape,
    k: &Shape,
    v: &Shape,
    heads: usize,
    bias: ScoreBias<'_, Shape>,
) -> Result<Attention> {
    let sizes = attention(q, k, v, heads)?;
    let Attention { batch, queries, keys, .. } = sizes;
    match bias {
        ScoreBias::Full(bias) => {
            let fits = bias == [heads, queries, keys] || bias == [batch * heads, queries, keys];
            check(fits, "biased_attention", &[q, k, bias])?;
        }
        ScoreBias::Relative { grid, rows, columns } => {
            let positions = grid[0].checked_mul(grid[1]).filter(|&positions| positions > 0);
            // Within that product neither length can overflow.
            let shape = |length: usize| [batch, queries, heads * (2 * length).saturating_sub(1)];
            let fits = positions == Some(queries)
                && queries == keys
                && rows == shape(grid[0])
                && columns == shape(grid[1]);
            check(fits, "biased_attention", &[q, k, rows, columns])?;
        }
    }
    Ok(sizes)
}

/// Of [`Engine::geglu`](crate::Engine::geglu): the shape of the result.
///
/// # Errors
/// An odd number of channels.
pub fn geglu(x: &Shape) -> Result<Vec<usize>> {
    let channels = width(x)?;
    check(channels.is_multiple_of(2), "geglu", &[x])?;
    let mut shape = x.to_vec();
    shape[x.len() - 1] = channels / 2;
    Ok(shape)
}

/// Of [`Engine::upsample_nearest`](crate::Engine::upsample_nearest): the shape of the result.
///
/// # Errors
/// A size below the input's.
pub fn upsample_nearest(x: &Shape, height: usize, width: usize) -> Result<[usize; 4]> {
    let [batch, h, w, channels] = axes("upsample_nearest", x)?;
    check(h > 0 && w > 0 && height >= h && width >= w, "upsample_nearest", &[x])?;
    Ok([batch, height, width, channels])
}

/// Of [`Engine::add`](crate::Engine::add).
///
/// # Errors
/// Shapes that differ.
pub fn add(a: &Shape, b: &Shape) -> Result<()> {
    check(a == b, "add", &[a, b])
}

/// Of [`Engine::add_per_sample`](crate::Engine::add_per_sample).
///
/// # Errors
/// Shapes that do not fit.
pub fn add_per_sample(x: &Shape, v: &Shape) -> Result<()> {
    check(x.len() >= 2 && v == [x[0], width(x)?], "add_per_sample", &[x, v])
}

/// Of [`Engine::add_positions`](crate::Engine::add_positions).
///
/// # Errors
/// Shapes that do not fit.
pub fn add_positions(x: &Shape, table: &Shape) -> Result<()> {
    let [_, length, channels] = axes("add_positions", x)?;
    let [positions, expected] = axes("add_positions", table)?;
    check(length <= positions && channels == expected, "add_positions", &[x, table])
}

/// Of [`Engine::mul`](crate::Engine::mul).
///
/// # Errors
/// Shapes that do not fit.
pub fn mul(x: &Shape, by: &Shape) -> Result<()> {
    check(x.ends_with(by), "mul", &[x, by])
}

/// Of [`Engine::concat`](crate::Engine::concat): the shape of the result.
///
/// # Errors
/// Shapes that do not fit; an axis that is not there.
pub fn concat(a: &Shape, b: &Shape, axis: usize) -> Result<Vec<usize>> {
    let fits = axis < a.len()
        && a.len() == b.len()
        && (0..a.len()).all(|other| other == axis || a[other] == b[other]);
    check(fits, "concat", &[a, b])?;
    let mut shape = a.to_vec();
    shape[axis] += b[axis];
    Ok(shape)
}

/// Of [`Engine::slice`](crate::Engine::slice): the shape of the result.
///
/// # Errors
/// Places that are not there.
pub fn slice(x: &Shape, axis: usize, start: usize, length: usize) -> Result<Vec<usize>> {
    let places = x.get(axis).copied().unwrap_or(0);
    check(length > 0 && start.checked_add(length).is_some_and(|end| end <= places), "slice", &[x])?;
    let mut shape = x.to_vec();
    shape[axis] = length;
    Ok(shape)
}

/// Of [`Engine::permute`](crate::Engine::permute): the shape of the result.
///
/// # Errors
/// `order` that does not name every axis once.
pub fn permute(x: &Shape, order: &[usize]) -> Result<Vec<usize>> {
    check(order.len() == x.len() && (0..x.len()).all(|axis| order.contains(&axis)), "permute", &[x])?;
    Ok(order.iter().map(|&axis| x[axis]).collect())
}

/// Of [`Engine::embedding`](crate::Engine::embedding): the shape of the result.
///
/// # Errors
/// Ids that the table does not have, or that are not `batch` sequences of one length.
pub fn embedding(table: &Shape, ids: &[u32], batch: usize) -> Result<[usize; 3]> {
    let [rows, channels] = axes("embedding", table)?;
    let fits = batch > 0
        && !ids.is_empty()
        && ids.len().is_multiple_of(batch)
        && ids.iter().all(|&id| (id as usize) < rows);
    check(fits, "embedding", &[table])?;
    Ok([batch, ids.len() / batch, channels])
}

/// Of [`Engine::select_positions`](crate::Engine::select_positions): the shape of the result.
///
/// # Errors
/// Positions that are not there, or not one for each sample.
pub fn select_positions(x: &Shape, at: &[usize]) -> Result<[usize; 2]> {
    let [batch, length, channels] = axes("select_positions", x)?;
    check(at.len() == batch && at.iter().all(|&at| at < length), "select_positions", &[x])?;
    Ok([batch, channels])
}
