//! Parts of tensors, put together, taken out, and in another order.

use candle_core::{Result, Tensor as Value};

use super::{Placement, record};
use crate::tape::Tensor;

pub(crate) fn concat(place: &Placement, a: &Tensor, b: &Tensor, axis: usize) -> Result<Tensor> {
    let [a, b] = place.all([a, b])?;
    let y = Value::cat(&[a.value(), b.value()], axis)?.contiguous()?;
    let needs = [a.is_tracked(), b.is_tracked()];
    let (left, right) = (a.value().dim(axis)?, b.value().dim(axis)?);
    Ok(record(y, &[&a, &b], move |dy| {
        let part = |needed: bool, from, width| {
            needed.then(|| dy.narrow(axis, from, width)?.contiguous()).transpose()
        };
        Ok(vec![part(needs[0], 0, left)?, part(needs[1], left, right)?])
    }))
}

pub(crate) fn slice(
    place: &Placement,
    x: &Tensor,
    axis: usize,
    start: usize,
    length: usize,
) -> Result<Tensor> {
    let x = place.one(x)?;
    let after = x.value().dim(axis)? - start - length;
    let y = x.value().narrow(axis, start, length)?.contiguous()?;
    Ok(record(y, &[&x], move |dy| Ok(vec![Some(dy.pad_with_zeros(axis, start, after)?.contiguous()?)])))
}

pub(crate) fn permute(place: &Placement, x: &Tensor, axes: &[usize]) -> Result<Tensor> {
    let x = place.one(x)?;
    let y = x.value().permute(axes)?.contiguous()?;
    let mut back = vec![0; axes.len()];
    axes.iter().enumerate().for_each(|(place, &axis)| back[axis] = place);
    Ok(record(y, &[&x], move |dy| Ok(vec![Some(dy.permute(back.as_slice())?.contiguous()?)])))
}
