//! The passes of training and generation on the engine that counts.

use mudi_diffusion::Engine;
use mudi_diffusion::clip::ClipText;
use mudi_diffusion::lora::{LoraFactors, Magnitude};
use mudi_diffusion::unet::{AddedConditioning, Conditioning, Skip, UNet, UNetInput};
use mudi_diffusion::vae::{VaeDecoder, VaeEncoder};
use mudi_domain::recipe::Recipe;
use mudi_engine_candle::lora::TEXT_TARGETS;

use super::Configs;
use super::counting::{Counted, CountingEngine};
use crate::base::BaseError;

/// A denoiser that counts, and what learns with it.
pub(super) struct Counting {
    engine: CountingEngine,
    unet: UNet<CountingEngine>,
    /// Text encoders that learn with it.
    text: Vec<ClipText<CountingEngine>>,
}

/// The denoiser of a base model.
pub(super) fn unet(configs: &Configs, mut engine: CountingEngine) -> Result<Counting, BaseError> {
    let unet = UNet::new(configs.unet.clone(), &mut engine)?;
    Ok(Counting { engine, unet, text: Vec::new() })
}

/// Attaches the factors of a recipe's LoRA, and DoRA's magnitudes, to the denoiser and to the text encoders that are there; returns their bytes.
pub(super) fn attach(counting: &mut Counting, recipe: &Recipe, learns: bool) -> usize {
    let Counting { engine, unet, text } = counting;
    let text_targets = TEXT_TARGETS.map(str::to_owned);
    let of_text = text.iter_mut().flat_map(ClipText::adaptable).filter(|l| l.target(&text_targets).is_some());
    let of_unet = unet.adaptable().filter(|layer| layer.target(&recipe.targets).is_some());
    let mut bytes = 0;
    for mut layer in of_unet.chain(of_text) {
        let shapes = layer.factor_shapes(recipe.rank as usize);
        bytes += 4 * shapes.iter().map(|shape| shape.iter().product::<usize>()).sum::<usize>();
        let [down, up] = shapes.map(|shape| engine.weight(&shape, learns));
        let magnitude = recipe.dora.then(|| {
            let shape = [layer.outputs()];
            bytes += 4 * shape[0];
            Magnitude { lengths: engine.weight(&shape, learns), inverse_norms: engine.constant(&shape) }
        });
        layer.attach(Some(LoraFactors { down, up, scale: 1.0, magnitude }));
    }
    bytes
}

/// Bytes of the same on the text encoders.
pub(super) fn text_factors(configs: &Configs, recipe: &Recipe) -> usize {
    if !recipe.trains_text_encoders() {
        return 0;
    }
    let layers = configs.text.iter().map(|text| text.num_hidden_layers * text.hidden_size).sum::<usize>();
    let each = 2 * recipe.rank as usize + usize::from(recipe.dora);
    4 * TEXT_TARGETS.len() * each * layers
}

impl Counting {
    /// Builds the text encoders beside the denoiser.
    pub(super) fn load_text(&mut self, configs: &Configs) -> Result<(), BaseError> {
        for config in &configs.text {
            self.text.push(ClipText::new(config.clone(), &mut self.engine)?);
        }
        Ok(())
    }

    /// Text states and pooled text by the encoders that are there, as `TextEncoders` makes them.
    fn encoded(&self, batch: usize) -> Result<Option<(Counted, Option<Counted>)>, BaseError> {
        let mut context: Option<Counted> = None;
        let mut pooled = None;
        for encoder in &self.text {
            let ids = vec![0; batch * encoder.config.max_position_embeddings];
            let text = encoder.forward(&self.engine, &ids, batch)?;
            let states = if self.text.len() > 1 { text.penultimate } else { text.last };
            context = Some(match context {
                Some(first) => self.engine.concat(&first, &states, 2)?,
                None => states,
            });
            pooled = text.pooled;
        }
        Ok(context.map(|context| (context, pooled)))
    }

    fn input(
        &self,
        configs: &Configs,
        batch: usize,
        [h, w]: [usize; 2],
    ) -> Result<UNetInput<CountingEngine>, BaseError> {
        let of = |shape: &[usize]| self.engine.from_slice(&[], shape);
        let config = &configs.unet;
        let (states, pooled) = self.encoded(batch)?.unzip();
        let pooled = pooled.flatten();
        let added = match (config.projection_class_embeddings_input_dim, config.addition_time_embed_dim) {
            (Some(all), Some(sizes)) => Some(AddedConditioning {
                text_embeds: match pooled {
                    Some(pooled) => pooled,
                    None => of(&[batch, all.saturating_sub(6 * sizes)])?,
                },
                time_ids: vec![0.0; 6 * batch],
            }),
            _ => None,
        };
        let tokens = configs.text.first().map_or(77, |text| text.max_position_embeddings);
        let width = config.cross_attention_dim.at(0, "cross_attention_dim")?;
        Ok(UNetInput {
            sample: of(&[batch, h, w, config.in_channels])?,
            timesteps: vec![0.0; batch],
            encoder_hidden_states: match states {
                Some(states) => states,
                None => of(&[batch, tokens, width])?,
            },
            added,
            lora_scale: 1.0,
        })
    }

    pub(super) fn sampling(
        &self,
        configs: &Configs,
        batch: usize,
        latent: [usize; 2],
    ) -> Result<usize, BaseError> {
        let input = self.input(configs, batch, latent)?;
        self.unet.forward(&self.engine, &input)?;
        Ok(self.engine.peak())
    }

    pub(super) fn step(
        &self,
        configs: &Configs,
        batch: usize,
        latent: [usize; 2],
    ) -> Result<usize, BaseError> {
        let input = self.input(configs, batch, latent)?;
        let output = self.unet.forward(&self.engine, &input)?;
        self.engine.backward(&[(&output, self.engine.seed(&output))]);
        Ok(self.engine.peak())
    }

    /// As `mudi_engine_candle::checkpoint` does it.
    pub(super) fn checkpointed_step(
        &self,
        configs: &Configs,
        batch: usize,
        latent: [usize; 2],
    ) -> Result<usize, BaseError> {
        let (engine, unet) = (&self.engine, &self.unet);
        let input = self.input(configs, batch, latent)?;
        let given = unet.condition(engine, &input)?;
        let with = Conditioning {
            time: CountingEngine::detached(&given.time),
            context: CountingEngine::detached(&given.context),
            lora_scale: given.lora_scale,
        };
        let mut x = CountingEngine::detached(&input.sample);
        let mut skips: Vec<Counted> = Vec::new();
        let mut kept = Vec::new();
        for index in 0..unet.stage_count() {
            let skip = if unet.skip(index) == Skip::Pop { skips.pop() } else { None };
            let size = skips.last().map(|skip| {
                let shape = engine.shape(skip);
                [shape[1], shape[2]]
            });
            let y = unet.run_stage(engine, index, &x, skip.as_ref(), size, &with)?;
            let y = CountingEngine::detached(&y);
            kept.push((x, skip, size));
            if unet.skip(index) == Skip::Push {
                skips.push(y.clone());
            }
            x = y;
        }
        let leaf = |given: &Counted| if given.tracked() { engine.leaf(given) } else { given.clone() };
        let with = Conditioning {
            time: leaf(&given.time),
            context: leaf(&given.context),
            lora_scale: given.lora_scale,
        };
        let mut sums = [None, None];
        let mut dx = Some(engine.seed(&x));
        let mut skip_gradients = Vec::new();
        let mut leaves = Vec::new();
        for index in (0..unet.stage_count()).rev() {
            let Some((x, skip, size)) = kept.pop() else { break };
            let x = engine.leaf(&x);
            let skip = skip.map(|skip| engine.leaf(&skip));
            let y = unet.run_stage(engine, index, &x, skip.as_ref(), size, &with)?;
            let mut seeds: Vec<_> = dx.take().map(|dx| (&y, dx)).into_iter().collect();
            if unet.skip(index) == Skip::Push {
                seeds.extend(skip_gradients.pop().map(|gradient| (&y, gradient)));
            }
            let told = [&with.time, &with.context];
            seeds.extend(told.into_iter().zip(&mut sums).filter_map(|(leaf, sum)| Some((leaf, sum.take()?))));
            let mut gradients = engine.backward(&seeds);
            drop(seeds);
            sums = told.map(|leaf| CountingEngine::take(&mut gradients, leaf));
            dx = CountingEngine::take(&mut gradients, &x);
            if let Some(skip) = &skip {
                skip_gradients.extend(CountingEngine::take(&mut gradients, skip));
            }
            leaves.push(gradients);
        }
        let given = [&given.time, &given.context];
        let seeds: Vec<_> =
            given.into_iter().zip(sums).filter_map(|(told, sum)| Some((told, sum?))).collect();
        leaves.push(engine.backward(&seeds));
        Ok(engine.peak())
    }
}

/// Encoding one square picture.
pub(super) fn encoding(
    configs: &Configs,
    mut engine: CountingEngine,
    side: usize,
) -> Result<usize, BaseError> {
    let Some(vae) = &configs.vae else { return Ok(0) };
    let encoder = VaeEncoder::new(vae, &mut engine)?;
    let x = engine.from_slice(&[], &[1, side, side, vae.in_channels])?;
    encoder.forward(&engine, &x)?;
    Ok(engine.peak())
}

/// Decoding one picture, whole or in tiles.
pub(super) fn decoding(
    configs: &Configs,
    mut engine: CountingEngine,
    latent: [usize; 2],
    tile: Option<usize>,
) -> Result<usize, BaseError> {
    let Some(vae) = &configs.vae else { return Ok(0) };
    let decoder = VaeDecoder::new(vae, &mut engine)?;
    let side = |length: usize| tile.map_or(length, |tile| length.min((tile / vae.reduction()).max(1)));
    let [h, w] = latent.map(side);
    let z = engine.from_slice(&[], &[1, h, w, vae.latent_channels])?;
    decoder.forward(&engine, &z)?;
    Ok(engine.peak())
}
