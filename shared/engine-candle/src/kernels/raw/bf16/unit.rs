//! The processor's instructions for bf16 values (AVX-512 BF16), and products by them on all threads.

use std::arch::x86_64::{__m256bh, __m256i, _mm256_storeu_si256, _mm512_cvtneps_pbh, _mm512_loadu_ps};

use half::bf16;
use rayon::prelude::*;

use super::super::fresh::{Fresh, written_by};
use super::super::gemm::Columns;
use super::pack::Line;
use super::tile::{COLUMNS, LANES, ROWS, tiles};
use super::{RightSide, Runs};

/// Parts that a product is cut into at least where it has the rows for it, whatever the number of threads.
const PARTS: usize = 8;
/// Rows of a part at least, so that packing is little beside multiplying.
const PART: usize = 8 * ROWS;

/// This processor's word that it has the instructions.
#[derive(Clone, Copy)]
pub(crate) struct Bf16Unit(());

impl Bf16Unit {
    /// Whether it has.
    pub(crate) fn detect() -> Option<Self> {
        let all = is_x86_feature_detected!("avx512bf16")
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw");
        all.then_some(Self(()))
    }

    /// Rounds to the nearest, ties to even; what is too small to be normal becomes zero.
    pub(crate) fn round(self, x: &[f32], out: &mut [bf16]) {
        assert_eq!(x.len(), out.len(), "another number of values");
        // SAFETY: `self` says that the processor has the instructions; lengths are the same.
        unsafe { round(x, out) }
    }

    /// `left * right`, plus `bias` in each row, on all threads, written to `out`, `cols` values a row.
    pub(crate) fn product<'a>(
        self,
        out: &'a mut Fresh,
        left: &Runs<'_>,
        right: RightSide<'_>,
        cols: usize,
        bias: Option<&[f32]>,
    ) -> &'a mut [f32] {
        let rows = left.starts.len();
        assert_eq!(out.len(), rows * cols, "result {rows}x{cols} does not fill its slice");
        assert!(bias.is_none_or(|bias| bias.len() == cols), "a bias of another length");
        right.check(left, cols);
        let blocks = cols.div_ceil(COLUMNS);
        let band = rows.div_ceil(PARTS.div_ceil(blocks.max(1))).next_multiple_of(ROWS).max(PART);
        let bands = rows.div_ceil(band);
        let write = |out: Columns| {
            (0..blocks * bands).into_par_iter().for_each_init(Vec::new, |panel: &mut Vec<Line>, part| {
                let first = part / bands * COLUMNS;
                let columns = COLUMNS.min(cols - first);
                let from = part % bands * band;
                let starts = &left.starts[from..(from + band).min(rows)];
                // SAFETY: `self` says that the processor has the instructions. The right side has been checked to have `cols` columns
                // as long as the left side's rows, and the left side checks its runs. The part writes columns `first..first + columns`
                // of rows `from..from + starts.len()`, which lie in the result and belong to no other part.
                unsafe {
                    right.pack(left, first, columns, panel);
                    let bias = bias.map_or(std::ptr::null(), |bias| bias[first..].as_ptr());
                    tiles(left, starts, panel, out.at(from * cols + first), cols, columns, bias);
                }
            });
        };
        // SAFETY: the parts cover all columns of all rows.
        unsafe { written_by(out, |out| write(Columns(out))) }
    }
}

/// # Safety
/// The processor must have the instructions, and both slices the same length.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn round(x: &[f32], out: &mut [bf16]) {
    let whole = x.len() / LANES * LANES;
    for at in (0..whole).step_by(LANES) {
        // SAFETY: sixteen values follow `at` in both.
        unsafe {
            let rounded = _mm512_cvtneps_pbh(_mm512_loadu_ps(x.as_ptr().add(at)));
            _mm256_storeu_si256(
                out.as_mut_ptr().add(at).cast(),
                std::mem::transmute::<__m256bh, __m256i>(rounded),
            );
        }
    }
    for (out, x) in out[whole..].iter_mut().zip(&x[whole..]) {
        let normal = if x.abs() < f32::MIN_POSITIVE { 0.0f32.copysign(*x) } else { *x };
        *out = bf16::from_f32(normal);
    }
}
