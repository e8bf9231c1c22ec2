//! Matrix products of bf16 values, summed in `f32`, where the processor has instructions for them.

#[cfg(target_arch = "x86_64")]
mod pack;
#[cfg(target_arch = "x86_64")]
mod tile;
#[cfg(target_arch = "x86_64")]
mod unit;
#[cfg(not(target_arch = "x86_64"))]
#[path = "no_unit.rs"]
mod unit;

use half::bf16;

pub(crate) use unit::Bf16Unit;

/// A left side in bf16: row `m` is the runs of `width` values that begin at `starts[m] + taps[0]`, at `starts[m] + taps[1]`, and so on.
pub(crate) struct Runs<'a> {
    pub(super) data: &'a [bf16],
    pub(super) starts: &'a [usize],
    pub(super) taps: &'a [usize],
    pub(super) width: usize,
}

impl<'a> Runs<'a> {
    /// `width` is even.
    pub(crate) fn new(data: &'a [bf16], starts: &'a [usize], taps: &'a [usize], width: usize) -> Self {
        let last = |of: &[usize]| of.iter().copied().max().unwrap_or(0);
        assert!(width.is_multiple_of(2), "pairs are multiplied");
        assert!(last(starts) + last(taps) + width <= data.len(), "runs reach outside their slice");
        Self { data, starts, taps, width }
    }
}

/// A right side.
#[derive(Clone, Copy)]
pub(crate) enum RightSide<'a> {
    /// Value `k`, counted through all runs, of column `n` is `w[n * length + k]`.
    InColumns { w: &'a [bf16], length: usize },
    /// Value `k` of run `t` of column `n` is `w[bases[t] + k * stride + n]`.
    InRows { w: &'a [bf16], bases: &'a [usize], stride: usize },
}

impl RightSide<'_> {
    /// Panics where it has not `cols` columns of the length of `left`'s rows.
    pub(super) fn check(&self, left: &Runs<'_>, cols: usize) {
        let (taps, width) = (left.taps.len(), left.width);
        let fits = match *self {
            Self::InColumns { w, length } => length == taps * width && cols * length <= w.len(),
            Self::InRows { w, bases, stride } => {
                let last = bases.iter().copied().max().unwrap_or(0);
                bases.len() == taps && (width == 0 || last + (width - 1) * stride + cols <= w.len())
            }
        };
        assert!(fits, "the right side has other sizes than the left one");
    }
}
