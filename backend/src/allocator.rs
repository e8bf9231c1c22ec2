//! The program's memory allocator.
//!
//! Activations come and go by the megabyte, many times a second. The system's allocator gives each back to the kernel,
//! which has to clear the pages again for the next: a fifth of a training step.
#![allow(unsafe_code)]

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of `mimalloc.h`, which the bindings do not name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// How long freed memory is kept for reuse, in milliseconds: ten times the default saves half of the kernel's work, and
/// costs a tenth more memory; seconds would save little more and cost half as much again.
const KEEP: std::ffi::c_long = 100;

/// The same where steps are long and memory is plenty, as in pretraining.
const KEEP_LONG: std::ffi::c_long = 3000;

/// Sets how long freed memory is kept.
pub fn keep_freed_memory() {
    set(KEEP);
}

fn set(delay: std::ffi::c_long) {
    // SAFETY: the function takes two integers by value, and the option's number is that of the header that the bindings
    // are compiled with; an unknown number would be ignored.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, delay) }
}

/// Keeps freed memory for longer than a step of pretraining takes, while this lives.
pub(crate) struct LongKept(());

impl LongKept {
    pub(crate) fn new() -> Self {
        set(KEEP_LONG);
        Self(())
    }
}

impl Drop for LongKept {
    fn drop(&mut self) {
        set(KEEP);
        give_back();
    }
}

/// Gives freed memory back to the system at once: between phases, the next of which has blocks of other sizes.
pub(crate) fn give_back() {
    // SAFETY: the function takes one boolean by value.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
