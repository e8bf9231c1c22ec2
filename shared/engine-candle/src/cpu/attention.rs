//! Attention, with and without a bias of its scores.

use candle_core::Tensor as Value;
use mudi_diffusion::{Result, ScoreBias};

use super::contiguous;
use crate::kernels::attention::{self, AttentionShape};
use crate::kernels::score_bias::Bias;
use crate::slices::{Slice, value};
use crate::tape::Tensor;

fn shape_of(q: &Tensor, k: &Tensor, heads: usize, causal: bool) -> AttentionShape {
    let (q, k) = (q.value().dims(), k.value().dims());
    AttentionShape { batch: q[0], queries: q[1], keys: k[1], heads, width: q[2] / heads, causal }
}

pub(crate) fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, causal: bool) -> Result<Tensor> {
    let shape = shape_of(q, k, heads, causal);
    let y = attention::forward(
        &Slice::of(q.value())?,
        &Slice::of(k.value())?,
        &Slice::of(v.value())?,
        None,
        &shape,
    );
    let dims = [q, k, v].map(|tensor| tensor.value().dims().to_vec());
    let y = value(y, dims[0].clone())?;
    let values = [q, k, v].map(|t| t.value().clone());
    Ok(Tensor::recorded(y, &[q, k, v], move |dy| {
        let dy = contiguous(dy)?;
        let [q, k, v] = [Slice::of(&values[0])?, Slice::of(&values[1])?, Slice::of(&values[2])?];
        let (gradients, _) = attention::gradient([&q, &k, &v], None, false, &Slice::of(&dy)?, &shape);
        gradients.into_iter().zip(dims).map(|(gradient, dims)| value(gradient, dims).map(Some)).collect()
    }))
}

/// A bias's values, kept for the gradient.
enum Saved {
    Full { values: Value, shared: bool },
    Relative { grid: [usize; 2], rows: Value, columns: Value },
}

impl Saved {
    fn of(bias: ScoreBias<'_, Tensor>, heads: usize) -> Self {
        match bias {
            ScoreBias::Full(bias) => {
                Self::Full { values: bias.value().clone(), shared: bias.value().dims()[0] == heads }
            }
            ScoreBias::Relative { grid, rows, columns } => {
                Self::Relative { grid, rows: rows.value().clone(), columns: columns.value().clone() }
            }
        }
    }

    /// Calls `work` with the values.
    fn with<R>(&self, work: impl FnOnce(Bias<'_>) -> R) -> Result<R> {
        Ok(match self {
            Self::Full { values, shared } => {
                work(Bias::Full { values: &Slice::of(values)?, shared: *shared })
            }
            Self::Relative { grid, rows, columns } => {
                let (rows, columns) = (Slice::of(rows)?, Slice::of(columns)?);
                work(Bias::Relative { grid: *grid, rows: &rows, columns: &columns })
            }
        })
    }
}

pub(crate) fn biased_attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    heads: usize,
    bias: ScoreBias<'_, Tensor>,
) -> Result<Tensor> {
    let shape = shape_of(q, k, heads, false);
    let saved = Saved::of(bias, heads);
    let (q_slice, k_slice, v_slice) = (Slice::of(q.value())?, Slice::of(k.value())?, Slice::of(v.value())?);
    let y = saved.with(|bias| attention::forward(&q_slice, &k_slice, &v_slice, Some(bias), &shape))?;
    let mut inputs = vec![q, k, v];
    match bias {
        ScoreBias::Full(bias) => inputs.push(bias),
        ScoreBias::Relative { rows, columns, .. } => inputs.extend([rows, columns]),
    }
    let dims: Vec<Vec<usize>> = inputs.iter().map(|tensor| tensor.value().dims().to_vec()).collect();
    let y = value(y, dims[0].clone())?;
    let learns = inputs[3..].iter().any(|tensor| tensor.is_tracked());
    let values = [q, k, v].map(|t| t.value().clone());
    Ok(Tensor::recorded(y, &inputs, move |dy| {
        let dy = contiguous(dy)?;
        let dy = Slice::of(&dy)?;
        let [q, k, v] = [Slice::of(&values[0])?, Slice::of(&values[1])?, Slice::of(&values[2])?];
        let (gradients, dbias) =
            saved.with(|bias| attention::gradient([&q, &k, &v], Some(bias), learns, &dy, &shape))?;
        let mut gradients: Vec<Vec<f32>> = gradients.into();
        if learns {
            match saved {
                Saved::Full { shared, .. } => gradients.push(dbias.full(shared, &shape)),
                Saved::Relative { grid, .. } => gradients.extend(dbias.relative(grid, &shape)),
            }
        }
        let mut all: Vec<Option<Value>> = Vec::new();
        for (gradient, dims) in gradients.into_iter().zip(&dims) {
            all.push(Some(value(gradient, dims.as_slice())?));
        }
        all.resize(dims.len(), None);
        Ok(all)
    }))
}
