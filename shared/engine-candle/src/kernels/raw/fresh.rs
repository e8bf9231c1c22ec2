//! New vectors without clearing them first: a pass over memory, and the whole of it on one thread.

use std::mem::MaybeUninit;

use rayon::prelude::*;

/// Memory that nothing has been written to yet.
pub(crate) type Fresh = [MaybeUninit<f32>];

/// A vector of `len` values, made in chunks of `chunk` on all threads. `work(index, chunk)` has to give back its chunk as
/// values, which only the functions of this module can make of it.
pub(crate) fn build(
    len: usize,
    chunk: usize,
    work: impl for<'a> Fn(usize, &'a mut Fresh) -> &'a mut [f32] + Sync,
) -> Vec<f32> {
    build_with(len, chunk, || (), |(), index, chunk| work(index, chunk))
}

/// [`build`] with something that each thread makes once and keeps for its chunks.
pub(crate) fn build_with<T>(
    len: usize,
    chunk: usize,
    init: impl Fn() -> T + Sync + Send,
    work: impl for<'a> Fn(&mut T, usize, &'a mut Fresh) -> &'a mut [f32] + Sync,
) -> Vec<f32> {
    let mut out: Vec<f32> = Vec::with_capacity(len);
    out.spare_capacity_mut()[..len].par_chunks_mut(chunk.max(1)).enumerate().for_each_init(
        init,
        |state, (index, chunk)| {
            let place = (chunk.as_ptr().cast::<f32>(), chunk.len());
            let done = work(state, index, chunk);
            assert!(place == (done.as_ptr(), done.len()), "a chunk was not written");
        },
    );
    // SAFETY: the chunks cover the first `len` places, and each came back as initialized values: the assertion compares
    // addresses and lengths, and a `&mut [f32]` to a chunk's place comes only from the functions below, which write all.
    unsafe { out.set_len(len) };
    out
}

/// All of `out` is initialized.
fn written(out: &mut Fresh) -> &mut [f32] {
    // SAFETY: called by the functions below only, after they have written every element; `MaybeUninit<f32>` has the size
    // and alignment of `f32`, and the borrow is passed on.
    unsafe { &mut *(std::ptr::from_mut(out) as *mut [f32]) }
}

/// `f` of each value of `x`.
#[inline(always)]
pub(crate) fn map<'a>(out: &'a mut Fresh, x: &[f32], f: impl Fn(f32) -> f32) -> &'a mut [f32] {
    let x = &x[..out.len()];
    for (out, &x) in out.iter_mut().zip(x) {
        out.write(f(x));
    }
    written(out)
}

/// `f` of each pair of values.
#[inline(always)]
pub(crate) fn map2<'a>(
    out: &'a mut Fresh,
    a: &[f32],
    b: &[f32],
    f: impl Fn(f32, f32) -> f32,
) -> &'a mut [f32] {
    let (a, b) = (&a[..out.len()], &b[..out.len()]);
    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
        out.write(f(a, b));
    }
    written(out)
}

/// The values of `x`.
pub(crate) fn copy<'a>(out: &'a mut Fresh, x: &[f32]) -> &'a mut [f32] {
    map(out, x, |x| x)
}

/// Rows of `a`, of `left` values, each followed by the row of `b`, of `right` values.
pub(crate) fn beside<'a>(
    out: &'a mut Fresh,
    a: &[f32],
    left: usize,
    b: &[f32],
    right: usize,
) -> &'a mut [f32] {
    assert!(left + right > 0 && out.len().is_multiple_of(left + right), "rows of another width");
    for (index, row) in out.chunks_exact_mut(left + right).enumerate() {
        let (first, second) = row.split_at_mut(left);
        copy(first, &a[index * left..][..left]);
        copy(second, &b[index * right..][..right]);
    }
    written(out)
}

/// Zeros.
pub(crate) fn zeros(out: &mut Fresh) -> &mut [f32] {
    out.fill(MaybeUninit::new(0.0));
    written(out)
}

/// `row` over and over; the length of `out` is a multiple of its length.
pub(crate) fn repeat<'a>(out: &'a mut Fresh, row: &[f32]) -> &'a mut [f32] {
    assert!(!row.is_empty() && out.len().is_multiple_of(row.len()), "rows of another width");
    for out in out.chunks_exact_mut(row.len()) {
        copy(out, row);
    }
    written(out)
}

/// What `write` makes of it: for results that a foreign function writes.
///
/// # Safety
/// `write` has to initialize every element.
pub(super) unsafe fn written_by(out: &mut Fresh, write: impl FnOnce(*mut f32)) -> &mut [f32] {
    write(out.as_mut_ptr().cast());
    written(out)
}
