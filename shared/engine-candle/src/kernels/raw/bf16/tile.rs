//! The product of some rows with a panel of columns, in registers.
//!
//! `vdpbf16ps` multiplies two pairs and adds both products to a sum in `f32`, in each of sixteen lanes. A pair of the left side is sent to
//! all lanes; the panel holds the same pair of each column. Every sum goes over all values in one order.

use std::arch::x86_64::{
    __m512, __m512bh, __m512i, __mmask16, _mm512_dpbf16_ps, _mm512_loadu_si512, _mm512_mask_storeu_ps,
    _mm512_maskz_loadu_ps, _mm512_set1_epi32, _mm512_setzero_ps,
};

use super::Runs;
use super::pack::Line;

/// Sums in a vector.
pub(super) const LANES: usize = 16;
/// Columns of a panel: two vectors of sums.
pub(super) const COLUMNS: usize = 2 * LANES;
/// Most rows of a tile: with two vectors each, as many sums as there are registers for beside what is multiplied.
pub(super) const ROWS: usize = 12;

/// The product of the rows that begin at `starts` with a panel of `columns` columns, written to `out`, whose rows are `stride` apart.
///
/// # Safety
/// The processor must have the instructions; `panel` must be of the left side's length; `out` valid for writes of `columns` values in each of
/// `starts.len()` rows; `bias` null or readable for `columns` values.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn tiles(
    left: &Runs<'_>,
    starts: &[usize],
    panel: &[Line],
    out: *mut f32,
    stride: usize,
    columns: usize,
    bias: *const f32,
) {
    let masks = [columns.min(LANES), columns.saturating_sub(LANES)]
        .map(|count| (((1u32 << count) - 1) & 0xffff) as __mmask16);
    let mut first = [_mm512_setzero_ps(); 2];
    if !bias.is_null() {
        for (half, first) in first.iter_mut().enumerate() {
            // SAFETY: the mask leaves what lies behind the last column alone.
            *first = unsafe { _mm512_maskz_loadu_ps(masks[half], bias.wrapping_add(half * LANES)) };
        }
    }
    // As even as can be: a tile of few rows keeps the processor waiting for its sums.
    let count = starts.len().div_ceil(ROWS);
    let (mut row, mut left_over) = (0, starts.len());
    for tile_index in 0..count {
        let rows = left_over.div_ceil(count - tile_index);
        let starts = &starts[row..row + rows];
        // SAFETY: the caller's word, for these rows.
        unsafe {
            let out = out.add(row * stride);
            macro_rules! of_rows {
                ($($rows:literal)*) => {
                    match rows {
                        $($rows => tile::<$rows>(left, starts, panel, first, out, stride, masks),)*
                        _ => {}
                    }
                };
            }
            of_rows!(1 2 3 4 5 6 7 8 9 10 11 12);
        }
        row += rows;
        left_over -= rows;
    }
}

/// [`tiles`] of exactly `R` rows, whose sums stay in registers.
///
/// # Safety
/// As of [`tiles`]; `starts` must be of `R` rows.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn tile<const R: usize>(
    left: &Runs<'_>,
    starts: &[usize],
    panel: &[Line],
    first: [__m512; 2],
    out: *mut f32,
    stride: usize,
    masks: [__mmask16; 2],
) {
    let mut sums = [first; R];
    let mut panel = panel.as_ptr();
    let pairs = left.width / 2;
    for &tap in left.taps {
        // SAFETY: `Runs` has checked that every run lies in its slice; the panel has two lines for each pair of each run.
        unsafe {
            let rows: [*const i32; R] =
                std::array::from_fn(|row| left.data.as_ptr().add(starts[row] + tap).cast::<i32>());
            let mut step = |pair: usize, panel: *const Line| {
                let lines: [__m512bh; 2] = [
                    std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(panel.cast())),
                    std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(panel.add(1).cast())),
                ];
                for (sums, row) in sums.iter_mut().zip(rows) {
                    let x = _mm512_set1_epi32(row.add(pair).read_unaligned());
                    let x = std::mem::transmute::<__m512i, __m512bh>(x);
                    sums[0] = _mm512_dpbf16_ps(sums[0], x, lines[0]);
                    sums[1] = _mm512_dpbf16_ps(sums[1], x, lines[1]);
                }
            };
            let whole = pairs / 4 * 4;
            for pair in (0..whole).step_by(4) {
                for at in 0..4 {
                    step(pair + at, panel.add(2 * at));
                }
                panel = panel.add(8);
            }
            for pair in whole..pairs {
                step(pair, panel);
                panel = panel.add(2);
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        for (half, sum) in sums.iter().enumerate() {
            // SAFETY: the mask leaves what lies behind the last column alone.
            unsafe {
                _mm512_mask_storeu_ps(out.wrapping_add(row * stride + half * LANES), masks[half], *sum);
            }
        }
    }
}
