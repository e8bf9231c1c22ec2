//! Buffers that are used again.

use std::collections::BTreeMap;

/// Buffers that no tensor holds any more, by size.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    free: BTreeMap<u64, Vec<Free>>,
    /// Counts submissions: what was released before the present one may be written from the CPU.
    epoch: u64,
    /// Bytes of all buffers that exist, free or not.
    pub(crate) bytes: u64,
}

#[derive(Debug)]
struct Free {
    buffer: wgpu::Buffer,
    released: u64,
}

/// Who writes a buffer first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    /// A kernel. The GPU runs kernels in their order, so that one that reads the buffer's old values comes first.
    Kernel,
    /// The CPU, which writes before anything that is only recorded so far runs.
    Cpu,
}

impl Pool {
    /// A buffer of at least `bytes` and at most `largest`, which kernels can bind.
    pub(crate) fn take(
        &mut self,
        device: &wgpu::Device,
        bytes: u64,
        largest: u64,
        writer: Writer,
    ) -> wgpu::Buffer {
        let size = size_for(bytes, largest);
        let free = self.free.entry(size).or_default();
        let usable = |free: &Free| writer == Writer::Kernel || free.released < self.epoch;
        if let Some(at) = free.iter().position(usable) {
            return free.swap_remove(at).buffer;
        }
        self.bytes += size;
        device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    /// Takes a buffer back.
    pub(crate) fn release(&mut self, buffer: wgpu::Buffer) {
        let released = self.epoch;
        self.free.entry(buffer.size()).or_default().push(Free { buffer, released });
    }

    /// Everything that was recorded has been submitted.
    pub(crate) fn submitted(&mut self) {
        self.epoch += 1;
    }
}

/// The size of a buffer for `bytes`, a multiple of 4, where the whole of it may have `largest`: browsers tell limits such as 2 GiB less
/// four bytes, which a class would be beyond.
fn size_for(bytes: u64, largest: u64) -> u64 {
    size_class(bytes).min(largest & !3).max(bytes)
}

/// `bytes` rounded up to a quarter of an octave, so that tensors of similar sizes share buffers and at most a fifth is
/// wasted.
fn size_class(bytes: u64) -> u64 {
    const SMALLEST: u64 = 256;
    if bytes <= SMALLEST {
        return SMALLEST;
    }
    let step = 1 << (bytes - 1).ilog2().saturating_sub(2);
    bytes.next_multiple_of(step)
}

#[cfg(test)]
mod tests {
    use super::{size_class, size_for};

    #[test]
    fn classes_hold_what_they_are_for_and_waste_little() {
        for bytes in (1..5_000).chain([65_536, 65_537, 1 << 30, (1 << 30) + 1]) {
            let size = size_class(bytes);
            assert!(size >= bytes && size.is_multiple_of(16), "{bytes} in {size}");
            assert!(bytes < 256 || size <= bytes + bytes / 4 + 1, "{bytes} in {size}");
            assert_eq!(size_class(size), size);
        }
    }

    #[test]
    fn no_buffer_is_larger_than_what_can_be_bound() {
        const LIMIT: u64 = (1 << 31) - 4;
        assert_eq!(size_for(LIMIT, LIMIT), LIMIT);
        assert_eq!(size_for(15 << 27, LIMIT), LIMIT);
        assert_eq!(size_for(1 << 30, LIMIT), 1 << 30);
        assert_eq!(size_for((1 << 27) - 8, (1 << 27) - 1), (1 << 27) - 4);
    }
}
