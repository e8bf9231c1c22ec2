//! Multi-head attention, one tile of queries at a time; the backward pass computes the scores of a tile again.

use candle_core::{D, Result, Tensor as Value};

use mudi_diffusion::ScoreBias;

use super::score_bias::{Bias, BiasGradient};
use super::{Placement, as_rows, record, wide};
use crate::tape::Tensor;

/// What hides a key: far below any score, yet finite, since the fast arithmetic of GPUs need not know infinity.
const HIDDEN: f32 = -1e30;

/// Sizes of an attention.
#[derive(Clone, Copy)]
struct Shape {
    batch: usize,
    heads: usize,
    /// Channels of one head.
    width: usize,
    /// Query `i` sees keys `0..=i` only.
    causal: bool,
    /// Queries in one tile.
    tile: usize,
}

impl Shape {
    /// `[B, T, heads * width]` to `[B * heads, T, width]`.
    fn split(&self, x: &Value) -> Result<Value> {
        let Self { batch, heads, .. } = *self;
        let width = x.dim(2)? / heads;
        x.reshape((batch, (), heads, width))?.transpose(1, 2)?.contiguous()?.reshape((
            batch * heads,
            (),
            width,
        ))
    }

    /// `[B * heads, T, width]` to `[B, T, heads * width]`.
    fn join(&self, x: &Value) -> Result<Value> {
        let Self { batch, heads, .. } = *self;
        let width = x.dim(2)?;
        x.reshape((batch, heads, (), width))?.transpose(1, 2)?.contiguous()?.reshape((
            batch,
            (),
            heads * width,
        ))
    }

    /// `[B, T, heads * width]` to `[B * heads, T, width]` in `f32`.
    fn wide(&self, x: &Value) -> Result<Value> {
        wide(&self.split(x)?)
    }

    /// The queries of each head in `f32`, multiplied by the scores' scale: there are fewer of them than of scores.
    fn queries(&self, q: &Value) -> Result<Value> {
        self.wide(q)?.affine(self.scale(), 0.0)
    }

    fn scale(&self) -> f64 {
        1.0 / (self.width as f64).sqrt()
    }

    /// Where tiles of `queries` start, and how many queries they hold.
    fn tiles(&self, queries: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let tile = self.tile;
        (0..queries).step_by(tile).map(move |first| (first, tile.min(queries - first)))
    }

    /// Softmax of the scores of queries `first..`, `[B * heads, tile, keys]`. All of it is `f32`: a score of 20 in bf16 may be 0.06 off, and a
    /// weight 6 %; nor would a narrow product save time, since what costs it is to write the scores out.
    fn weights(&self, q: &Value, k: &Value, bias: Option<&Bias>, first: usize) -> Result<Value> {
        let mut scores = q.matmul(&k.t()?)?;
        if let Some(bias) = bias {
            scores = bias.add_to(&scores, first)?;
        }
        if self.causal {
            let (rows, keys) = (q.dim(1)?, k.dim(1)?);
            let mask = (first..first + rows)
                .flat_map(|query| (0..keys).map(move |key| if key > query { HIDDEN } else { 0.0 }));
            let mask = Value::from_vec(mask.collect(), (rows, keys), q.device())?;
            scores = scores.broadcast_add(&mask)?;
        }
        let shape = scores.dims3()?;
        // Candle's kernels divide once for each axis to find a value's place.
        let scores = as_rows(&scores)?;
        let scores = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
        scores.broadcast_div(&scores.sum_keepdim(D::Minus1)?)?.reshape(shape)
    }

    fn forward(&self, q: &Value, k: &Value, v: &Value, bias: Option<&Bias>) -> Result<Value> {
        let (q, k, v) = (self.queries(q)?, self.wide(k)?, self.split(v)?);
        let mut tiles = Vec::new();
        for (first, count) in self.tiles(q.dim(1)?) {
            let q = q.narrow(1, first, count)?.contiguous()?;
            tiles.push(self.weights(&q, &k, bias, first)?.to_dtype(v.dtype())?.matmul(&v)?);
        }
        self.join(&Value::cat(&tiles, 1)?)
    }

    /// Gradients of queries, keys and values, where `needs` asks for them; `dbias` takes up that of the bias.
    fn gradient(
        &self,
        [q, k]: [&Value; 2],
        v: Option<&Value>,
        bias: Option<&Bias>,
        dy: &Value,
        needs: [bool; 3],
        mut dbias: Option<&mut BiasGradient>,
    ) -> Result<Vec<Option<Value>>> {
        let dtype = q.dtype();
        let (q, keys, dy) = (self.queries(q)?, self.wide(k)?, self.split(dy)?);
        let k = needs[0].then(|| self.split(k)).transpose()?;
        let v = v.map(|v| self.wide(v)).transpose()?;
        let (mut dq, mut dk, mut dv) = (Vec::new(), None, None);
        for (first, count) in self.tiles(q.dim(1)?) {
            let (q, dy) =
                (q.narrow(1, first, count)?.contiguous()?, dy.narrow(1, first, count)?.contiguous()?);
            let weights = self.weights(&q, &keys, bias, first)?;
            if needs[2] {
                add_to(&mut dv, &weights.to_dtype(dtype)?.t()?.matmul(&dy)?)?;
            }
            let Some(v) = &v else { continue };
            let dweights = wide(&dy)?.matmul(&v.t()?)?;
            let mean = (&weights * &dweights)?.sum_keepdim(D::Minus1)?;
            let dscores = (weights * dweights.broadcast_sub(&mean)?)?;
            if let (Some(bias), Some(dbias)) = (bias, dbias.as_deref_mut()) {
                dbias.add(bias, &dscores, first)?;
            }
            let dscores = dscores.to_dtype(dtype)?;
            if let Some(k) = &k {
                dq.push(dscores.matmul(k)?);
            }
            if needs[1] {
                add_to(&mut dk, &dscores.t()?.matmul(&q.to_dtype(dtype)?)?)?;
            }
        }
        let dq = needs[0].then(|| self.join(&Value::cat(&dq, 1)?)?.affine(self.scale(), 0.0));
        let joined = |sum: Option<Value>| sum.map(|sum| self.join(&sum)?.to_dtype(dtype)).transpose();
        Ok(vec![dq.transpose()?, joined(dk)?, joined(dv)?])
    }
}

/// Adds a tile's part of a sum, in `f32`.
fn add_to(sum: &mut Option<Value>, part: &Value) -> Result<()> {
    let part = wide(part)?;
    *sum = Some(match sum.take() {
        Some(sum) => (sum + part)?,
        None => part,
    });
    Ok(())
}

/// The sizes of an attention, with tiles as large as the working set allows.
fn shape_of(place: &Placement, q: &Tensor, k: &Tensor, heads: usize, causal: bool) -> Result<Shape> {
    let (batch, queries, channels) = q.value().dims3()?;
    let tile = (place.working_set() / (batch * heads * k.value().dim(1)?)).clamp(1, queries);
    Ok(Shape { batch, heads, width: channels / heads, causal, tile })
}

pub(crate) fn attention(
    place: &Placement,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    heads: usize,
    causal: bool,
) -> Result<Tensor> {
    let [q, k, v] = place.all([q, k, v])?;
    let needs = [&q, &k, &v].map(Tensor::is_tracked);
    #[cfg(feature = "flash-attn")]
    if needs == [false; 3]
        && let Some(y) = super::flash::attention([&q, &k, &v].map(Tensor::value), heads, causal)?
    {
        return Ok(Tensor::constant(y));
    }
    let shape = shape_of(place, &q, &k, heads, causal)?;
    let y = shape.forward(q.value(), k.value(), v.value(), None)?;
    let (q_value, k_value) = (q.value().clone(), k.value().clone());
    // The gradient of the values alone does not need the values.
    let v_value = (needs[0] || needs[1]).then(|| v.value().clone());
    Ok(record(y, &[&q, &k, &v], move |dy| {
        shape.gradient([&q_value, &k_value], v_value.as_ref(), None, dy, needs, None)
    }))
}

pub(crate) fn biased_attention(
    place: &Placement,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    heads: usize,
    bias: ScoreBias<'_, Tensor>,
) -> Result<Tensor> {
    let [q, k, v] = place.all([q, k, v])?;
    let shape = shape_of(place, &q, &k, heads, false)?;
    let parts = match bias {
        ScoreBias::Full(bias) => vec![place.one(bias)?],
        ScoreBias::Relative { rows, columns, .. } => vec![place.one(rows)?, place.one(columns)?],
    };
    let bias = match bias {
        ScoreBias::Full(_) => Bias::Full(parts[0].value().clone()),
        ScoreBias::Relative { grid, .. } => {
            let parts = [shape.split(parts[0].value())?, shape.split(parts[1].value())?];
            Bias::Relative { grid, parts }
        }
    };
    let y = shape.forward(q.value(), k.value(), v.value(), Some(&bias))?;
    let mut inputs = vec![&q, &k, &v];
    inputs.extend(&parts);
    let needs = [&q, &k, &v].map(Tensor::is_tracked);
    let learns = parts.iter().any(Tensor::is_tracked);
    let (q_value, k_value) = (q.value().clone(), k.value().clone());
    let v_value = (needs[0] || needs[1] || learns).then(|| v.value().clone());
    let count = parts.len();
    Ok(record(y, &inputs, move |dy| {
        let mut dbias = learns.then(BiasGradient::default);
        let values = [&q_value, &k_value];
        let mut all = shape.gradient(values, v_value.as_ref(), Some(&bias), dy, needs, dbias.as_mut())?;
        match dbias {
            None => all.resize(3 + count, None),
            Some(dbias) => {
                for part in dbias.finish(&bias, dy.dtype(), |part| shape.join(part))? {
                    all.push(Some(part));
                }
            }
        }
        Ok(all)
    }))
}
