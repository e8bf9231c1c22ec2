//! Operations that pick rows: embeddings, positions, resampling. Their gradients add rows up, in `f32`.

use candle_core::{DType, Result, Tensor as Value};

use super::{Placement, as_rows, record, wide};
use crate::tape::Tensor;

/// Zeros of shape `to`, plus the slices of `dy` along `axis` at the places `ids`; a place may be named more than once.
pub(super) fn add_up(dy: &Value, ids: &Value, axis: usize, count: usize) -> Result<Value> {
    let mut to = dy.dims().to_vec();
    to[axis] = count;
    Value::zeros(to, DType::F32, dy.device())?.index_add(ids, &wide(dy)?, axis)
}

/// Nearest neighbours, along one axis after the other, so that sizes need not be multiples of each other.
pub(crate) fn upsample_nearest(place: &Placement, x: &Tensor, height: usize, width: usize) -> Result<Tensor> {
    let x = place.one(x)?;
    let (_, h, w, _) = x.value().dims4()?;
    let rows = place.ids((0..height).map(|y| y * h / height))?;
    let columns = place.ids((0..width).map(|x| x * w / width))?;
    let y = x.value().index_select(&rows, 1)?.index_select(&columns, 2)?;
    Ok(record(y, &[&x], move |dy| {
        let dx = add_up(&add_up(dy, &columns, 2, w)?, &rows, 1, h)?;
        Ok(vec![Some(dx.to_dtype(dy.dtype())?)])
    }))
}

pub(crate) fn embedding(place: &Placement, table: &Tensor, ids: &[u32], batch: usize) -> Result<Tensor> {
    let table = place.one(table)?;
    let (rows, width) = table.value().dims2()?;
    let length = ids.len() / batch;
    let ids = place.ids(ids.iter().map(|&id| id as usize))?;
    let y = table.value().index_select(&ids, 0)?.reshape((batch, length, width))?;
    Ok(record(y, &[&table], move |dy| {
        Ok(vec![Some(add_up(&as_rows(dy)?, &ids, 0, rows)?.to_dtype(dy.dtype())?)])
    }))
}

pub(crate) fn select_positions(place: &Placement, x: &Tensor, at: &[usize]) -> Result<Tensor> {
    let x = place.one(x)?;
    let (batch, length, width) = x.value().dims3()?;
    let ids = place.ids(at.iter().enumerate().map(|(sample, at)| sample * length + at))?;
    let y = as_rows(x.value())?.index_select(&ids, 0)?;
    Ok(record(y, &[&x], move |dy| {
        let dx = add_up(dy, &ids, 0, batch * length)?.to_dtype(dy.dtype())?;
        Ok(vec![Some(dx.reshape((batch, length, width))?)])
    }))
}
