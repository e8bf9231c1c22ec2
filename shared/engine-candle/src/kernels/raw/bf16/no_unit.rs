//! Processors without the instructions that [`Bf16Unit`] stands for.

use half::bf16;

use super::super::fresh::Fresh;
use super::{RightSide, Runs};

/// What no processor of this sort has.
#[derive(Clone, Copy)]
pub(crate) enum Bf16Unit {}

impl Bf16Unit {
    /// It has none.
    pub(crate) fn detect() -> Option<Self> {
        None
    }

    pub(crate) fn round(self, _: &[f32], _: &mut [bf16]) {
        match self {}
    }

    pub(crate) fn product<'a>(
        self,
        _: &'a mut Fresh,
        left: &Runs<'_>,
        right: RightSide<'_>,
        cols: usize,
        _: Option<&[f32]>,
    ) -> &'a mut [f32] {
        right.check(left, cols);
        match self {}
    }
}
