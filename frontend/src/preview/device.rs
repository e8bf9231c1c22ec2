//! What a worker computes with.

use mudi_preview::fit::Limits;
use wasm_bindgen::JsValue;

/// What the page is told of a device.
pub(crate) struct About {
    /// What it is called; empty for the processor.
    pub(crate) device: String,
    /// Whether it is a GPU.
    pub(crate) gpu: bool,
    /// Whether that is emulated by the processor.
    pub(crate) emulated: bool,
    /// What it can hold.
    pub(crate) limits: Limits,
}

/// What `object` has under that name.
fn property(object: &JsValue, name: &str) -> Option<JsValue> {
    js_sys::Reflect::get(object, &name.into()).ok()
}

/// The machine's memory in bytes, where the browser tells it, which rounds to a power of two and says nothing beyond 8 GiB.
fn memory() -> Option<u64> {
    let gibibytes = property(&property(&js_sys::global(), "navigator")?, "deviceMemory")?.as_f64()?;
    // What is rounded down to it is less than half more.
    (gibibytes < 8.0).then_some((gibibytes * 1.5 * f64::from(1 << 30)) as u64)
}

/// What the processor can hold.
pub(crate) fn of_processor() -> Limits {
    Limits { value: 4, largest: None, memory: memory(), own: true }
}

/// A kind of device, with an engine for it.
pub(crate) trait Device: 'static {
    /// The engine.
    type Engine: mudi_diffusion::Readable + 'static;

    /// Starts it; otherwise why there is none.
    fn start() -> impl Future<Output = Result<(Self::Engine, About), String>>;
    /// Whether the device is gone and another may be started.
    fn is_lost(error: &mudi_diffusion::Error) -> bool;
    /// Bytes of the device's own memory that the engine holds; 0 where tensors are in the program's.
    fn memory(engine: &Self::Engine) -> u64;
    /// Loses it, as drivers do, where that can happen: for tests.
    fn lose(engine: &Self::Engine);
}

/// The GPU, by WebGPU.
pub(crate) struct ByGpu;

/// The processor.
pub(crate) struct ByProcessor;

mod gpu {
    use mudi_engine_wgpu::{Gpu, GpuError, Settings, WgpuEngine};
    use mudi_preview::fit::Limits;

    use super::{About, ByGpu, Device, memory, property};

    impl Device for ByGpu {
        type Engine = WgpuEngine;

        async fn start() -> Result<(WgpuEngine, About), String> {
            if property(&js_sys::global(), "isSecureContext").is_some_and(|safe| safe.is_falsy()) {
                return Err("browsers keep it from pages that do not come by https".to_owned());
            }
            let gpu = Gpu::start().await.map_err(|error| error.to_string())?;
            let adapter = gpu.adapter.clone();
            let settings = Settings::for_adapter(&adapter);
            let engine = WgpuEngine::new(gpu, settings).map_err(|error| error.to_string())?;
            let limits = Limits {
                value: settings.storage.bytes(),
                largest: Some(adapter.largest_tensor),
                // What a GPU has of its own no browser tells.
                memory: adapter.emulated.then(memory).flatten(),
                own: false,
            };
            Ok((engine, About { device: adapter.name, gpu: true, emulated: adapter.emulated, limits }))
        }

        fn is_lost(error: &mudi_diffusion::Error) -> bool {
            let mudi_diffusion::Error::Engine(cause) = error else { return false };
            matches!(cause.downcast_ref(), Some(GpuError::Lost { .. }))
        }

        fn memory(engine: &WgpuEngine) -> u64 {
            engine.memory()
        }

        fn lose(engine: &WgpuEngine) {
            engine.gpu().destroy();
        }
    }
}

mod processor {
    use mudi_engine_candle::CandleEngine;

    use super::{About, ByProcessor, Device, of_processor};

    impl Device for ByProcessor {
        type Engine = CandleEngine;

        async fn start() -> Result<(CandleEngine, About), String> {
            let about = About { device: String::new(), gpu: false, emulated: false, limits: of_processor() };
            Ok((CandleEngine::cpu(), about))
        }

        fn is_lost(_error: &mudi_diffusion::Error) -> bool {
            false
        }

        fn memory(_engine: &CandleEngine) -> u64 {
            0
        }

        fn lose(_engine: &CandleEngine) {}
    }
}
