//! Numbers in one byte each: blocks with a scale of their own, and a table that is fine where most values are (dynamic tree
//! quantization; Dettmers et al., 2022, "8-bit Optimizers via Block-wise Quantization").

use std::sync::LazyLock;

/// Values that share a scale.
pub(super) const BLOCK: usize = 256;

/// The values that a byte can stand for, rising, of absolute value at most 1.
pub(super) type Table = [f32; 256];

/// Of values of both signs.
pub(super) static SIGNED: LazyLock<Table> = LazyLock::new(|| table(true));
/// Of values that are not negative.
pub(super) static UNSIGNED: LazyLock<Table> = LazyLock::new(|| table(false));

/// Powers of ten that the table goes down to; in each of them as many values as bits are left for.
const POWERS: i32 = 7;

fn table(signed: bool) -> Table {
    let mut values = vec![0.0f64, 1.0];
    for power in 0..POWERS {
        let count = 1usize << (power + i32::from(!signed));
        for index in 0..count {
            // The middles of equal parts of 0.1..1.
            let middle = 0.1 + 0.9 * (index as f64 + 0.5) / count as f64;
            let value = middle * 10f64.powi(power + 1 - POWERS);
            values.push(value);
            if signed {
                values.push(-value);
            }
        }
    }
    // 7 powers give 254 (or 127 and their opposites); with 0 and 1 that is a byte.
    values.sort_by(f64::total_cmp);
    let mut table = [0.0; 256];
    for (slot, value) in table.iter_mut().zip(values) {
        *slot = value as f32;
    }
    table
}

/// One block's numbers from their bytes.
pub(super) fn decode(table: &Table, codes: &[u8], scale: f32, out: &mut [f32]) {
    for (out, code) in out.iter_mut().zip(codes) {
        *out = table[usize::from(*code)] * scale;
    }
}

/// One block's bytes from its numbers; returns the scale, the largest absolute value.
pub(super) fn encode(table: &Table, values: &[f32], codes: &mut [u8]) -> f32 {
    let scale = values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    for (code, value) in codes.iter_mut().zip(values) {
        *code = nearest(table, value * inverse);
    }
    scale
}

fn nearest(table: &Table, value: f32) -> u8 {
    let above = table.partition_point(|entry| *entry < value).min(255);
    let below = above.saturating_sub(1);
    let nearer = if value - table[below] < table[above] - value { below } else { above };
    nearer as u8
}

/// The byte that stands for 0.
pub(super) fn zero(table: &Table) -> u8 {
    nearest(table, 0.0)
}
