//! The denoiser alone, as the workers compute it, for the page of `cargo xtask bench-browser`.

#[cfg(target_arch = "wasm32")]
mod denoiser {
    use mudi_diffusion::unet::{AddedConditioning, UNet, UNetConfig, UNetInput};
    use mudi_diffusion::{Readable, parse};
    use mudi_engine_candle::CandleEngine;
    use mudi_engine_wgpu::{Gpu, Settings, Sharing, Storage, WgpuEngine};
    use mudi_preview::SafetensorsWeights;
    use wasm_bindgen::prelude::wasm_bindgen;

    /// Positions of a text.
    const TOKENS: usize = 77;

    /// What a denoiser computes on.
    #[wasm_bindgen]
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Device {
        /// The GPU, in the way that suits it.
        Gpu,
        /// The GPU, in the way that suits real ones, even where it is emulated.
        GpuAsReal,
        /// The processor.
        Processor,
    }

    /// A denoiser on a device.
    #[wasm_bindgen]
    pub struct Denoiser {
        on: On,
        about: String,
    }

    enum On {
        Gpu(WgpuEngine, UNet<WgpuEngine>),
        Processor(CandleEngine, UNet<CandleEngine>),
    }

    #[wasm_bindgen]
    impl Denoiser {
        /// The denoiser of `config.json` and its weights; on a GPU in `f32`, which the reference computes in, too.
        ///
        /// # Errors
        /// In words: no GPU, or files that do not fit each other.
        pub async fn start(device: Device, config: &str, weights: &[u8]) -> Result<Denoiser, String> {
            console_error_panic_hook::set_once();
            let config: UNetConfig = parse(config).map_err(|error| error.to_string())?;
            if device == Device::Processor {
                let engine = CandleEngine::cpu();
                let unet = unet(&engine, config, weights)?;
                return Ok(Self { on: On::Processor(engine, unet), about: "processor".to_owned() });
            }
            let gpu = Gpu::start().await.map_err(|error| error.to_string())?;
            let adapter = gpu.adapter.clone();
            let mut settings = Settings { storage: Storage::Single, ..Settings::for_adapter(&adapter) };
            if device == Device::GpuAsReal {
                settings.sharing = Sharing::Together;
            }
            let engine = WgpuEngine::new(gpu, settings).map_err(|error| error.to_string())?;
            let unet = unet(&engine, config, weights)?;
            let kind = if adapter.emulated { " (emulated)" } else { "" };
            Ok(Self { on: On::Gpu(engine, unet), about: format!("{}{kind}", adapter.name) })
        }

        /// What it computes on.
        #[must_use]
        pub fn about(&self) -> String {
            self.about.clone()
        }

        /// One forward pass: `sample` `[B, side, side, C]`, a timestep for each, `context` `[B, 77, D]`, `pooled` `[B, P]`,
        /// `time_ids` `[B, 6]`; the prediction, shaped as the sample.
        ///
        /// # Errors
        /// In words: shapes, or the GPU.
        pub async fn step(
            &self,
            sample: &[f32],
            timesteps: &[f32],
            context: &[f32],
            pooled: &[f32],
            time_ids: &[f32],
        ) -> Result<Vec<f32>, String> {
            let values = [sample, timesteps, context, pooled, time_ids];
            let made = match &self.on {
                On::Gpu(engine, unet) => step(engine, unet, values).await,
                On::Processor(engine, unet) => step(engine, unet, values).await,
            };
            made.map_err(|error| error.to_string())
        }

        /// What a GPU has been told since this was last asked, as JSON: dispatches, submissions, bytes, flops, and the memory
        /// that it holds. Nothing of a processor.
        #[must_use]
        pub fn work(&self) -> Option<String> {
            let On::Gpu(engine, _) = &self.on else { return None };
            let work = engine.take_work();
            let told = serde_json::json!({
                "dispatches": work.dispatches, "submissions": work.submissions, "bytes": work.bytes, "flops": work.flops,
                "memory": engine.memory(),
            });
            Some(told.to_string())
        }
    }

    fn unet<E: Readable>(engine: &E, config: UNetConfig, weights: &[u8]) -> Result<UNet<E>, String> {
        let mut weights = SafetensorsWeights::new(engine, "the denoiser's weights", weights)
            .map_err(|error| error.to_string())?;
        UNet::new(config, &mut weights).map_err(|error| error.to_string())
    }

    async fn step<E: Readable>(
        engine: &E,
        unet: &UNet<E>,
        [sample, timesteps, context, pooled, time_ids]: [&[f32]; 5],
    ) -> mudi_diffusion::Result<Vec<f32>> {
        let batch = timesteps.len();
        let side = unet.config.sample_size.unwrap_or(64);
        let last = |values: &[f32], rows: usize| values.len() / rows.max(1);
        let input = UNetInput {
            sample: engine.from_slice(sample, &[batch, side, side, last(sample, batch * side * side)])?,
            timesteps: timesteps.to_vec(),
            encoder_hidden_states: engine
                .from_slice(context, &[batch, TOKENS, last(context, batch * TOKENS)])?,
            added: Some(AddedConditioning {
                text_embeds: engine.from_slice(pooled, &[batch, last(pooled, batch)])?,
                time_ids: time_ids.to_vec(),
            }),
            lora_scale: 1.0,
        };
        engine.read(&unet.forward(engine, &input)?).await
    }
}
