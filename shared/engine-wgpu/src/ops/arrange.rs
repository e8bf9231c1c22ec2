//! Kernels that put values elsewhere.

use mudi_diffusion::Result;

use crate::engine::WgpuEngine;
use crate::kernel::{Element, Number};
use crate::ops::lanes;
use crate::ops::pointwise::Pointwise;
use crate::tensor::Tensor;

/// Elements of one place of `axis`, in all later axes.
fn inner(shape: &[usize], axis: usize) -> usize {
    shape[axis + 1..].iter().product()
}

pub(crate) fn upsample_nearest(engine: &WgpuEngine, x: &Tensor, shape: [usize; 4]) -> Result<Tensor> {
    let [_, height, width, channels] = shape;
    let lanes = lanes([channels]);
    let kernel = Pointwise {
        key: "upsample".to_owned(),
        lanes,
        inputs: &[("x", x, Element::Lanes)],
        numbers: &[
            ("channels", Number::Whole(channels / lanes)),
            ("from_height", Number::Whole(x.shape()[1])),
            ("from_width", Number::Whole(x.shape()[2])),
            ("height", Number::Whole(height)),
            ("width", Number::Whole(width)),
        ],
        shape: &shape,
    };
    let before = "
    let pixel = i / p.channels;
    let row = (pixel / p.width % p.height) * p.from_height / p.height;
    let column = (pixel % p.width) * p.from_width / p.width;
    let sample = pixel / (p.width * p.height);
    let place = ((sample * p.from_height + row) * p.from_width + column) * p.channels + i % p.channels;";
    kernel.run(engine, before, "x[place]")
}

pub(crate) fn concat(
    engine: &WgpuEngine,
    a: &Tensor,
    b: &Tensor,
    axis: usize,
    shape: &[usize],
) -> Result<Tensor> {
    let [first, second] = [a, b].map(|x| x.shape()[axis] * inner(shape, axis));
    let lanes = lanes([first, second]);
    let kernel = Pointwise {
        key: "concat".to_owned(),
        lanes,
        inputs: &[("a", a, Element::Lanes), ("b", b, Element::Lanes)],
        numbers: &[("first", Number::Whole(first / lanes)), ("second", Number::Whole(second / lanes))],
        shape,
    };
    let before = "
    let outer = i / (p.first + p.second);
    let at = i % (p.first + p.second);
    var value: V;
    if (at < p.first) { value = a[outer * p.first + at]; } else { value = b[outer * p.second + at - p.first]; }";
    kernel.run(engine, before, "value")
}

pub(crate) fn slice(
    engine: &WgpuEngine,
    x: &Tensor,
    axis: usize,
    start: usize,
    shape: &[usize],
) -> Result<Tensor> {
    let place = inner(shape, axis);
    let [whole, part, start] = [x.shape()[axis], shape[axis], start].map(|places| places * place);
    let lanes = lanes([whole, part, start]);
    let kernel = Pointwise {
        key: "slice".to_owned(),
        lanes,
        inputs: &[("x", x, Element::Lanes)],
        numbers: &[
            ("whole", Number::Whole(whole / lanes)),
            ("part", Number::Whole(part / lanes)),
            ("start", Number::Whole(start / lanes)),
        ],
        shape,
    };
    kernel.run(engine, "", "x[(i / p.part) * p.whole + p.start + i % p.part]")
}

/// Axes that `permute` takes.
const MOST_AXES: usize = 6;
const LENGTHS: [&str; MOST_AXES] = ["length0", "length1", "length2", "length3", "length4", "length5"];
const STRIDES: [&str; MOST_AXES] = ["stride0", "stride1", "stride2", "stride3", "stride4", "stride5"];

pub(crate) fn permute(engine: &WgpuEngine, x: &Tensor, axes: &[usize], shape: &[usize]) -> Result<Tensor> {
    let rank = axes.len();
    if rank > MOST_AXES {
        let reason = format!("{rank} axes; at most {MOST_AXES} can be permuted");
        return Err(mudi_diffusion::Error::Input { name: "permute", reason });
    }
    // The last axis stays together where it stays the last.
    let kept = axes.last() == Some(&(rank.saturating_sub(1)));
    let lanes = if kept { lanes([x.width()]) } else { 1 };
    let mut numbers = Vec::new();
    let mut before = "var rest = i;\n    var place = 0u;".to_owned();
    for at in (0..rank).rev() {
        let last = at + 1 == rank;
        let length = if last { shape[at] / lanes } else { shape[at] };
        let stride = if last && kept { 1 } else { inner(x.shape(), axes[at]) / lanes };
        numbers.push((LENGTHS[at], Number::Whole(length)));
        numbers.push((STRIDES[at], Number::Whole(stride)));
        let (length, stride) = (LENGTHS[at], STRIDES[at]);
        before += &format!("\n    place += (rest % p.{length}) * p.{stride};\n    rest /= p.{length};");
    }
    let kernel = Pointwise {
        key: format!("permute {rank}"),
        lanes,
        inputs: &[("x", x, Element::Lanes)],
        numbers: &numbers,
        shape,
    };
    kernel.run(engine, &before, "x[place]")
}

/// Rows of `table`, taken as a matrix over its last axis.
pub(crate) fn rows(engine: &WgpuEngine, table: &Tensor, rows: &[u32], shape: &[usize]) -> Result<Tensor> {
    let lanes = lanes([table.width()]);
    let rows = engine.indices(rows)?;
    let kernel = Pointwise {
        key: "rows".to_owned(),
        lanes,
        inputs: &[("table", table, Element::Lanes), ("rows", &rows, Element::Index)],
        numbers: &[("width", Number::Whole(table.width() / lanes))],
        shape,
    };
    kernel.run(engine, "", "table[rows[i / p.width] * p.width + i % p.width]")
}
