//! What a worker computes with.

use super::protocol::Tell;

/// A kind of device, with an engine for it.
pub(crate) trait Device: 'static {
    /// The engine.
    type Engine: mudi_diffusion::Readable + 'static;

    /// Starts it; what the page is told of it when the model is ready. Otherwise why there is none.
    fn start() -> impl Future<Output = Result<(Self::Engine, Tell), String>>;
    /// Whether the device is gone and another may be started.
    fn is_lost(error: &mudi_diffusion::Error) -> bool;
    /// Loses it, as drivers do, where that can happen: for tests.
    fn lose(engine: &Self::Engine);
}

/// The GPU, by WebGPU.
pub(crate) struct ByGpu;

/// The processor.
pub(crate) struct ByProcessor;

mod gpu {
    use mudi_engine_wgpu::{Gpu, GpuError, Settings, WgpuEngine};

    use super::{ByGpu, Device, Tell};

    impl Device for ByGpu {
        type Engine = WgpuEngine;

        async fn start() -> Result<(WgpuEngine, Tell), String> {
            let gpu = Gpu::start().await.map_err(|error| error.to_string())?;
            let adapter = gpu.adapter.clone();
            let settings = Settings::for_adapter(&adapter);
            let engine = WgpuEngine::new(gpu, settings).map_err(|error| error.to_string())?;
            Ok((engine, Tell::Ready { device: adapter.name, gpu: true, emulated: adapter.emulated }))
        }

        fn is_lost(error: &mudi_diffusion::Error) -> bool {
            let mudi_diffusion::Error::Engine(cause) = error else { return false };
            matches!(cause.downcast_ref(), Some(GpuError::Lost { .. }))
        }

        fn lose(engine: &WgpuEngine) {
            engine.gpu().destroy();
        }
    }
}

mod processor {
    use mudi_engine_candle::CandleEngine;

    use super::{ByProcessor, Device, Tell};

    impl Device for ByProcessor {
        type Engine = CandleEngine;

        async fn start() -> Result<(CandleEngine, Tell), String> {
            let about = Tell::Ready { device: String::new(), gpu: false, emulated: false };
            Ok((CandleEngine::cpu(), about))
        }

        fn is_lost(_error: &mudi_diffusion::Error) -> bool {
            false
        }

        fn lose(_engine: &CandleEngine) {}
    }
}
