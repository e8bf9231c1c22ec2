//! Adapters and devices.

use std::sync::{Arc, Mutex, PoisonError};

use crate::error::GpuError;

/// What tensors are stored as. Sums are made in `f32` either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Storage {
    /// `f32`.
    Single,
    /// `f16`: half the memory and traffic, where the adapter has `shader-f16`.
    Half,
}

impl Storage {
    /// Bytes of one value.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Single => 4,
            Self::Half => 2,
        }
    }
}

/// What is known of a GPU before it is started.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// Its name, or what it is spoken to by where it has none.
    pub name: String,
    /// Whether it is emulated on the CPU.
    pub emulated: bool,
    /// Whether it has `shader-f16`.
    pub half: bool,
    /// The largest tensor that a kernel can read, in bytes.
    pub largest_tensor: u64,
}

/// A GPU that has been started.
#[derive(Debug)]
pub struct Gpu {
    /// What it is.
    pub adapter: Adapter,
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    pub(crate) uniform_alignment: u64,
    failure: Failure,
}

/// The first error that the device reported, whenever it did.
#[derive(Clone, Debug, Default)]
struct Failure(Arc<Mutex<Option<GpuError>>>);

impl Failure {
    fn report(&self, error: GpuError) {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What was refused because the device is gone says less than that it is gone.
        if first.is_none() || matches!(error, GpuError::Lost { .. }) {
            *first = Some(error);
        }
    }

    fn get(&self) -> Option<GpuError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Why there is no adapter, in a few words: wgpu lists every interface that it knows, which helps nobody who looks at a page.
fn why(error: &wgpu::RequestAdapterError) -> String {
    match error {
        wgpu::RequestAdapterError::NotFound { .. } => "none answered".to_owned(),
        other => other.to_string(),
    }
}

impl Gpu {
    /// Starts the fastest GPU that there is, or one emulated on the CPU where there is no other.
    ///
    /// # Errors
    /// [`GpuError::NoAdapter`] and [`GpuError::NoDevice`].
    pub async fn start() -> Result<Self, GpuError> {
        let instance = wgpu::Instance::default();
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let adapter = instance
            .request_adapter(&options)
            .await
            .map_err(|error| GpuError::NoAdapter { reason: why(&error) })?;
        let info = adapter.get_info();
        let limits = adapter.limits();
        let half = adapter.features().contains(wgpu::Features::SHADER_F16);
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("mudi"),
            required_features: if half { wgpu::Features::SHADER_F16 } else { wgpu::Features::empty() },
            required_limits: limits.clone(),
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        };
        let name = match (info.name.as_str(), info.backend) {
            // Browsers keep it to themselves, lest visitors be told apart by it.
            ("", wgpu::Backend::BrowserWebGpu) => "WebGPU".to_owned(),
            ("", backend) => backend.to_string(),
            (name, _) => name.to_owned(),
        };
        let (device, queue) = adapter
            .request_device(&descriptor)
            .await
            .map_err(|error| GpuError::NoDevice { adapter: name.clone(), reason: error.to_string() })?;

        let failure = Failure::default();
        let report = failure.clone();
        device.on_uncaptured_error(Arc::new(move |error| report.report(named(error))));
        let report = failure.clone();
        device.set_device_lost_callback(move |cause, message| {
            let reason = if message.is_empty() { format!("{cause:?}") } else { message };
            report.report(GpuError::Lost { reason });
        });
        Ok(Self {
            adapter: Adapter {
                name,
                emulated: info.device_type == wgpu::DeviceType::Cpu,
                half,
                largest_tensor: limits.max_storage_buffer_binding_size.min(limits.max_buffer_size),
            },
            uniform_alignment: u64::from(limits.min_uniform_buffer_offset_alignment),
            device,
            queue,
            failure,
        })
    }

    /// Fails if the device has reported an error since it was started. Browsers report late: a value that was read without
    /// an error is right, but an operation that was recorded without one may still fail.
    ///
    /// # Errors
    /// What the device reported first.
    pub fn check(&self) -> Result<(), GpuError> {
        self.failure.get().map_or(Ok(()), Err)
    }

    /// Gives the device back at once, as if it had been unplugged.
    pub fn destroy(&self) {
        self.device.destroy();
    }
}

fn named(error: wgpu::Error) -> GpuError {
    match error {
        wgpu::Error::OutOfMemory { .. } => GpuError::OutOfMemory,
        wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
            GpuError::Refused { reason: description }
        }
    }
}
