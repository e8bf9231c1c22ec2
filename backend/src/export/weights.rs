//! The weights of a base, read one at a time: the model is never in memory as a whole.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor as Value};
use mudi_diffusion::clip::ClipText;
use mudi_diffusion::unet::UNet;
use mudi_diffusion::vae::{VaeDecoder, VaeEncoder};
use mudi_diffusion::{Component, Engine, Error as NetworkError, ParameterKind, Parameters};
use mudi_engine_candle::CandleEngine;
use mudi_engine_candle::shapes::{ParameterShape, Shapes};
use mudi_engine_candle::weights::{FileWeights, Precision, WeightsError, all_finite};

use super::{ExportError, Held};
use crate::base::{BaseError, Source};

/// One weight.
#[derive(Clone)]
pub(super) struct Weight {
    pub(super) component: Component,
    /// What diffusers' files of today call it.
    pub(super) name: String,
    /// What the base calls it: files of older programs have other names.
    asked: String,
    pub(super) shape: Vec<usize>,
}

/// Asks for the weights that a network asks for that is loaded from `file`.
struct Asked<'a> {
    shapes: Shapes,
    file: &'a FileWeights,
}

impl Parameters<CandleEngine> for Asked<'_> {
    fn get(
        &mut self,
        name: &str,
        shape: &[usize],
        kind: ParameterKind,
    ) -> mudi_diffusion::Result<<CandleEngine as Engine>::Tensor> {
        self.shapes.get(name, shape, kind)
    }

    fn contains(&self, name: &str) -> bool {
        self.file.contains(name)
    }
}

/// Asks for every weight of a network.
fn ask(
    source: &Source,
    component: Component,
    weights: &mut dyn Parameters<CandleEngine>,
) -> Result<(), ExportError> {
    match component {
        Component::Unet => {
            UNet::<CandleEngine>::new(source.unet_config()?, weights)?;
        }
        Component::Vae => {
            let config = source.vae_config()?;
            VaeEncoder::<CandleEngine>::new(&config, weights)?;
            VaeDecoder::<CandleEngine>::new(&config, weights)?;
        }
        Component::TextEncoder | Component::TextEncoder2 => {
            let index = usize::from(component == Component::TextEncoder2);
            let config = source
                .text_configs()?
                .into_iter()
                .nth(index)
                .ok_or_else(|| NetworkError::Config(format!("there is no {component} in this base")))?;
            ClipText::<CandleEngine>::new(config, weights)?;
        }
    }
    Ok(())
}

/// Reads the weights of a base's networks.
pub(super) struct Reader<'a> {
    source: &'a Source,
    files: BTreeMap<Component, FileWeights>,
    dtype: DType,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a Source, components: &[Component], held: Held) -> Result<Self, ExportError> {
        let engine = CandleEngine::cpu();
        let open = |component: &Component| -> Result<_, BaseError> {
            Ok((*component, source.weights(&engine, *component, Precision::Single)?))
        };
        let files = components.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { source, files, dtype: held.dtype() })
    }

    /// Every weight of a network, of those that it reads.
    pub(super) fn weights(&self, component: Component) -> Result<Vec<Weight>, ExportError> {
        let Some(file) = self.files.get(&component) else { return Ok(Vec::new()) };
        // Whatever the names are, a network asks for the same weights in the same order.
        let mut today = Shapes::default();
        ask(self.source, component, &mut today)?;
        let mut asked = Asked { shapes: Shapes::default(), file };
        ask(self.source, component, &mut asked)?;
        // Around these transformers files have 1x1 convolutions, which are linear layers here.
        let convolutions: &[&str] =
            if component == Component::Unet && !self.source.unet_config()?.use_linear_projection {
                &[".proj_in.weight", ".proj_out.weight"]
            } else {
                &[]
            };
        let weight = |(made, asked): (ParameterShape, ParameterShape)| {
            let mut shape = made.in_file();
            if convolutions.iter().any(|end| made.name.ends_with(end)) {
                shape.extend([1, 1]);
            }
            Weight { component, name: made.name, asked: asked.name, shape }
        };
        Ok(today.made.into_iter().zip(asked.shapes.made).map(weight).collect())
    }

    /// The weight in the shape that is written, and in its type.
    pub(super) fn read(&mut self, weight: &Weight) -> Result<Value, ExportError> {
        let (name, expected) = (weight.asked.clone(), weight.shape.clone());
        let Some(file) = self.files.get_mut(&weight.component) else {
            return Err(NetworkError::MissingTensor { name, expected }.into());
        };
        let value = file.read(&name)?;
        let path = file.path().to_owned();
        let fault = |source| WeightsError::Network { path: path.clone(), source };
        let Some(value) = value else {
            return Err(fault(NetworkError::MissingTensor { name, expected }).into());
        };
        if value.elem_count() != expected.iter().product::<usize>() {
            let found = value.dims().to_vec();
            return Err(fault(NetworkError::TensorShape { name, expected, found }).into());
        }
        if !all_finite(&value)? {
            return Err(WeightsError::NotNumbers { path, name }.into());
        }
        let value = value
            .reshape(expected)
            .and_then(|value| value.to_dtype(self.dtype))
            .map_err(NetworkError::engine)?;
        if all_finite(&value)? { Ok(value) } else { Err(ExportError::TooLarge { path, name }) }
    }
}
