//! Linear layers and convolutions: products of rows of `x` with rows of the weights.
//!
//! Both are one computation. A row of `x` is a vector for a linear layer, and for a convolution the pixels below the kernel,
//! which are gathered where they are needed and never copied. Weights are `[O, depth]` for both.

use std::fmt::Write;

use mudi_diffusion::{ConvGeometry, Result};

use crate::engine::WgpuEngine;
use crate::kernel::{Element, Kernel, Number};
use crate::ops::lanes;
use crate::settings::Sharing;
use crate::tensor::Tensor;

/// How the work is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    /// Each invocation sums `rows` by `columns` results by itself; workgroups are `group` invocations across and down.
    Alone { rows: usize, columns: usize, group: [usize; 2] },
    /// Workgroups of `side` by `side` invocations read tiles into their memory together; each sums 4 by 4 results.
    Together { side: usize },
}

/// Results that one invocation of [`Plan::Together`] sums in each direction, and steps of depth in a tile.
const EACH: usize = 4;

impl Plan {
    fn of(rows: usize, columns: usize, sharing: Sharing) -> Self {
        if rows <= 4 {
            return Self::Alone { rows, columns: 1, group: [64, 1] };
        }
        if sharing == Sharing::Alone {
            return Self::Alone { rows: 4, columns: 4, group: [8, 4] };
        }
        // Small products in small tiles, so that there are enough of them for all cores.
        Self::Together { side: if rows * columns < 256 * 1024 { 8 } else { 16 } }
    }

    /// Rows and columns of results of one workgroup.
    fn tile(self) -> [usize; 2] {
        match self {
            Self::Alone { rows, columns, group: [across, down] } => [rows * down, columns * across],
            Self::Together { side } => [EACH * side; 2],
        }
    }

    fn name(self) -> String {
        match self {
            Self::Alone { rows, columns, .. } => format!("alone {rows}x{columns}"),
            Self::Together { side } => format!("together {side}"),
        }
    }
}

pub(crate) fn linear(
    engine: &WgpuEngine,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    shape: &[usize],
) -> Result<Tensor> {
    product(engine, x, weight, bias, None, shape)
}

pub(crate) fn conv2d(
    engine: &WgpuEngine,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    geometry: ConvGeometry,
    shape: [usize; 4],
) -> Result<Tensor> {
    let kernel = [weight.shape()[1], weight.shape()[2]];
    let linear = kernel == [1, 1] && geometry == ConvGeometry::same(1);
    product(engine, x, weight, bias, (!linear).then_some((kernel, geometry)), &shape)
}

fn product(
    engine: &WgpuEngine,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    gathered: Option<([usize; 2], ConvGeometry)>,
    shape: &[usize],
) -> Result<Tensor> {
    let y = engine.empty(shape)?;
    let outputs = y.width();
    let rows = y.elements() / outputs;
    let inner = x.width();
    let lanes = lanes([inner]);
    let depth = weight.elements() / outputs;
    let plan = Plan::of(rows, outputs, engine.settings().sharing);
    let [tile_rows, tile_columns] = plan.tile();

    let mut inputs = vec![("x", x, Element::Lanes), ("w", weight, Element::Lanes)];
    inputs.extend(bias.map(|bias| ("bias", bias, Element::Value)));
    let whole = Number::Whole;
    let mut numbers = vec![
        ("first", whole(0)),
        ("rows", whole(rows)),
        ("outputs", whole(outputs)),
        ("inner", whole(inner / lanes)),
        ("depth", whole(depth / lanes)),
    ];
    if let Some(([kh, kw], geometry)) = gathered {
        numbers.extend([
            ("height", whole(x.shape()[1])),
            ("width", whole(x.shape()[2])),
            ("out_height", whole(shape[1])),
            ("out_width", whole(shape[2])),
            ("kh", whole(kh)),
            ("kw", whole(kw)),
            ("stride", whole(geometry.stride)),
            ("before", whole(geometry.before)),
        ]);
    }

    // As many dispatches as keep each within the time that drivers allow.
    let flops_of_a_row = 2.0 * depth as f64 * outputs as f64;
    for part in engine.parts(rows, tile_rows, flops_of_a_row) {
        numbers[0].1 = whole(part.start);
        numbers[1].1 = whole(part.end);
        let kernel = Kernel {
            key: format!(
                "product {} x{lanes} gathered={} bias={}",
                plan.name(),
                gathered.is_some(),
                bias.is_some()
            ),
            lanes,
            inputs: &inputs,
            outputs: &[("y", &y, Element::Value)],
            numbers: &numbers,
            workgroups: [outputs.div_ceil(tile_columns), part.len().div_ceil(tile_rows), 1],
            flops: flops_of_a_row * part.len() as f64,
        };
        engine.run(&kernel, || match plan {
            Plan::Alone { rows, columns, group } => {
                alone(rows, columns, group, gathered.is_some(), bias.is_some())
            }
            Plan::Together { side } => together(side, gathered.is_some(), bias.is_some()),
        })?;
    }
    Ok(y)
}

/// The text of `each(i)` for all `i` below `count`.
fn repeat(count: usize, each: impl Fn(usize) -> String) -> String {
    (0..count).map(each).collect()
}

/// Text that finds the first pixel of row `row`, and the sample's first element, as `y{name}`, `x{name}` and `s{name}`.
fn find_pixel(name: usize, row: &str) -> String {
    format!(
        "
    let y{name} = ({row} / p.out_width % p.out_height) * p.stride;
    let x{name} = ({row} % p.out_width) * p.stride;
    let s{name} = ({row} / (p.out_width * p.out_height)) * p.height;"
    )
}

/// Text that finds element `c` of that pixel's neighbour in row `ky` and column `kx` of the kernel, as `at{name}`, and
/// whether it is within the picture, as `in{name}`.
fn find_neighbour(name: usize) -> String {
    // Above the picture, the difference wraps around to beyond its end.
    format!(
        "
            let iy{name} = y{name} + ky - p.before;
            let ix{name} = x{name} + kx - p.before;
            let in{name} = iy{name} < p.height && ix{name} < p.width;
            let at{name} = select(0u, ((s{name} + iy{name}) * p.width + ix{name}) * p.inner, in{name});"
    )
}

/// A kernel whose invocations do not wait for each other.
fn alone(rows: usize, columns: usize, [across, down]: [usize; 2], gathered: bool, bias: bool) -> String {
    let mut text = format!(
        "
@compute @workgroup_size({across}, {down})
fn main(@builtin(global_invocation_id) at: vec3<u32>) {{
    let column = at.x * {columns}u;
    let row = p.first + at.y * {rows}u;
    if (column >= p.outputs || row >= p.rows) {{ return; }}"
    );
    text += &repeat(columns, |j| format!("\n    var w{j} = min(column + {j}u, p.outputs - 1u) * p.depth;"));
    text += &repeat(rows * columns, |at| format!("\n    var sum{}_{} = 0.0;", at / columns, at % columns));
    let sums = repeat(columns, |j| format!("\n                let b{j} = F(w[w{j} + c]);"))
        + &repeat(rows * columns, |at| {
            let (i, j) = (at / columns, at % columns);
            format!("\n                sum{i}_{j} += product(a{i}, b{j});")
        });
    if gathered {
        text += &repeat(rows, |i| {
            format!("\n    let row{i} = min(row + {i}u, p.rows - 1u);") + &find_pixel(i, &format!("row{i}"))
        });
        text += "
    for (var ky = 0u; ky < p.kh; ky++) {
        for (var kx = 0u; kx < p.kw; kx++) {";
        text += &repeat(rows, find_neighbour);
        text += "
            for (var c = 0u; c < p.inner; c++) {";
        text += &repeat(rows, |i| {
            format!("\n                let a{i} = select(F(0.0), F(x[at{i} + c]), in{i});")
        });
        text += &sums;
        text += "\n            }";
        text += &repeat(columns, |j| format!("\n            w{j} += p.inner;"));
        text += "\n        }\n    }";
    } else {
        text += &repeat(rows, |i| format!("\n    let at{i} = min(row + {i}u, p.rows - 1u) * p.depth;"));
        text += "\n    for (var c = 0u; c < p.depth; c++) {";
        text += &repeat(rows, |i| format!("\n                let a{i} = F(x[at{i} + c]);"));
        text += &sums;
        text += "\n    }";
    }
    for i in 0..rows {
        let _ = write!(text, "\n    if (row + {i}u < p.rows) {{ let to = (row + {i}u) * p.outputs;");
        for j in 0..columns {
            let bias = if bias { format!(" + f32(bias[column + {j}u])") } else { String::new() };
            let _ = write!(
                text,
                "\n        if (column + {j}u < p.outputs) {{ y[to + column + {j}u] = T(sum{i}_{j}{bias}); }}"
            );
        }
        text += "\n    }";
    }
    text + "\n}\n"
}

/// A kernel whose workgroups read tiles together.
fn together(side: usize, gathered: bool, bias: bool) -> String {
    let tile = EACH * side;
    let threads = side * side;
    // Elements of a tile that each invocation reads: `EACH` steps of depth by `tile` rows.
    let loads = EACH * tile / threads;
    let mut text = format!(
        "
var<workgroup> xs: array<F, {size}>;
var<workgroup> ws: array<F, {size}>;
@compute @workgroup_size({side}, {side})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) here: vec3<u32>,
    @builtin(local_invocation_index) thread: u32) {{
    let row = p.first + group.y * {tile}u;
    let column = group.x * {tile}u;
    let step = thread % {EACH}u;",
        size = EACH * tile
    );
    for l in 0..loads {
        let _ = write!(
            text,
            "
    let slot{l} = (thread + {offset}u) / {EACH}u;
    let row{l} = min(row + slot{l}, p.rows - 1u);
    let w{l} = min(column + slot{l}, p.outputs - 1u) * p.depth;",
            offset = l * threads
        );
        if gathered {
            text += &find_pixel(l, &format!("row{l}"));
        } else {
            let _ = write!(text, "\n    let x{l} = row{l} * p.depth;");
        }
    }
    text += &repeat(EACH * EACH, |at| format!("\n    var sum{}_{} = 0.0;", at / EACH, at % EACH));
    let _ = write!(
        text,
        "
    for (var start = 0u; start < p.depth; start += {EACH}u) {{
        let inside = start + step < p.depth;
        let k = min(start + step, p.depth - 1u);"
    );
    if gathered {
        text += "
            let c = k % p.inner;
            let tap = k / p.inner;
            let ky = tap / p.kw;
            let kx = tap % p.kw;";
    }
    for l in 0..loads {
        let value = if gathered {
            text += &find_neighbour(l);
            format!("select(F(0.0), F(x[at{l} + c]), inside && in{l})")
        } else {
            format!("select(F(0.0), F(x[x{l} + k]), inside)")
        };
        let _ = write!(
            text,
            "
        xs[step * {tile}u + slot{l}] = {value};
        ws[step * {tile}u + slot{l}] = select(F(0.0), F(w[w{l} + k]), inside);"
        );
    }
    text += "\n        workgroupBarrier();";
    for k in 0..EACH {
        text += "\n        {";
        for i in 0..EACH {
            let offset = k * tile + i * side;
            let _ = write!(text, "\n            let a{i} = xs[{offset}u + here.y];");
            let _ = write!(text, "\n            let b{i} = ws[{offset}u + here.x];");
        }
        text += &repeat(EACH * EACH, |at| {
            let (i, j) = (at / EACH, at % EACH);
            format!("\n            sum{i}_{j} += product(a{i}, b{j});")
        });
        text += "\n        }";
    }
    text += "\n        workgroupBarrier();\n    }";
    for i in 0..EACH {
        let _ = write!(
            text,
            "\n    {{ let r = row + {}u + here.y; if (r < p.rows) {{ let to = r * p.outputs;",
            i * side
        );
        for j in 0..EACH {
            let bias = if bias { " + f32(bias[c])" } else { "" };
            let _ = write!(
                text,
                "\n        {{ let c = column + {}u + here.x; if (c < p.outputs) {{ y[to + c] = T(sum{i}_{j}{bias}); }} }}",
                j * side
            );
        }
        text += "\n    } }";
    }
    text + "\n}\n"
}
