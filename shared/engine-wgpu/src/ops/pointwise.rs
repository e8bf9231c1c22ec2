//! Kernels with one invocation for each element of the result.

use mudi_diffusion::{Activation, Result};

use crate::engine::WgpuEngine;
use crate::kernel::{Element, Kernel, Number};
use crate::ops::lanes;
use crate::tensor::Tensor;

/// Invocations of one workgroup.
const GROUP: usize = 64;
/// Workgroups along one axis, which WebGPU limits to 65,535.
const ACROSS: usize = 32_768;

/// `x` before an activation to it after, an expression of WGSL on `F`s.
pub(super) fn activated(kind: Activation) -> &'static str {
    match kind {
        // Large negative values have results near 0, whatever the exponential of 80 is.
        Activation::Silu => "x / (1.0 + exp(min(-x, F(80.0))))",
        Activation::Gelu => "gelu(x)",
        Activation::QuickGelu => "x / (1.0 + exp(min(-1.702 * x, F(80.0))))",
        Activation::Relu => "max(x, F(0.0))",
        Activation::Elu => "select(exp(min(x, F(0.0))) - 1.0, x, x > F(0.0))",
    }
}

/// The error function to 1.5e-7 (Abramowitz and Stegun, 7.1.26), and GELU by it.
const GELU: &str = "
fn gelu(x: F) -> F {
    let a = abs(x) * 0.70710678;
    let t = 1.0 / (1.0 + 0.3275911 * a);
    let series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
    let tail = series * exp(-a * a);
    return 0.5 * x * (1.0 + sign(x) * (1.0 - tail));
}
";

/// A kernel that makes element `i` of a result of `shape` from `expression`, an `F`, which may use `before`'s names.
pub(super) struct Pointwise<'a> {
    pub(super) key: String,
    pub(super) lanes: usize,
    pub(super) inputs: &'a [(&'static str, &'a Tensor, Element)],
    pub(super) numbers: &'a [(&'static str, Number)],
    pub(super) shape: &'a [usize],
}

impl Pointwise<'_> {
    /// Records it.
    pub(super) fn run(self, engine: &WgpuEngine, before: &str, expression: &str) -> Result<Tensor> {
        let Self { key, lanes, inputs, numbers, shape } = self;
        let y = engine.empty(shape)?;
        let count = y.elements() / lanes;
        let mut all = vec![("count", Number::Whole(count))];
        all.extend_from_slice(numbers);
        let groups = count.div_ceil(GROUP);
        let kernel = Kernel {
            key: format!("{key} x{lanes}"),
            lanes,
            inputs,
            outputs: &[("y", &y, Element::Lanes)],
            numbers: &all,
            workgroups: [groups.min(ACROSS), groups.div_ceil(ACROSS), 1],
            flops: 0.0,
        };
        engine.run(&kernel, || {
            format!(
                "{GELU}
@compute @workgroup_size({GROUP})
fn main(@builtin(global_invocation_id) here: vec3<u32>) {{
    let i = here.y * {across}u + here.x;
    if (i >= p.count) {{ return; }}
    {before}
    y[i] = V({expression});
}}
",
                across = GROUP * ACROSS
            )
        })?;
        Ok(y)
    }
}

pub(crate) fn activation(engine: &WgpuEngine, x: &Tensor, kind: Activation) -> Result<Tensor> {
    let kernel = Pointwise {
        key: format!("{kind:?}"),
        lanes: lanes([x.elements()]),
        inputs: &[("values", x, Element::Lanes)],
        numbers: &[],
        shape: x.shape(),
    };
    kernel.run(engine, "let x = F(values[i]);", activated(kind))
}

pub(crate) fn geglu(engine: &WgpuEngine, x: &Tensor, shape: &[usize]) -> Result<Tensor> {
    let half = x.width() / 2;
    let lanes = lanes([half]);
    let kernel = Pointwise {
        key: "geglu".to_owned(),
        lanes,
        inputs: &[("x", x, Element::Lanes)],
        numbers: &[("half", Number::Whole(half / lanes))],
        shape,
    };
    let before = "let first = (i / p.half) * 2u * p.half + i % p.half;";
    kernel.run(engine, before, "F(x[first]) * gelu(F(x[first + p.half]))")
}

/// `a` and, at each element, the element of `b` that `place` says.
fn pair(
    engine: &WgpuEngine,
    name: &str,
    [a, b]: [&Tensor; 2],
    numbers: &[(&'static str, usize)],
    lanes: usize,
    expression: &str,
) -> Result<Tensor> {
    let numbers: Vec<(&str, Number)> =
        numbers.iter().map(|&(name, value)| (name, Number::Whole(value / lanes))).collect();
    let kernel = Pointwise {
        key: name.to_owned(),
        lanes,
        inputs: &[("a", a, Element::Lanes), ("b", b, Element::Lanes)],
        numbers: &numbers,
        shape: a.shape(),
    };
    kernel.run(engine, "", expression)
}

pub(crate) fn add(engine: &WgpuEngine, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    pair(engine, "add", [a, b], &[], lanes([a.elements()]), "F(a[i]) + F(b[i])")
}

pub(crate) fn add_per_sample(engine: &WgpuEngine, x: &Tensor, v: &Tensor) -> Result<Tensor> {
    let channels = x.width();
    let numbers = [("sample", x.elements() / x.shape()[0]), ("channels", channels)];
    let expression = "F(a[i]) + F(b[(i / p.sample) * p.channels + i % p.channels])";
    pair(engine, "add per sample", [x, v], &numbers, lanes([channels]), expression)
}

pub(crate) fn add_positions(engine: &WgpuEngine, x: &Tensor, table: &Tensor) -> Result<Tensor> {
    let sample = x.elements() / x.shape()[0];
    let expression = "F(a[i]) + F(b[i % p.sample])";
    pair(engine, "add positions", [x, table], &[("sample", sample)], lanes([sample]), expression)
}

pub(crate) fn mul(engine: &WgpuEngine, x: &Tensor, by: &Tensor) -> Result<Tensor> {
    let count = by.elements();
    let expression = "F(a[i]) * F(b[i % p.repeat])";
    pair(engine, "mul", [x, by], &[("repeat", count)], lanes([count]), expression)
}

pub(crate) fn scale(engine: &WgpuEngine, x: &Tensor, factor: f32) -> Result<Tensor> {
    let kernel = Pointwise {
        key: "scale".to_owned(),
        lanes: lanes([x.elements()]),
        inputs: &[("x", x, Element::Lanes)],
        numbers: &[("factor", Number::Real(factor))],
        shape: x.shape(),
    };
    kernel.run(engine, "", "p.factor * F(x[i])")
}
