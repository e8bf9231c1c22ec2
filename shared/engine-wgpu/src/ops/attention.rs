//! Attention without a matrix of scores: their maximum and sum are kept up as keys go by (Milakov and Gimelshein, 2018).

use std::fmt::Write;

use mudi_diffusion::shapes::Attention;
use mudi_diffusion::{Result, ScoreBias};

use crate::engine::WgpuEngine;
use crate::kernel::{Element, Kernel, Number};
use crate::ops::lanes;
use crate::settings::Sharing;
use crate::tensor::Tensor;

/// What is done with scores beside scaling them.
#[derive(Clone, Copy)]
pub(crate) enum Extra<'a> {
    None,
    /// Later keys are hidden.
    Causal,
    /// Something is added.
    Bias(ScoreBias<'a, Tensor>),
}

/// Elements of a head, up to which a query's state fits in the registers of one invocation.
const WIDEST_ALONE: usize = 64;
/// Keys that a workgroup reads between two waits, and invocations for each of its queries.
const TILE: usize = 16;
/// Queries of one workgroup.
const QUERIES: usize = 4;

pub(crate) fn attention(
    engine: &WgpuEngine,
    [q, k, v]: [&Tensor; 3],
    heads: usize,
    sizes: Attention,
    extra: Extra<'_>,
) -> Result<Tensor> {
    let Attention { batch, queries, keys, channels } = sizes;
    let head = channels / heads;
    let lanes = lanes([head]);
    let whole = Number::Whole;
    let mut inputs = vec![("q", q, Element::Lanes), ("k", k, Element::Lanes), ("v", v, Element::Lanes)];
    let mut numbers = vec![
        ("first", whole(0)),
        ("end", whole(queries)),
        ("queries", whole(queries)),
        ("keys", whole(keys)),
        ("channels", whole(channels / lanes)),
        ("heads", whole(heads)),
        ("scale", Number::Real(1.0 / (head as f32).sqrt())),
    ];
    // What is added to the score of `query` and `key` in `head` of `sample`.
    let (name, added) = match extra {
        Extra::None => ("", ""),
        Extra::Causal => ("causal", ""),
        Extra::Bias(ScoreBias::Full(bias)) => {
            inputs.push(("bias", bias, Element::Value));
            // The same for all samples, or one for each.
            let repeat = if bias.shape()[0] == heads { 0 } else { heads };
            numbers.push(("repeat", whole(repeat)));
            ("full", " + f32(bias[((sample * p.repeat + head) * p.queries + query) * p.keys + key])")
        }
        Extra::Bias(ScoreBias::Relative { grid: [height, width], rows, columns }) => {
            inputs.push(("by_row", rows, Element::Value));
            inputs.push(("by_column", columns, Element::Value));
            numbers.push(("height", whole(height)));
            numbers.push(("width", whole(width)));
            (
                "relative",
                " + f32(by_row[(sample * p.queries + query) * p.heads * (2u * p.height - 1u) \
                 + head * (2u * p.height - 1u) + query / p.width + p.height - 1u - key / p.width]) \
                 + f32(by_column[(sample * p.queries + query) * p.heads * (2u * p.width - 1u) \
                 + head * (2u * p.width - 1u) + query % p.width + p.width - 1u - key % p.width])",
            )
        }
    };
    let y = engine.empty(q.shape())?;
    let wide = head > WIDEST_ALONE;
    let width = head / lanes;
    let across = if wide { QUERIES } else { group(engine) };
    let causal = name == "causal";
    // As many dispatches as keep each within the time that drivers allow. Few queries share what they read where heads are wide, and waiting
    // for that takes several times as long as the arithmetic.
    let flops_of_a_query = 4.0 * (batch * keys * channels) as f64;
    let slowness = if wide { 4.0 } else { 1.0 };
    for part in engine.parts(queries, across, slowness * flops_of_a_query) {
        numbers[0].1 = whole(part.start);
        numbers[1].1 = whole(part.end);
        let kernel = Kernel {
            key: format!("attention {name} {width} x{lanes}"),
            lanes,
            inputs: &inputs,
            outputs: &[("y", &y, Element::Lanes)],
            numbers: &numbers,
            workgroups: [part.len().div_ceil(across), heads, batch],
            flops: flops_of_a_query * part.len() as f64,
        };
        engine.run(&kernel, || {
            if wide { together(width, added, causal) } else { alone(width, added, causal, across) }
        })?;
    }
    Ok(y)
}

/// Queries, and invocations, of one workgroup where each has a query to itself.
fn group(engine: &WgpuEngine) -> usize {
    if engine.settings().sharing == Sharing::Alone { 16 } else { 64 }
}

/// Where things are.
const PLACES: &str = "
    let head = group.y;
    let sample = group.z;";

/// A kernel with an invocation for each query.
fn alone(width: usize, added: &str, causal: bool, group: usize) -> String {
    let each = |text: &dyn Fn(usize) -> String| (0..width).map(text).collect::<String>();
    let score = (0..width).map(|d| format!("product(q{d}, F(k[at + {d}u]))")).collect::<Vec<_>>().join(" + ");
    let hide = if causal { "\n        if (key > query) { break; }" } else { "" };
    format!(
        "
@compute @workgroup_size({group})
fn main(@builtin(global_invocation_id) at_query: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {{
    let query = p.first + at_query.x;
    if (query >= p.end) {{ return; }}{PLACES}
    let mine = (sample * p.queries + query) * p.channels + head * {width}u;{load}{clear}
    var top = -3.0e38;
    var sum = 0.0;
    for (var key = 0u; key < p.keys; key++) {{{hide}
        let at = (sample * p.keys + key) * p.channels + head * {width}u;
        let score = ({score}) * p.scale{added};
        let new_top = max(top, score);
        let fade = exp(top - new_top);
        let weight = exp(score - new_top);
        top = new_top;
        sum = sum * fade + weight;{gather}
    }}{store}
}}
",
        load = each(&|d| format!("\n    let q{d} = F(q[mine + {d}u]);")),
        clear = each(&|d| format!("\n    var sum{d} = F(0.0);")),
        gather = each(&|d| format!("\n        sum{d} = sum{d} * fade + weight * F(v[at + {d}u]);")),
        store = each(&|d| format!("\n    y[mine + {d}u] = V(sum{d} / sum);")),
    )
}

/// A kernel whose workgroups hold the scores of a few queries and a tile of keys together. Each invocation makes one
/// score, then gathers some of the elements of one query.
fn together(width: usize, added: &str, causal: bool) -> String {
    let mine = width.div_ceil(TILE);
    let each = |text: &dyn Fn(usize) -> String| (0..mine).map(text).collect::<String>();
    let hide = if causal { " && key <= query" } else { "" };
    // The last of an invocation's elements may be beyond the head's end.
    let guard = |d: usize, text: String| {
        if (d + 1) * TILE <= width {
            text
        } else {
            format!("\n        if (lane + {}u < {width}u) {{{text} }}", d * TILE)
        }
    };
    let gather =
        each(&|d| guard(d, format!("\n            sum{d} += weight * F(v[at + lane + {}u]);", d * TILE)));
    let store =
        each(&|d| guard(d, format!("\n        y[first + lane + {at}u] = V(sum{d} / sum);", at = d * TILE)));
    let mut text = format!(
        "
var<workgroup> scores: array<f32, {count}>;
@compute @workgroup_size({TILE}, {QUERIES})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) here: vec3<u32>) {{{PLACES}
    let lane = here.x;
    let wanted = p.first + group.x * {QUERIES}u + here.y;
    let query = min(wanted, p.end - 1u);
    let first = (sample * p.queries + query) * p.channels + head * {width}u;{clear}
    var top = -3.0e38;
    var sum = 0.0;",
        count = TILE * QUERIES,
        clear = each(&|d| format!("\n    var sum{d} = F(0.0);")),
    );
    let _ = write!(
        text,
        "
    for (var start = 0u; start < p.keys; start += {TILE}u) {{
        let key = start + lane;
        var score = -3.0e38;
        if (key < p.keys{hide}) {{
            let at = (sample * p.keys + key) * p.channels + head * {width}u;
            var products = 0.0;
            for (var d = 0u; d < {width}u; d++) {{ products += product(F(q[first + d]), F(k[at + d])); }}
            score = products * p.scale{added};
        }}
        scores[here.y * {TILE}u + lane] = score;
        workgroupBarrier();
        var new_top = top;
        for (var s = 0u; s < {TILE}u; s++) {{ new_top = max(new_top, scores[here.y * {TILE}u + s]); }}
        let fade = exp(top - new_top);
        top = new_top;
        sum *= fade;{fade}
        for (var s = 0u; s < min({TILE}u, p.keys - start); s++) {{
            let weight = exp(scores[here.y * {TILE}u + s] - top);
            sum += weight;
            let at = (sample * p.keys + start + s) * p.channels + head * {width}u;{gather}
        }}
        workgroupBarrier();
    }}
    if (wanted < p.end) {{{store}
    }}
}}
",
        fade = each(&|d| format!("\n        sum{d} *= fade;")),
    );
    text
}
