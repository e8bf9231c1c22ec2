//! Parts of tensors, put together, taken out, and in another order.

use mudi_diffusion::Result;

use super::contiguous;
use crate::kernels::{layout, pointwise};
use crate::slices::{Slice, value};
use crate::tape::Tensor;

pub(crate) fn concat(a: &Tensor, b: &Tensor, axis: usize) -> Result<Tensor> {
    let dims = [a.value().dims().to_vec(), b.value().dims().to_vec()];
    let [left, right] = [0, 1].map(|side: usize| dims[side][axis..].iter().product::<usize>());
    let y = pointwise::concat(&Slice::of(a.value())?, &Slice::of(b.value())?, left, right);
    let mut joined = dims[0].clone();
    joined[axis] += dims[1][axis];
    let y = value(y, joined)?;
    let needs = [a.is_tracked(), b.is_tracked()];
    Ok(Tensor::recorded(y, &[a, b], move |dy| {
        let dy = contiguous(dy)?;
        let dy = Slice::of(&dy)?;
        let [a_dims, b_dims] = dims;
        let part =
            |from, width, dims: Vec<usize>| value(pointwise::columns(&dy, left + right, from, width), dims);
        let da = if needs[0] { Some(part(0, left, a_dims)?) } else { None };
        let db = if needs[1] { Some(part(left, right, b_dims)?) } else { None };
        Ok(vec![da, db])
    }))
}

pub(crate) fn slice(x: &Tensor, axis: usize, start: usize, length: usize) -> Result<Tensor> {
    let dims = x.value().dims().to_vec();
    let inner: usize = dims[axis + 1..].iter().product();
    let (stride, from, width) = (dims[axis] * inner, start * inner, length * inner);
    let mut part = dims.clone();
    part[axis] = length;
    let y = value(pointwise::columns(&Slice::of(x.value())?, stride, from, width), part)?;
    Ok(Tensor::recorded(y, &[x], move |dy| {
        let dx = layout::spread(&Slice::of(&contiguous(dy)?)?, stride, from, width);
        Ok(vec![Some(value(dx, dims)?)])
    }))
}

pub(crate) fn permute(x: &Tensor, axes: &[usize]) -> Result<Tensor> {
    let dims = x.value().dims();
    let turned: Vec<usize> = axes.iter().map(|&axis| dims[axis]).collect();
    let y = value(layout::permute(&Slice::of(x.value())?, dims, axes), turned.as_slice())?;
    let dims = dims.to_vec();
    let mut back = vec![0; axes.len()];
    axes.iter().enumerate().for_each(|(place, &axis)| back[axis] = place);
    Ok(Tensor::recorded(y, &[x], move |dy| {
        let dx = layout::permute(&Slice::of(&contiguous(dy)?)?, &turned, &back);
        Ok(vec![Some(value(dx, dims)?)])
    }))
}
