//! Right sides in panels, as [`super::tile`] reads them: a pair's values side by side, [`COLUMNS`](super::tile::COLUMNS) columns in two lines.

use std::arch::x86_64::{
    __m512i, __mmask16, __mmask32, _mm512_loadu_si512, _mm512_maskz_loadu_epi16, _mm512_maskz_loadu_epi32,
    _mm512_permutex2var_epi16, _mm512_setzero_si512, _mm512_shuffle_i32x4, _mm512_storeu_si512,
    _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

use half::bf16;

use super::tile::LANES;
use super::{RightSide, Runs};

/// Sixteen pairs, at the boundary of a cache's line.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Line(pub(super) [u32; LANES]);

const NOTHING: Line = Line([0; LANES]);

impl RightSide<'_> {
    /// Packs columns `first..first + columns`: for each pair of values two lines, of the first and of the second half of the columns.
    ///
    /// # Safety
    /// The processor must have the instructions, [`Self::check`] must have passed, and the columns must be among the `cols` checked.
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) unsafe fn pack(&self, left: &Runs<'_>, first: usize, columns: usize, panel: &mut Vec<Line>) {
        let pairs = left.width / 2;
        panel.resize(2 * pairs * left.taps.len(), NOTHING);
        match *self {
            Self::InColumns { w, length } => {
                for half in 0..2 {
                    let first = first + half * LANES;
                    let columns = columns.saturating_sub(half * LANES).min(LANES);
                    // No values where the second half has no columns.
                    let w = w.get(first * length..(first + columns) * length).unwrap_or_default();
                    // SAFETY: there are two lines for each pair of a column, of which this is the first or the second.
                    unsafe { transpose(w, length, panel.as_mut_ptr().add(half)) };
                }
            }
            Self::InRows { w, bases, stride } => {
                for (&base, panel) in bases.iter().zip(panel.chunks_exact_mut((2 * pairs).max(1))) {
                    // SAFETY: the rows of the run lie in `w`, and there are two lines for each pair of them.
                    unsafe { interleave(w.as_ptr().add(base + first), stride, columns, panel) }
                }
            }
        }
    }
}

/// Pairs of up to sixteen columns of `length` values each, which lie one after the other: every second line from `to` on gets the next pair
/// of each column, and zeros for columns that are not there.
///
/// # Safety
/// `length` lines less one must be writable at `to`, of which every second one is written.
#[target_feature(enable = "avx512f")]
unsafe fn transpose(w: &[bf16], length: usize, to: *mut Line) {
    let pairs = length / 2;
    for start in (0..pairs).step_by(LANES) {
        let count = LANES.min(pairs - start);
        let mask = (((1u32 << count) - 1) & 0xffff) as __mmask16;
        let mut rows = [_mm512_setzero_si512(); LANES];
        for (column, row) in w.chunks_exact(length).zip(&mut rows) {
            // SAFETY: the masked load reads `count` pairs of the column from `start` on.
            *row = unsafe { _mm512_maskz_loadu_epi32(mask, column.as_ptr().cast::<i32>().add(start)) };
        }
        let turned = turn(rows);
        for (pair, line) in turned.iter().enumerate().take(count) {
            // SAFETY: pair `start + pair` has a line at twice its number.
            unsafe { _mm512_storeu_si512(to.add(2 * (start + pair)).cast(), *line) };
        }
    }
}

/// The transpose of sixteen by sixteen pairs.
#[target_feature(enable = "avx512f")]
fn turn(r: [__m512i; LANES]) -> [__m512i; LANES] {
    let mut a = r;
    for i in (0..LANES).step_by(2) {
        a[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    // Of four rows each: line `4 i + j` holds the values `j`, `j + 4`, `j + 8` and `j + 12` of all four.
    let mut b = a;
    for i in (0..LANES).step_by(4) {
        b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
        b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
        b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
        b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
    }
    let mut out = b;
    for j in 0..4 {
        let low = _mm512_shuffle_i32x4::<0b10_00_10_00>(b[j], b[4 + j]);
        let high = _mm512_shuffle_i32x4::<0b11_01_11_01>(b[j], b[4 + j]);
        let low_after = _mm512_shuffle_i32x4::<0b10_00_10_00>(b[8 + j], b[12 + j]);
        let high_after = _mm512_shuffle_i32x4::<0b11_01_11_01>(b[8 + j], b[12 + j]);
        out[j] = _mm512_shuffle_i32x4::<0b10_00_10_00>(low, low_after);
        out[8 + j] = _mm512_shuffle_i32x4::<0b11_01_11_01>(low, low_after);
        out[4 + j] = _mm512_shuffle_i32x4::<0b10_00_10_00>(high, high_after);
        out[12 + j] = _mm512_shuffle_i32x4::<0b11_01_11_01>(high, high_after);
    }
    out
}

/// Puts the values of two rows, `stride` values apart, beside each other, for each two rows: two lines of sixteen columns each.
///
/// # Safety
/// `columns` values, at most [`COLUMNS`](super::tile::COLUMNS), must be readable in each of `panel.len()` rows at `w`.
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn interleave(w: *const bf16, stride: usize, columns: usize, panel: &mut [Line]) {
    const FIRST: [i16; 32] = beside(0);
    const SECOND: [i16; 32] = beside(16);
    let mask = (((1u64 << columns) - 1) & 0xffff_ffff) as __mmask32;
    // SAFETY: the arrays are as long as a vector.
    let order =
        unsafe { [_mm512_loadu_si512(FIRST.as_ptr().cast()), _mm512_loadu_si512(SECOND.as_ptr().cast())] };
    for (pair, lines) in panel.chunks_exact_mut(2).enumerate() {
        // SAFETY: the masked loads read `columns` values of rows that are there; `lines` are two.
        unsafe {
            let row = w.add(2 * pair * stride).cast::<i16>();
            let upper = _mm512_maskz_loadu_epi16(mask, row);
            let lower = _mm512_maskz_loadu_epi16(mask, row.add(stride));
            for (line, order) in lines.iter_mut().zip(order) {
                _mm512_storeu_si512(
                    line.0.as_mut_ptr().cast(),
                    _mm512_permutex2var_epi16(upper, order, lower),
                );
            }
        }
    }
}

/// Where the values of two vectors are that belong beside each other, from value `first` on: those of the second vector count from 32.
const fn beside(first: i16) -> [i16; 32] {
    let mut order = [0; 32];
    let mut at = 0;
    while at < 16 {
        order[2 * at] = first + at as i16;
        order[2 * at + 1] = 32 + first + at as i16;
        at += 1;
    }
    order
}
