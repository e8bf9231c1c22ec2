//! FlashAttention 2 (Dao, 2023) by candle's kernels for NVIDIA's cards: scores stay in a card's fast memory. Forward only, so that it serves
//! where nothing learns.

use candle_core::{DType, Result, Tensor as Value};

/// The widest head that the kernels know.
const WIDEST: usize = 512;
/// Heads are so many channels, or twice, or three times.
const STEP: usize = 8;

/// Whether the kernels can do it: values in two bytes on a card, and heads of a width that they know. Their causal mask ends at the last
/// key, which is this engine's where there are as many keys as queries.
fn fits(on_card: bool, dtype: DType, width: usize, causal: bool, [queries, keys]: [usize; 2]) -> bool {
    on_card
        && matches!(dtype, DType::F16 | DType::BF16)
        && width.is_multiple_of(STEP)
        && width <= WIDEST
        && (!causal || queries == keys)
}

/// Attention of `[B, T, heads * width]`; none where the kernels cannot do it.
pub(super) fn attention([q, k, v]: [&Value; 3], heads: usize, causal: bool) -> Result<Option<Value>> {
    let (batch, queries, channels) = q.dims3()?;
    let width = channels / heads;
    if !fits(q.device().is_cuda(), q.dtype(), width, causal, [queries, k.dim(1)?]) {
        return Ok(None);
    }
    let [q, k, v] = [q, k, v].map(|x| x.reshape((batch, (), heads, width)));
    let scale = 1.0 / (width as f32).sqrt();
    let y = candle_flash_attn::flash_attn(&q?, &k?, &v?, scale, causal)?;
    y.reshape((batch, queries, channels)).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernels_do_not_know_is_left_to_others() {
        assert!(fits(true, DType::BF16, 64, false, [4096, 77]));
        assert!(fits(true, DType::F16, 40, true, [77, 77]));
        assert!(!fits(false, DType::BF16, 64, false, [4096, 77]));
        assert!(!fits(true, DType::F32, 64, false, [4096, 77]));
        assert!(!fits(true, DType::BF16, 20, false, [4096, 77]));
        assert!(!fits(true, DType::BF16, 520, false, [4096, 77]));
        assert!(!fits(true, DType::BF16, 64, true, [10, 77]));
    }
}
