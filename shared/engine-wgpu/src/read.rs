//! Values on their way from the GPU to the CPU.

use half::f16;
use mudi_diffusion::Result;

use crate::error::GpuError;
use crate::gpu::{Gpu, Storage};

/// Values on their way back.
pub(crate) struct Read {
    copy: wgpu::Buffer,
    mapped: futures_channel::oneshot::Receiver<std::result::Result<(), wgpu::BufferAsyncError>>,
    storage: Storage,
    count: usize,
}

impl Read {
    /// A buffer that `bytes` can be copied to.
    pub(crate) fn buffer(device: &wgpu::Device, bytes: u64) -> wgpu::Buffer {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("read"),
            size: bytes,
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        })
    }

    /// Asks for `count` values of `copy`, to which the copying has been sent.
    pub(crate) fn begin(copy: wgpu::Buffer, storage: Storage, count: usize) -> Self {
        let (sender, mapped) = futures_channel::oneshot::channel();
        copy.map_async(wgpu::MapMode::Read, .., move |result| {
            // Nobody waits any more where the receiver is gone.
            let _ = sender.send(result);
        });
        Self { copy, mapped, storage, count }
    }

    /// The values, once they are here.
    pub(crate) async fn finish(self, gpu: &Gpu) -> Result<Vec<f32>> {
        // Natively somebody has to wait; a browser calls back by itself.
        #[cfg(not(target_arch = "wasm32"))]
        if let Err(error) = gpu.device.poll(wgpu::PollType::wait_indefinitely()) {
            gpu.check()?;
            return Err(GpuError::Lost { reason: error.to_string() }.into());
        }
        let mapped = self.mapped.await;
        // What the device has reported says more than that nothing could be mapped.
        gpu.check()?;
        match mapped {
            Ok(Ok(())) => {}
            // Nothing else keeps memory from being mapped that was made and sent without a fault. Not every browser has told by now that
            // the device is gone.
            Ok(Err(error)) => return Err(GpuError::Lost { reason: error.to_string() }.into()),
            Err(_) => return Err(GpuError::Lost { reason: "reading was given up".to_owned() }.into()),
        }
        let view = self
            .copy
            .get_mapped_range(..)
            .map_err(|error| GpuError::Refused { reason: error.to_string() })?;
        let mut values: Vec<f32> = match self.storage {
            Storage::Single => {
                view.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
            }
            Storage::Half => {
                view.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
            }
        };
        values.truncate(self.count);
        drop(view);
        // A browser would keep it until it next collects garbage.
        self.copy.destroy();
        Ok(values)
    }
}
