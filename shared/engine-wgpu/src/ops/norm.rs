//! Group and layer normalization.

use mudi_diffusion::{Activation, Result};

use crate::engine::WgpuEngine;
use crate::kernel::{Element, Kernel, Number};
use crate::ops::lanes;
use crate::ops::pointwise::{Pointwise, activated};
use crate::settings::Sharing;
use crate::tensor::Tensor;

/// Sums `value` over a workgroup of `threads`; every invocation gets the sum.
fn total(threads: usize) -> String {
    format!(
        "
var<workgroup> partial: array<f32, {threads}>;
fn total(thread: u32, value: f32) -> f32 {{
    partial[thread] = value;
    workgroupBarrier();
    for (var half = {half}u; half > 0u; half /= 2u) {{
        if (thread < half) {{ partial[thread] += partial[thread + half]; }}
        workgroupBarrier();
    }}
    let sum = partial[0];
    workgroupBarrier();
    return sum;
}}
",
        half = threads / 2
    )
}

fn threads(engine: &WgpuEngine) -> usize {
    if engine.settings().sharing == Sharing::Alone { 16 } else { 256 }
}

/// Of `[B, .., C]`. A first kernel folds the statistics of each group into a scale and a shift for each channel of each
/// sample, a second one applies them.
pub(crate) fn group_norm(
    engine: &WgpuEngine,
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    groups: usize,
    eps: f32,
    activation: Option<Activation>,
) -> Result<Tensor> {
    let (batch, channels) = (x.shape()[0], x.width());
    let sample = x.elements() / batch;
    let scales = engine.empty_floats(batch * channels)?;
    let shifts = engine.empty_floats(batch * channels)?;
    let threads = threads(engine);
    let kernel = Kernel {
        key: format!("group statistics {threads}"),
        lanes: 1,
        inputs: &[
            ("x", x, Element::Value),
            ("weight", weight, Element::Value),
            ("bias", bias, Element::Value),
        ],
        outputs: &[("scales", &scales, Element::Float), ("shifts", &shifts, Element::Float)],
        numbers: &[
            ("sample", Number::Whole(sample)),
            ("channels", Number::Whole(channels)),
            ("group", Number::Whole(channels / groups)),
            ("count", Number::Whole(sample / groups)),
            ("eps", Number::Real(eps)),
        ],
        workgroups: [groups, batch, 1],
        flops: 0.0,
    };
    engine.run(&kernel, || {
        format!(
            "{total}
@compute @workgroup_size({threads})
fn main(@builtin(workgroup_id) at: vec3<u32>, @builtin(local_invocation_index) thread: u32) {{
    let first = at.y * p.sample + at.x * p.group;
    var sum = 0.0;
    for (var e = thread; e < p.count; e += {threads}u) {{
        sum += f32(x[first + (e / p.group) * p.channels + e % p.group]);
    }}
    let mean = total(thread, sum) / f32(p.count);
    var squares = 0.0;
    for (var e = thread; e < p.count; e += {threads}u) {{
        let away = f32(x[first + (e / p.group) * p.channels + e % p.group]) - mean;
        squares += away * away;
    }}
    let deviation = inverseSqrt(total(thread, squares) / f32(p.count) + p.eps);
    for (var c = thread; c < p.group; c += {threads}u) {{
        let channel = at.x * p.group + c;
        let scale = deviation * f32(weight[channel]);
        scales[at.y * p.channels + channel] = scale;
        shifts[at.y * p.channels + channel] = f32(bias[channel]) - mean * scale;
    }}
}}
",
            total = total(threads)
        )
    })?;
    let lanes = lanes([channels]);
    let kernel = Pointwise {
        key: format!("group norm {activation:?}"),
        lanes,
        inputs: &[
            ("values", x, Element::Lanes),
            ("scales", &scales, Element::Floats),
            ("shifts", &shifts, Element::Floats),
        ],
        numbers: &[("sample", Number::Whole(sample / lanes)), ("channels", Number::Whole(channels / lanes))],
        shape: x.shape(),
    };
    let before = "
    let channel = (i / p.sample) * p.channels + i % p.channels;
    let x = F(values[i]) * scales[channel] + shifts[channel];";
    kernel.run(engine, before, activation.map_or("x", activated))
}

pub(crate) fn layer_norm(
    engine: &WgpuEngine,
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    eps: f32,
) -> Result<Tensor> {
    let width = x.width();
    let lanes = lanes([width]);
    let y = engine.empty(x.shape())?;
    let rows = x.elements() / width;
    // A row for each invocation where barriers are dear, otherwise for each workgroup.
    let (threads, group) = if engine.settings().sharing == Sharing::Alone { (1, 16) } else { (64, 64) };
    let across = rows.div_ceil(group / threads).min(32_768);
    let kernel = Kernel {
        key: format!("layer norm {threads} x{lanes}"),
        lanes,
        inputs: &[
            ("x", x, Element::Lanes),
            ("weight", weight, Element::Lanes),
            ("bias", bias, Element::Lanes),
        ],
        outputs: &[("y", &y, Element::Lanes)],
        numbers: &[
            ("rows", Number::Whole(rows)),
            ("width", Number::Whole(width / lanes)),
            ("values", Number::Real(width as f32)),
            ("across", Number::Whole(across * (group / threads))),
            ("eps", Number::Real(eps)),
        ],
        workgroups: [across, rows.div_ceil(across * (group / threads)), 1],
        flops: 0.0,
    };
    engine.run(&kernel, || {
        let (helper, row, thread, total) = if threads == 1 {
            (String::new(), "at.x", "0u", ["product(sum, F(1.0))", "squares"])
        } else {
            (total(threads), "group.x", "here", ["total(here, product(sum, F(1.0)))", "total(here, squares)"])
        };
        // Where rows are workgroups all invocations of one leave together.
        format!(
            "{helper}
@compute @workgroup_size({group})
fn main(@builtin(global_invocation_id) at: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) here: u32) {{
    let row = {row} + group.y * p.across;
    if (row >= p.rows) {{ return; }}
    let first = row * p.width;
    var sum = F(0.0);
    for (var e = {thread}; e < p.width; e += {threads}u) {{ sum += F(x[first + e]); }}
    let mean = {mean} / p.values;
    var squares = 0.0;
    for (var e = {thread}; e < p.width; e += {threads}u) {{
        let away = F(x[first + e]) - mean;
        squares += product(away, away);
    }}
    let deviation = inverseSqrt({squares} / p.values + p.eps);
    for (var e = {thread}; e < p.width; e += {threads}u) {{
        y[first + e] = V((F(x[first + e]) - mean) * deviation * F(weight[e]) + F(bias[e]));
    }}
}}
",
            mean = total[0],
            squares = total[1],
        )
    })?;
    Ok(y)
}
